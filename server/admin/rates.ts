// Rates, from counters that only grow: every few seconds each object's numbers are noted, and what has come since the time
// before, by the second, is its rate until the next. The message path pays for nothing but its counters. Read by the
// views; started and closed by index.ts.
import type { ConnectionView, ExchangeView, Management, QueueView, VhostView } from '../core/core-api'
import { SLICE_ITEMS, type Slices } from './slices'

/** As often as RabbitMQ collects statistics. */
const SAMPLE_MS = 5000

export const MESSAGE_FIELDS = [
  'publish',
  'confirm',
  'returnUnroutable',
  'dropUnroutable',
  'deliver',
  'deliverNoAck',
  'get',
  'getNoAck',
  'getEmpty',
  'redeliver',
  'ack',
] as const
export const CHURN_FIELDS = [
  'connectionsOpened',
  'connectionsClosed',
  'channelsOpened',
  'channelsClosed',
  'queuesDeclared',
  'queuesCreated',
  'queuesDeleted',
] as const
const QUEUE_FIELDS = ['readyCount', 'unackedCount'] as const
const EXCHANGE_FIELDS = ['publishIn', 'publishOut'] as const
const CONNECTION_FIELDS = ['receivedBytes', 'sentBytes'] as const

type Numbers = Record<string, number>

interface Sample {
  atMs: number
  readonly values: Float64Array
  readonly perSecond: Float64Array
}

export class Rates {
  /** Keyed by the live object, which is not kept from going: with it goes its sample. */
  private readonly samples = new WeakMap<object, Sample>()
  private timer: { cancel(): void } | null = null
  private isClosed = false

  constructor(
    private readonly management: Management,
    private readonly slices: Slices,
  ) {
    void this.sample()
  }

  close(): void {
    this.isClosed = true
    this.timer?.cancel()
  }

  /** Of one of an object's numbers; 0 until there are two samples. Negative when it shrinks. */
  of(object: object, fields: readonly string[], field: string): number {
    const sample = this.samples.get(object)
    return sample === undefined ? 0 : sample.perSecond[fields.indexOf(field)]
  }

  message(counters: object, field: (typeof MESSAGE_FIELDS)[number]): number {
    return this.of(counters, MESSAGE_FIELDS, field)
  }
  churn(field: (typeof CHURN_FIELDS)[number]): number {
    return this.of(this.management.churn, CHURN_FIELDS, field)
  }
  queue(queue: QueueView, field: (typeof QUEUE_FIELDS)[number]): number {
    return this.of(queue, QUEUE_FIELDS, field)
  }
  exchange(exchange: ExchangeView, field: (typeof EXCHANGE_FIELDS)[number]): number {
    return this.of(exchange, EXCHANGE_FIELDS, field)
  }
  connection(connection: ConnectionView, field: (typeof CONNECTION_FIELDS)[number]): number {
    return this.of(connection, CONNECTION_FIELDS, field)
  }

  private async sample(): Promise<void> {
    let count = 0
    for (const [object, fields] of this.sampled()) {
      this.note(object as Numbers, fields)
      if (++count % SLICE_ITEMS === 0 || this.slices.isOver) await this.slices.next()
      if (this.isClosed) return
    }
    this.timer = this.management.after(SAMPLE_MS, () => void this.sample())
  }

  /** Walked across turns: what comes or goes meanwhile is met or not. */
  private *sampled(): Iterable<[object: object, fields: readonly string[]]> {
    const { counters, churn, vhosts, connections } = this.management
    yield [counters, MESSAGE_FIELDS]
    yield [churn, CHURN_FIELDS]
    for (const vhost of vhosts.values()) yield* vhostSamples(vhost)
    for (const connection of connections.values()) {
      yield [connection, CONNECTION_FIELDS]
      for (const channel of connection.channels.values()) yield [channel.counters, MESSAGE_FIELDS]
    }
  }

  private note(object: Numbers, fields: readonly string[]): void {
    const now = this.management.now()
    const sample = this.samples.get(object)
    if (sample === undefined) {
      this.samples.set(object, {
        atMs: now,
        values: Float64Array.from(fields, (field) => object[field]),
        perSecond: new Float64Array(fields.length),
      })
      return
    }
    const seconds = (now - sample.atMs) / 1000
    if (seconds <= 0) return
    sample.atMs = now
    for (let i = 0; i < fields.length; i++) {
      const value = object[fields[i]]
      sample.perSecond[i] = (value - sample.values[i]) / seconds
      sample.values[i] = value
    }
  }
}

function* vhostSamples(vhost: VhostView): Iterable<[object: object, fields: readonly string[]]> {
  yield [vhost.counters, MESSAGE_FIELDS]
  for (const exchange of vhost.exchanges.values()) yield [exchange, EXCHANGE_FIELDS]
  for (const queue of vhost.queues.values()) {
    yield [queue, QUEUE_FIELDS]
    yield [queue.counters, MESSAGE_FIELDS]
  }
}
