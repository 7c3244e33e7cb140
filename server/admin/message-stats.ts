// Counters and their rates in the management API's names: {publish: 5, publish_details: {rate: 0.4}, ...}.
import type { ChurnCounters, MessageCounters } from '../core/core-api'
import type { CHURN_FIELDS, Rates } from './rates'

export interface Details {
  rate: number
}

export type Stats = Record<string, number | Details>

export function details(rate: number): Details {
  return { rate: Math.round(rate * 10) / 10 } // one digit, as RabbitMQ shows rates
}

type Counter = keyof MessageCounters
type Names = readonly (readonly [name: string, counter: Counter])[]

const DELIVERIES: Names = [
  ['deliver', 'deliver'],
  ['deliver_no_ack', 'deliverNoAck'],
  ['get', 'get'],
  ['get_no_ack', 'getNoAck'],
]
const QUEUE: Names = [
  ...DELIVERIES,
  ['publish', 'publish'],
  ['get_empty', 'getEmpty'],
  ['redeliver', 'redeliver'],
  ['ack', 'ack'],
]
const ALL: Names = [
  ...QUEUE,
  ['confirm', 'confirm'],
  ['drop_unroutable', 'dropUnroutable'],
  ['return_unroutable', 'returnUnroutable'],
]

/** Of a channel, a vhost or the broker. */
export function messageStats(counters: MessageCounters, rates: Rates): Stats {
  return stats(counters, rates, ALL)
}

export function queueStats(counters: MessageCounters, rates: Rates): Stats {
  return stats(counters, rates, QUEUE)
}

function stats(counters: MessageCounters, rates: Rates, names: Names): Stats {
  const result: Stats = {}
  for (const [name, counter] of names) {
    result[name] = counters[counter]
    result[`${name}_details`] = details(rates.message(counters, counter))
  }
  result.deliver_get = deliveries(counters)
  result.deliver_get_details = details(DELIVERIES.reduce((sum, [, c]) => sum + rates.message(counters, c), 0))
  return result
}

function deliveries(counters: MessageCounters): number {
  return counters.deliver + counters.deliverNoAck + counters.get + counters.getNoAck
}

const CHURN: readonly (readonly [name: string, counter: keyof ChurnCounters & (typeof CHURN_FIELDS)[number]])[] = [
  ['connection_created', 'connectionsOpened'],
  ['connection_closed', 'connectionsClosed'],
  ['channel_created', 'channelsOpened'],
  ['channel_closed', 'channelsClosed'],
  ['queue_declared', 'queuesDeclared'],
  ['queue_created', 'queuesCreated'],
  ['queue_deleted', 'queuesDeleted'],
]

export function churnStats(churn: ChurnCounters, rates: Rates): Stats {
  const result: Stats = {}
  for (const [name, counter] of CHURN) {
    result[name] = churn[counter]
    result[`${name}_details`] = details(rates.churn(counter))
  }
  return result
}

/** {messages, messages_ready, messages_unacknowledged} of one queue or of many, with the rates at which they change. */
export function messageTotals(ready: number, unacked: number, readyRate: number, unackedRate: number): Stats {
  return {
    messages: ready + unacked,
    messages_details: details(readyRate + unackedRate),
    messages_ready: ready,
    messages_ready_details: details(readyRate),
    messages_unacknowledged: unacked,
    messages_unacknowledged_details: details(unackedRate),
  }
}
