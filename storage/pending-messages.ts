// Messages on their way into a batch: tickets, each with the durable queues that took it. Typed arrays, reused from batch to
// batch. Owned by the journal.
import type { Ticket } from './message-store'

export class PendingMessages {
  tickets = new Float64Array(256)
  bodyBytes = new Int32Array(256)
  ends = new Int32Array(256) // end of the ticket's queue ids in `queueIds`
  queueIds = new Int32Array(256)
  count = 0
  ids = 0
  /** In ms, of the few that have one. */
  readonly expirations = new Map<Ticket, number>()
  /** When they were published: up to which place, and when. */
  private timeEnds: number[] = []
  private times: number[] = []

  addQueue(id: number): void {
    if (this.ids === this.queueIds.length) this.queueIds = doubledInts(this.queueIds)
    this.queueIds[this.ids++] = id
  }

  /** Closes the message whose queues were added. `expiration` -1: none. */
  add(ticket: Ticket, bodyBytes: number, expiration = -1): void {
    if (expiration !== -1) this.expirations.set(ticket, expiration)
    if (this.count === this.tickets.length) {
      const larger = new Float64Array(this.count * 2)
      larger.set(this.tickets)
      this.tickets = larger
      this.bodyBytes = doubledInts(this.bodyBytes)
      this.ends = doubledInts(this.ends)
    }
    this.tickets[this.count] = ticket
    this.bodyBytes[this.count] = bodyBytes
    this.ends[this.count++] = this.ids
  }

  /** Those added since the last call were published at `ms`. */
  stamp(ms: number): void {
    const last = this.times.length - 1
    if (this.count === (last === -1 ? 0 : this.timeEnds[last])) return
    if (last !== -1 && this.times[last] === ms) this.timeEnds[last] = this.count
    else {
      this.timeEnds.push(this.count)
      this.times.push(ms)
    }
  }

  /** When the one at this place was published; ask in order of place. */
  timeOf(place: number): number {
    while (this.timeEnds[this.timeAt] <= place) this.timeAt++
    return this.times[this.timeAt]
  }
  private timeAt = 0

  clear(): void {
    if (this.tickets.length > 65536) {
      this.tickets = new Float64Array(256)
      this.bodyBytes = new Int32Array(256)
      this.ends = new Int32Array(256)
      this.queueIds = new Int32Array(256)
    }
    this.count = 0
    this.ids = 0
    this.expirations.clear()
    this.timeEnds = []
    this.times = []
    this.timeAt = 0
  }

  expirationOf(ticket: Ticket): number {
    return this.expirations.get(ticket) ?? -1
  }

  append(other: PendingMessages): void {
    let id = 0
    const before = this.count
    for (let i = 0; i < other.count; i++) {
      while (id < other.ends[i]) this.addQueue(other.queueIds[id++])
      this.add(other.tickets[i], other.bodyBytes[i], other.expirationOf(other.tickets[i]))
    }
    this.timeAt = 0 // they are written again
    this.timeEnds.push(...other.timeEnds.map((end) => before + end))
    this.times.push(...other.times)
  }
}

function doubledInts(from: Int32Array): Int32Array<ArrayBuffer> {
  const to = new Int32Array(from.length * 2)
  to.set(from)
  return to
}
