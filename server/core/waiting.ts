// The messages of a queue that wait, in the order in which they go out: by ticket, those that were delivered before and came back
// among the others. Any may be taken out of the middle; it is passed over when it comes to the head. Owned by one queue.
import type { Ticket } from './core-api'
import { Returned } from './returned'
import { TicketRing } from './ticket-ring'

export type WaitingMessages = Pick<Waiting, keyof Waiting>

export class Waiting {
  length = 0
  private readonly ring = new TicketRing()
  private readonly returned = new Returned()
  /** Taken out, and still in the ring or among the returned. */
  private readonly gone = new Set<Ticket>()
  /** Those in `returned`, once somebody asks which those are. */
  private returnedSet: Set<Ticket> | null = null

  /** `ticket` is higher than all before it. */
  push(ticket: Ticket): void {
    this.ring.push(ticket)
    this.length++
  }

  /** One that was taken by shift. */
  giveBack(ticket: Ticket): void {
    this.returned.add(ticket)
    this.returnedSet?.add(ticket)
    this.length++
  }

  /** The next; call only when length > 0. */
  get head(): Ticket {
    if (this.gone.size > 0) this.passOver()
    return this.isHeadReturned() ? this.returned.peek() : this.ring.peek()
  }

  /** Takes `head`, which must have been read since the last change. true: it had been delivered before. */
  shift(): boolean {
    this.length--
    return this.shiftAny()
  }

  private shiftAny(): boolean {
    if (!this.isHeadReturned()) {
      this.ring.shift()
      return false
    }
    const ticket = this.returned.shift()
    this.returnedSet?.delete(ticket)
    return true
  }

  /** The one to give up first when there are too many; call only when length > 0. */
  get least(): Ticket {
    return this.head
  }

  /** Takes `least`, which must have been read since the last change. */
  shiftLeast(): void {
    this.shift()
  }

  private passOver(): void {
    while (this.gone.delete(this.isHeadReturned() ? this.returned.peek() : this.ring.peek())) this.shiftAny()
  }

  private isHeadReturned(): boolean {
    if (this.returned.length === 0) return false
    return this.ring.length === 0 || this.returned.peek() < this.ring.peek()
  }

  /** Whether one that was pushed here waits. */
  has(ticket: Ticket): boolean {
    if (this.gone.has(ticket)) return false
    if (this.ring.length > 0 && ticket >= this.ring.peek()) return true
    this.returnedSet ??= new Set(this.returned)
    return this.returnedSet.has(ticket)
  }

  /** Takes one out that waits, wherever it stands. */
  remove(ticket: Ticket): void {
    this.gone.add(ticket)
    if (--this.length === 0) this.clear()
  }

  /** Takes all, in no order. */
  *drain(): Iterable<Ticket> {
    for (const ticket of this.returned) if (!this.gone.has(ticket)) yield ticket
    while (this.ring.length > 0) {
      const ticket = this.ring.shift()
      if (!this.gone.has(ticket)) yield ticket
    }
    this.clear()
  }

  private clear(): void {
    this.ring.clear()
    this.returned.clear()
    this.gone.clear()
    this.returnedSet = null
    this.length = 0
  }

  /** Those that had been delivered before, in no order. */
  *deliveredBefore(): Iterable<Ticket> {
    for (const ticket of this.returned) if (!this.gone.has(ticket)) yield ticket
  }

  /** The lowest that never was delivered; Infinity: there is none. */
  get firstNew(): Ticket {
    return this.ring.length === 0 ? Number.POSITIVE_INFINITY : this.ring.peek()
  }

  /** Memory, about. */
  get heldBytes(): number {
    return this.ring.length * 2 + this.returned.length * 8 + (this.gone.size + (this.returnedSet?.size ?? 0)) * 32
  }

  // -- recovery -------------------------------------------------------------------------------------------------------

  /** One that recovery found; followed by finishRecovery. */
  recover(ticket: Ticket): void {
    this.length++
    // Few: they were copied to the log's end, behind newer ones.
    if (ticket < this.recoveredUpTo) this.recoveredLate.push(ticket)
    else {
      this.recoveredUpTo = ticket
      this.ring.push(ticket)
    }
  }
  private recoveredUpTo: Ticket = 0
  private recoveredLate: Ticket[] = []

  /** `returned`: those that had been delivered. */
  finishRecovery(returned: ReadonlySet<Ticket>): void {
    if (this.recoveredLate.length === 0 && returned.size === 0) return
    const late = Float64Array.from(this.recoveredLate)
    this.recoveredLate = []
    const all = new Float64Array(this.ring.length + late.length)
    all.set(late)
    for (let i = late.length; i < all.length; i++) all[i] = this.ring.shift()
    this.clear()
    for (const ticket of all.sort()) {
      if (returned.has(ticket)) this.giveBack(ticket)
      else this.push(ticket)
    }
  }
}
