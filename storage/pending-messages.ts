// Messages on their way into a batch: tickets, each with the durable queues that took it. Typed arrays, reused from batch to
// batch. Owned by the journal.
import type { Ticket } from './message-store'

export class PendingMessages {
  tickets = new Float64Array(256)
  ends = new Int32Array(256) // end of the ticket's queue ids in `queueIds`
  queueIds = new Int32Array(256)
  count = 0
  ids = 0

  addQueue(id: number): void {
    if (this.ids === this.queueIds.length) this.queueIds = doubledInts(this.queueIds)
    this.queueIds[this.ids++] = id
  }

  /** Closes the message whose queues were added. */
  add(ticket: Ticket): void {
    if (this.count === this.tickets.length) {
      const larger = new Float64Array(this.count * 2)
      larger.set(this.tickets)
      this.tickets = larger
      this.ends = doubledInts(this.ends)
    }
    this.tickets[this.count] = ticket
    this.ends[this.count++] = this.ids
  }

  clear(): void {
    if (this.tickets.length > 65536) {
      this.tickets = new Float64Array(256)
      this.ends = new Int32Array(256)
      this.queueIds = new Int32Array(256)
    }
    this.count = 0
    this.ids = 0
  }

  append(other: PendingMessages): void {
    let id = 0
    for (let i = 0; i < other.count; i++) {
      while (id < other.ends[i]) this.addQueue(other.queueIds[id++])
      this.add(other.tickets[i])
    }
  }
}

function doubledInts(from: Int32Array): Int32Array<ArrayBuffer> {
  const to = new Int32Array(from.length * 2)
  to.set(from)
  return to
}
