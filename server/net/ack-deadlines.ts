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
  /** Taken away from their consumer, who does not know it yet. */
  private readonly timedOut = new Set<number>()
  private marks: Mark[]
  private lastMs = 0
  /** ms that any consumer may wait; those who are gone may still hold something. */
  private shortest = Number.POSITIVE_INFINITY

  /** What was delivered before counts as delivered now. */
  constructor(
    private readonly unacked: Unacked,
    now: number,
  ) {
    this.marks = [{ tag: 0, ms: now }]
  }

  /** `ms`: the next beat. */
  onDelivered(tag: number, ms: number): void {
    if (ms === this.lastMs) return
    this.lastMs = ms
    this.marks.push({ tag, ms })
  }

  /** The client settles a delivery. true: it came too late, and could not know. */
  forgives(tag: number): boolean {
    return this.timedOut.delete(tag)
  }

  /** Those who have waited for too long, told once. Call at each beat; `shortest`: ms that any consumer of now may wait. */
  takeOverdue(now: number, shortest: number): Overdue[] {
    const { unacked } = this
    this.shortest = unacked.count === 0 ? shortest : Math.min(this.shortest, shortest)
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
      if (now - looked[at].ms >= consumer.timeoutMs) {
        overdue.push({ tag, consumer })
        this.timedOut.add(tag)
      } else kept.add(looked[at]) // another consumer's, who may wait longer
    }
    this.marks.unshift(...kept)
    return overdue
  }

  /** Nothing is held, and nobody can still answer too late. */
  get isIdle(): boolean {
    return this.unacked.count === 0 && this.timedOut.size === 0
  }
}

/** ms that any of them may hold a message; Infinity: all hold it as long as they like. */
export function shortestTimeout(consumers: Iterable<Consumer>): number {
  let shortest = Number.POSITIVE_INFINITY
  for (const { timeoutMs } of consumers) if (timeoutMs > 0) shortest = Math.min(shortest, timeoutMs)
  return shortest
}

/** RabbitMQ's words. */
export function timeoutText(channel: number, ms: number): string {
  const what = `delivery acknowledgement on channel ${channel} timed out. Timeout value used: ${ms} ms. `
  return `${what}This timeout value can be configured, see consumers doc guide to learn more`
}
