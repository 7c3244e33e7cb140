// Messages of a queue that were delivered before and wait again, in ticket order. They go out ahead of newer ones, and
// being here is what makes a delivery `redelivered`.
import type { Ticket } from './core-api'

export class Returned {
  private tickets: Ticket[] = []
  private head = 0

  get length(): number {
    return this.tickets.length - this.head
  }

  /** Call only when length > 0. */
  peek(): Ticket {
    return this.tickets[this.head]
  }

  shift(): Ticket {
    const ticket = this.tickets[this.head++]
    if (this.head === this.tickets.length) this.clear()
    else if (this.head > 1024 && this.head * 2 > this.tickets.length) {
      this.tickets = this.tickets.slice(this.head)
      this.head = 0
    }
    return ticket
  }

  add(ticket: Ticket): void {
    const last = this.tickets.length - 1
    if (this.length === 0 || ticket > this.tickets[last]) this.tickets.push(ticket)
    else if (this.head > 0 && ticket < this.peek()) this.tickets[--this.head] = ticket
    else this.tickets.splice(this.positionOf(ticket), 0, ticket)
  }

  clear(): void {
    this.tickets = []
    this.head = 0
  }

  *[Symbol.iterator](): Iterator<Ticket> {
    for (let i = this.head; i < this.tickets.length; i++) yield this.tickets[i]
  }

  private positionOf(ticket: Ticket): number {
    let low = this.head
    let high = this.tickets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.tickets[middle] < ticket) low = middle + 1
      else high = middle
    }
    return low
  }
}
