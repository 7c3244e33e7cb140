// The admin API: RabbitMQ's management API and metrics over HTTP. Reaches the broker through core-api's Management only.
// Started by server/broker.ts, which loads this folder once AMQP listens.
import type { AddressInfo } from 'node:net'
import type { Management } from '../core/core-api'
import { type Logger, silentLogger } from '../logger'
import { createApp } from './app'
import type { AdminContext, Resource } from './context'
import { Rates } from './rates'
import { backupRoutes } from './routes-backup'
import { bindingRoutes } from './routes-bindings'
import { connectionRoutes } from './routes-connections'
import { exchangeRoutes } from './routes-exchanges'
import { healthRoutes } from './routes-health'
import { limitRoutes } from './routes-limits'
import { messageRoutes } from './routes-messages'
import { metricRoutes } from './routes-metrics'
import { overviewRoutes } from './routes-overview'
import { policyRoutes } from './routes-policies'
import { queueRoutes } from './routes-queues'
import { Slices } from './slices'

export interface AdminOptions {
  host: string
  port: number // 0: any that is free
  logger?: Logger
}

export interface AdminServer {
  readonly host: string
  readonly port: number
  /** Answers nothing more; connections of clients are cut. */
  close(): Promise<void>
}

/** Resolves when requests are accepted; rejects with the system's error when the address cannot be listened on. */
export async function startAdmin(management: Management, options: AdminOptions): Promise<AdminServer> {
  const slices = new Slices()
  const rates = new Rates(management, slices)
  const context: AdminContext = { management, rates, slices, logger: options.logger ?? silentLogger }
  const app = createApp(context, resources(context))
  try {
    await app.listen({ host: options.host, port: options.port })
  } catch (error) {
    rates.close()
    throw error
  }
  const { address, port } = app.server.address() as AddressInfo
  return {
    host: address,
    port,
    async close() {
      rates.close()
      await app.close()
    },
  }
}

function resources(context: AdminContext): Resource[] {
  return [
    ...overviewRoutes(context),
    ...connectionRoutes(context),
    ...queueRoutes(context),
    ...policyRoutes(context),
    ...limitRoutes(context),
    ...exchangeRoutes(context),
    ...bindingRoutes(context),
    ...messageRoutes(context),
    ...healthRoutes(context),
    ...metricRoutes(context),
    ...backupRoutes(context),
  ]
}
