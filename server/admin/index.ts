// The admin API: RabbitMQ's management API and metrics over HTTP. Reaches the broker through core-api's Management only.
// Started by server/broker.ts, which loads this folder once AMQP listens.
import type { AddressInfo } from 'node:net'
import type { Management } from '../core/core-api'
import { type Logger, silentLogger } from '../logger'
import { createApp } from './app'
import type { AdminContext } from './context'
import { overviewRoutes } from './routes-overview'
import { queueRoutes } from './routes-queues'

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
  const context: AdminContext = { management, rates: { close() {} }, logger: options.logger ?? silentLogger }
  const app = createApp(context, [...overviewRoutes(context), ...queueRoutes(context)])
  await app.listen({ host: options.host, port: options.port })
  const { address, port } = app.server.address() as AddressInfo
  return {
    host: address,
    port,
    async close() {
      context.rates.close()
      await app.close()
    },
  }
}
