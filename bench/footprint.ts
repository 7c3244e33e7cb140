// Runs one footprint row: what the broker holds when idle, and what connections or queues add to it.
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningBroker } from './brokers'
import type { Figures, Outcome } from './figures'
import { parseAmqpUrl } from './generator/amqp-url'
import { Link } from './generator/link'
import { nowUs } from './generator/monotonic'
import { readUsage } from './process-usage'
import type { FootprintRow } from './rows'

/** Time for what a broker still does after its start, or after many connections, before its memory is read. */
const settleMs = 2000
const openAtOnce = 20
const mebibyte = 1024 * 1024

export async function measureFootprint(row: FootprintRow, broker: RunningBroker): Promise<Outcome> {
  await delay(settleMs)
  const idle = readUsage(broker.pid)?.rssBytes ?? null
  const figures: Figures = {}
  if (broker.startMs !== null) figures.startMs = broker.startMs
  if (idle !== null) figures.idleRssMiB = idle / mebibyte
  if (row.connections > 0) Object.assign(figures, await measureConnections(row.connections, broker, idle))
  if (row.queues > 0) Object.assign(figures, await measureQueues(row.queues, broker, idle))
  return { figures, faults: [] }
}

async function measureConnections(count: number, broker: RunningBroker, idle: number | null): Promise<Figures> {
  const links: Link[] = []
  const beganUs = nowUs()
  while (links.length < count) {
    const opening = Array.from({ length: Math.min(openAtOnce, count - links.length) }, () => open(broker.url))
    links.push(...(await Promise.all(opening)))
  }
  const seconds = (nowUs() - beganUs) / 1e6
  const added = await addedMiB(broker, idle)
  await Promise.all(links.map((link) => link.close()))
  return { connectionsPerSecond: count / seconds, ...(added === null ? {} : { connectionsRssMiB: added }) }
}

async function measureQueues(count: number, broker: RunningBroker, idle: number | null): Promise<Figures> {
  const link = await open(broker.url)
  const names = Array.from({ length: count }, (_, i) => `bench-${randomBytes(6).toString('hex')}-${i}`)
  const beganUs = nowUs()
  for (const name of names) await link.declareQueue(name, true)
  const seconds = (nowUs() - beganUs) / 1e6
  const added = await addedMiB(broker, idle)
  for (const name of names) await link.deleteQueue(name)
  await link.close()
  return { queuesSeconds: seconds, ...(added === null ? {} : { queuesRssMiB: added }) }
}

async function addedMiB(broker: RunningBroker, idle: number | null): Promise<number | null> {
  if (idle === null) return null
  await delay(settleMs)
  const now = readUsage(broker.pid)
  return now === null ? null : (now.rssBytes - idle) / mebibyte
}

function open(url: string): Promise<Link> {
  return Link.open(parseAmqpUrl(url))
}
