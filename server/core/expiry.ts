// When the messages of one queue expire: a heap of times, so that a message goes when its own time comes, whatever stands before it
// in the queue. Entries of messages that have left the queue earlier stay in the heap until they come up or outnumber the
// others. Exists only in queues that have, or had, a message with a TTL. RabbitMQ docs "Time-To-Live and Expiration".
import type { Clock, Timer } from './clock'
import type { Ticket } from './core-api'
import { DueHeap } from './due-heap'

/** Timers do not notice that the clock was set or the machine slept: so late, at most, is what was due meanwhile. */
const TIMER_MS_MAX = 10_000
/** With fewer entries in the heap than this, those of messages that have gone are left alone. */
const STALE_MIN = 1024

export class Expiry {
  /** Expired, or dropped, and still in the queue's ring, where they are passed over. */
  readonly gone = new Set<Ticket>()
  private readonly heap = new DueHeap()
  /** With a time, and back in the queue after a delivery. */
  private readonly returned = new Set<Ticket>()
  private readonly unacked = new Set<Ticket>()
  /** Unacked, and its time has come: it expires should it come back. */
  private readonly overdue = new Set<Ticket>()
  private timer: Timer | null = null
  private timerDue = Number.POSITIVE_INFINITY

  constructor(
    private readonly clock: Clock,
    private readonly onDue: () => void,
  ) {}

  add(due: number, ticket: Ticket): void {
    this.heap.push(due, ticket)
    this.arm()
  }

  /** The first whose time has come and that waits: in the ring, whose head is `ringHead`, or back from a consumer. null: none.
   *  It stays the first until `pop`. */
  firstDue(now: number, ringHead: Ticket): Ticket | null {
    const { heap } = this
    while (heap.length > 0 && heap.firstDue <= now) {
      const ticket = heap.firstTicket
      if (this.waits(ticket, ringHead)) return ticket
      if (this.unacked.has(ticket)) this.overdue.add(ticket)
      heap.pop()
    }
    return null
  }

  private waits(ticket: Ticket, ringHead: Ticket): boolean {
    return !this.gone.has(ticket) && (ticket >= ringHead || this.returned.has(ticket))
  }

  /** The first has expired. */
  pop(): void {
    const ticket = this.heap.firstTicket
    this.heap.pop()
    this.returned.delete(ticket)
    this.gone.add(ticket)
  }

  onDelivered(ticket: Ticket): void {
    this.returned.delete(ticket)
    this.unacked.add(ticket)
  }

  /** It has left the queue for good, ready or unacked. */
  onSettled(ticket: Ticket): void {
    this.returned.delete(ticket)
    this.unacked.delete(ticket)
    this.overdue.delete(ticket)
  }

  /** true: its time came while a consumer had it. */
  onReturned(ticket: Ticket): boolean {
    // One without a time is of no concern.
    if (!this.unacked.delete(ticket)) return false
    this.returned.add(ticket)
    return this.overdue.delete(ticket)
  }

  /** Nothing waits any more. */
  onPurged(): void {
    this.gone.clear()
    this.returned.clear()
  }

  /** Lets go of entries of what has gone, when they are most of them. Call now and again. */
  tidy(ringHead: Ticket, held: number): void {
    const { heap } = this
    if (heap.length < STALE_MIN || heap.length < 2 * held) return
    const entries = [...heap.entries()].filter(({ ticket }) => this.waits(ticket, ringHead) || this.unacked.has(ticket))
    heap.length = 0
    for (const { due, ticket } of entries) heap.push(due, ticket)
  }

  get heldBytes(): number {
    return this.heap.heldBytes + (this.gone.size + this.returned.size + this.unacked.size) * 32
  }

  /** For the first that is due; does nothing where a timer already stands for then. */
  arm(): void {
    const { heap } = this
    if (heap.length === 0 || heap.firstDue >= this.timerDue) return
    this.timer?.cancel()
    this.timerDue = heap.firstDue
    const ms = Math.min(Math.max(0, heap.firstDue - this.clock.now()), TIMER_MS_MAX)
    this.timer = this.clock.after(ms, () => {
      this.stop()
      this.onDue()
    })
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = null
    this.timerDue = Number.POSITIVE_INFINITY
  }
}
