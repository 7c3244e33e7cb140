// Messages of a queue that were delivered before and wait again. They go out ahead of newer ones, lowest ticket first, and
// being here is what makes a delivery `redelivered`. A binary heap: a million may come back at once, in any order.
import type { Ticket } from './core-api'

const CAPACITY_MIN = 16

export class Returned {
  length = 0
  /** Each entry is lower than those at twice its place and one and two beyond; the lowest is first. */
  private tickets = new Float64Array(0)

  /** Call only when length > 0. */
  peek(): Ticket {
    return this.tickets[0]
  }

  /** Call only when length > 0. */
  shift(): Ticket {
    const lowest = this.tickets[0]
    const last = this.tickets[--this.length]
    if (this.length === 0) this.clear()
    else this.sink(last)
    return lowest
  }

  add(ticket: Ticket): void {
    if (this.length === this.tickets.length) this.grow()
    const { tickets } = this
    let at = this.length++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (tickets[parent] <= ticket) break
      tickets[at] = tickets[parent]
      at = parent
    }
    tickets[at] = ticket
  }

  clear(): void {
    this.length = 0
    this.tickets = new Float64Array(0)
  }

  /** In no order. */
  *[Symbol.iterator](): Iterator<Ticket> {
    for (let i = 0; i < this.length; i++) yield this.tickets[i]
  }

  /** From the top, to where nothing below is lower. */
  private sink(ticket: Ticket): void {
    const { tickets, length } = this
    let at = 0
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && tickets[child + 1] < tickets[child]) child++
      if (tickets[child] >= ticket) break
      tickets[at] = tickets[child]
      at = child
    }
    tickets[at] = ticket
  }

  private grow(): void {
    const larger = new Float64Array(Math.max(CAPACITY_MIN, this.tickets.length * 2))
    larger.set(this.tickets)
    this.tickets = larger
  }
}
