// What the bench process and a generator process say to each other. One job per process; each command is answered by
// the event of its name or by `failed`, so the bench always knows when the next step may begin.
import type { HistogramCounts } from '../histogram'

export interface PublisherJob {
  role: 'publisher'
  url: string
  /** One connection each. Stream i numbers its own messages from 0. */
  targets: { exchange: string; routingKey: string }[]
  bodyBytes: number
  persistent: boolean
  confirmWindow: number // 0: no confirms
  ratePerSecond: number // over all targets; 0: unlimited
  maxSeconds: number // Infinity: no limit
  maxMessages: number // over all targets; Infinity: no limit
}

export interface ConsumerJob {
  role: 'consumer'
  url: string
  queues: string[] // one connection each
  streams: number // how many publishers may appear in a body
  bodyBytes: number
  prefetch: number
  ackEvery: number // 0: no-ack
  /** Whether bodies carry the time of sending. */
  stamped: boolean
}

export type Job = PublisherJob | ConsumerJob

export interface PublisherResult {
  published: number[] // per target
  nacked: number
  startedUs: number
  finishedUs: number // the last confirm; without confirms, when the broker had taken everything
  confirmLatency: HistogramCounts | null
  cpuSeconds: number
}

export interface ConsumerResult {
  queues: QueueCount[]
  startedUs: number
  lastUs: number // the last expected delivery
  latency: HistogramCounts | null
  cpuSeconds: number
}

export interface QueueCount {
  delivered: number
  /** Of all message numbers seen: says which of two equal counts is the right set. */
  sumOfNumbers: number
  /** Deliveries whose number was not above the one before in their stream. */
  outOfOrder: number
  /** Deliveries whose delivery tag was not one more than the one before. */
  wrongTags: number
  redelivered: number
  wrongSizes: number
}

/** prepare: connect. start: publish to the end, or begin to consume. finish (consumers): wait for these counts per queue. */
export type Command =
  | { type: 'prepare'; job: Job }
  | { type: 'start' }
  | { type: 'finish'; expected: number[] }
  | { type: 'exit' }

export type Event =
  | { type: 'prepare' }
  | { type: 'start'; result: PublisherResult | null }
  | { type: 'finish'; result: ConsumerResult }
  | { type: 'failed'; reason: string }
