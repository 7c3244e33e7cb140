// How long the deliveries of a channel have been unacknowledged, for consumers that may hold one only so long. Costs a number per beat
// and not one per message: what was delivered between two beats has one age, up to a beat too young. RabbitMQ docs "Consumers",
// "Delivery Acknowledgement Timeout". Exists only in channels with such a consumer; owned by channel.ts.
import { Consumer } from '../core/consumer'
import type { Unacked } from './unacked'

interface Mark {
  /** Of the first delivery. */
  tag: number
  /** When they had been delivered, at the latest. */
  ms: number
}

export interface Overdue {
  tag: number
  consumer: Consumer
}

export class AckDeadlines {
  /** ms that any consumer of the channel may wait; those who are gone may still hold something. */
  shortest = Number.POSITIVE_INFINITY
  private marks: Mark[]
  private lastMs = 0

  /** What was delivered before counts as delivered now. */
  constructor(now: number) {
    this.marks = [{ tag: 0, ms: now }]
  }

  /** `ms`: the next beat. */
  onDelivered(tag: number, ms: number): void {
    if (ms === this.lastMs) return
    this.lastMs = ms
    this.marks.push({ tag, ms })
  }

  /** Those who have waited for too long. Call at each beat. */
  overdue(unacked: Unacked, now: number): Overdue[] {
    const old = this.marks.findIndex(({ ms }) => now - ms < this.shortest)
    const count = old === -1 ? this.marks.length : old
    if (count === 0) return []
    const end = this.marks[count]?.tag ?? unacked.newestTag + 1
    const looked = this.marks.splice(0, count)
    const overdue: Overdue[] = []
    const kept = new Set<Mark>()
    let at = 0
    for (const tag of unacked.tagsUpTo(end - 1)) {
      while (at + 1 < count && looked[at + 1].tag <= tag) at++
      const consumer = unacked.ownerOf(tag)
      if (!(consumer instanceof Consumer) || consumer.timeoutMs === 0) continue
      if (now - looked[at].ms >= consumer.timeoutMs) overdue.push({ tag, consumer })
      else kept.add(looked[at]) // another consumer's, who may wait longer
    }
    this.marks.unshift(...kept)
    return overdue
  }
}
