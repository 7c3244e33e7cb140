// When the messages of one queue expire: a heap of times, so that a message goes when its own time comes, whatever stands before it
// in the queue. Entries of messages that have left the queue earlier stay in the heap until they come up or outnumber the
// others. Exists only in queues that have, or had, a message with a TTL. RabbitMQ docs "Time-To-Live and Expiration".
import { Alarm } from './alarm'
import type { Clock } from './clock'
import type { Ticket } from './core-api'
import { DueHeap } from './due-heap'
import type { WaitingMessages } from './waiting'

/** With fewer entries in the heap than this, those of messages that have gone are left alone. */
const STALE_MIN = 1024

export class Expiry {
  private readonly heap = new DueHeap()
  private readonly unacked = new Set<Ticket>()
  /** Unacked, and its time has come: it expires should it come back. */
  private readonly overdue = new Set<Ticket>()
  private readonly alarm: Alarm

  constructor(
    private readonly clock: Clock,
    private readonly waiting: WaitingMessages,
    onDue: () => void,
  ) {
    this.alarm = new Alarm(clock, onDue)
  }

  add(due: number, ticket: Ticket): void {
    this.heap.push(due, ticket)
    this.arm()
  }

  /** The first that waits and whose time has come; null: there is none. It stays the first until it is taken out of `waiting`. */
  firstDue(now: number): Ticket | null {
    const { heap } = this
    while (heap.length > 0 && heap.firstDue <= now) {
      const ticket = heap.firstTicket
      if (this.waiting.has(ticket)) return ticket
      if (this.unacked.has(ticket)) this.overdue.add(ticket)
      heap.pop()
    }
    return null
  }

  onDelivered(ticket: Ticket): void {
    this.unacked.add(ticket)
  }

  /** It was unacked, and is settled. */
  onSettled(ticket: Ticket): void {
    this.unacked.delete(ticket)
    this.overdue.delete(ticket)
  }

  /** It was unacked, and waits again. */
  onReturned(ticket: Ticket): void {
    this.unacked.delete(ticket)
    if (this.overdue.delete(ticket)) this.add(this.clock.now(), ticket)
  }

  /** Lets go of entries of what has gone, when they are most of them. Call now and again; `held`: messages ready and unacked. */
  tidy(held: number): void {
    const { heap } = this
    if (heap.length < STALE_MIN || heap.length < 2 * held) return
    const entries = [...heap.entries()].filter(({ ticket }) => this.waiting.has(ticket) || this.unacked.has(ticket))
    heap.length = 0
    for (const { due, ticket } of entries) heap.push(due, ticket)
  }

  get heldBytes(): number {
    return this.heap.heldBytes + (this.unacked.size + this.overdue.size) * 32
  }

  arm(): void {
    if (this.heap.length > 0) this.alarm.set(this.heap.firstDue)
  }

  stop(): void {
    this.alarm.stop()
  }
}
