// Sums over all queues. Counted when asked for, a slice at a time: nothing on the message path keeps them.
import type { QueueView } from '../core/core-api'
import { messageTotals, type Stats } from './message-stats'
import type { Rates } from './rates'
import type { Slices } from './slices'

export interface Totals {
  queues: number
  consumers: number
  ready: number
  unacked: number
  readyRate: number
  unackedRate: number
  readyBytes: number
  unackedBytes: number
}

export async function totalsOf(queues: Iterable<QueueView>, rates: Rates, slices: Slices): Promise<Totals> {
  const t = {
    queues: 0,
    consumers: 0,
    ready: 0,
    unacked: 0,
    readyRate: 0,
    unackedRate: 0,
    readyBytes: 0,
    unackedBytes: 0,
  }
  await slices.next()
  for (const queue of queues) {
    t.queues++
    t.consumers += queue.consumers.length
    t.ready += queue.readyCount
    t.unacked += queue.unackedCount
    t.readyBytes += queue.readyBytes
    t.unackedBytes += queue.unackedBytes
    t.readyRate += rates.queue(queue, 'readyCount')
    t.unackedRate += rates.queue(queue, 'unackedCount')
    if (slices.isOver) await slices.next()
  }
  return t
}

export function totalsStats(t: Totals): Stats {
  return messageTotals(t.ready, t.unacked, t.readyRate, t.unackedRate)
}
