// Tickets by the time they are due, the earliest first, those of one time in order of publish: a binary heap in two typed arrays,
// 16 bytes a message. Used by delay.ts.
import type { Ticket } from './core-api'

const CAPACITY_MIN = 64

export class DueHeap {
  length = 0
  private dues = new Float64Array(CAPACITY_MIN)
  private tickets = new Float64Array(CAPACITY_MIN)

  /** Of a heap that is not empty. */
  get firstDue(): number {
    return this.dues[0]
  }

  get firstTicket(): Ticket {
    return this.tickets[0]
  }

  get heldBytes(): number {
    return this.dues.length * 16
  }

  push(due: number, ticket: Ticket): void {
    if (this.length === this.dues.length) this.resize(this.length * 2)
    let at = this.length++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.isBefore(due, ticket, parent)) break
      this.put(at, this.dues[parent], this.tickets[parent])
      at = parent
    }
    this.put(at, due, ticket)
  }

  /** Removes the first. */
  pop(): void {
    this.removeAt(0)
  }

  /** Walks over all; false: it is not there. */
  remove(ticket: Ticket): boolean {
    const at = this.tickets.subarray(0, this.length).indexOf(ticket)
    if (at !== -1) this.removeAt(at)
    return at !== -1
  }

  /** The first `count` in order; costs about their number squared, the rest of the heap nothing. */
  first(count: number): { due: number; ticket: Ticket }[] {
    const found: { due: number; ticket: Ticket }[] = []
    const open = this.length === 0 ? [] : [0]
    while (open.length > 0 && found.length < count) {
      let least = 0
      for (let i = 1; i < open.length; i++) {
        if (this.isBefore(this.dues[open[i]], this.tickets[open[i]], open[least])) least = i
      }
      const at = open[least]
      open[least] = open[open.length - 1]
      open.pop()
      found.push({ due: this.dues[at], ticket: this.tickets[at] })
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < this.length) open.push(child)
    }
    return found
  }

  /** In no order. */
  *entries(): Iterable<{ due: number; ticket: Ticket }> {
    for (let i = 0; i < this.length; i++) yield { due: this.dues[i], ticket: this.tickets[i] }
  }

  private removeAt(at: number): void {
    const last = --this.length
    const [due, ticket] = [this.dues[last], this.tickets[last]]
    if (at === last) return
    this.put(at, due, ticket)
    this.sinkOrRise(at, due, ticket)
    if (this.dues.length > CAPACITY_MIN && this.length * 4 < this.dues.length) this.resize(this.dues.length / 2)
  }

  private sinkOrRise(at: number, due: number, ticket: Ticket): void {
    for (let child = 2 * at + 1; child < this.length; child = 2 * at + 1) {
      const right = child + 1
      if (right < this.length && this.isBefore(this.dues[right], this.tickets[right], child)) child = right
      if (!this.isBefore(this.dues[child], this.tickets[child], at)) break
      this.put(at, this.dues[child], this.tickets[child])
      this.put(child, due, ticket)
      at = child
    }
    for (let parent = (at - 1) >> 1; at > 0 && this.isBefore(due, ticket, parent); parent = (at - 1) >> 1) {
      this.put(at, this.dues[parent], this.tickets[parent])
      this.put(parent, due, ticket)
      at = parent
    }
  }

  private isBefore(due: number, ticket: Ticket, other: number): boolean {
    return due < this.dues[other] || (due === this.dues[other] && ticket < this.tickets[other])
  }

  private put(at: number, due: number, ticket: Ticket): void {
    this.dues[at] = due
    this.tickets[at] = ticket
  }

  private resize(capacity: number): void {
    const [dues, tickets] = [new Float64Array(capacity), new Float64Array(capacity)]
    dues.set(this.dues.subarray(0, this.length))
    tickets.set(this.tickets.subarray(0, this.length))
    this.dues = dues
    this.tickets = tickets
  }
}
