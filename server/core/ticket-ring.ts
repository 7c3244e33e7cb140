// First-in first-out of tickets: a linked list of typed chunks, so that ten million queued messages cost about eight
// bytes each and an idle queue next to nothing. Owned by one queue.
import type { Ticket } from './core-api'

const CHUNK_MIN = 16
const CHUNK_MAX = 4096

interface Chunk {
  tickets: Float64Array
  next: Chunk | null
}

export class TicketRing {
  length = 0
  private head: Chunk | null = null
  private tail: Chunk | null = null
  private readAt = 0
  private writeAt = 0

  push(ticket: Ticket): void {
    if (this.tail === null || this.writeAt === this.tail.tickets.length) this.addChunk()
    ;(this.tail as Chunk).tickets[this.writeAt++] = ticket
    this.length++
  }

  /** Call only when length > 0. */
  peek(): Ticket {
    return (this.head as Chunk).tickets[this.readAt]
  }

  /** Call only when length > 0. */
  shift(): Ticket {
    const head = this.head as Chunk
    const ticket = head.tickets[this.readAt++]
    if (--this.length === 0) {
      this.readAt = 0
      this.writeAt = 0
    } else if (this.readAt === head.tickets.length) {
      this.head = head.next
      this.readAt = 0
    }
    return ticket
  }

  clear(): void {
    this.head = null
    this.tail = null
    this.length = 0
    this.readAt = 0
    this.writeAt = 0
  }

  private addChunk(): void {
    const size = this.tail === null ? CHUNK_MIN : Math.min(CHUNK_MAX, this.tail.tickets.length * 4)
    const chunk = { tickets: new Float64Array(size), next: null }
    if (this.tail === null) this.head = chunk
    else this.tail.next = chunk
    this.tail = chunk
    this.writeAt = 0
  }
}
