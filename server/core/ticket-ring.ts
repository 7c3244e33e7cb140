// First-in first-out of ascending tickets: a linked list of chunks of bytes, in which each ticket stands as its distance from
// the one before (LEB128, seven bits a byte). Neighbours cost one byte each, and every thousandth message two: so ten
// million queued messages take 10 to 20 MB, and an idle queue next to nothing. Owned by one queue.
import type { Ticket } from './core-api'

const CHUNK_MIN = 32
const CHUNK_MAX = 8192
/** Of a distance: tickets fit 53 bits. */
const BYTES_MAX = 8

interface Chunk {
  bytes: Uint8Array
  /** Where the written bytes end; of the tail, `writeAt` says it. */
  end: number
  next: Chunk | null
}

export class TicketRing {
  length = 0
  private head: Chunk | null = null
  private tail: Chunk | null = null
  private readAt = 0 // of the distance to the second ticket
  private writeAt = 0
  private first: Ticket = 0
  private last: Ticket = 0

  /** `ticket` is higher than all before it. */
  push(ticket: Ticket): void {
    if (this.length++ === 0) this.first = ticket
    else {
      if (this.tail === null || this.writeAt > this.tail.bytes.length - BYTES_MAX) this.addChunk()
      const { bytes } = this.tail as Chunk
      let distance = ticket - this.last
      while (distance > 127) {
        bytes[this.writeAt++] = (distance % 128) | 128
        distance = Math.floor(distance / 128)
      }
      bytes[this.writeAt++] = distance
    }
    this.last = ticket
  }

  /** Call only when length > 0. */
  peek(): Ticket {
    return this.first
  }

  /** Call only when length > 0. */
  shift(): Ticket {
    const ticket = this.first
    if (--this.length === 0) {
      this.readAt = 0
      this.writeAt = 0
      this.head = this.tail
    } else this.first = ticket + this.readDistance()
    return ticket
  }

  clear(): void {
    this.head = null
    this.tail = null
    this.length = 0
    this.readAt = 0
    this.writeAt = 0
  }

  private readDistance(): number {
    let head = this.head as Chunk
    if (head !== this.tail && this.readAt === head.end) {
      head = head.next as Chunk
      this.head = head
      this.readAt = 0
    }
    const { bytes } = head
    const first = bytes[this.readAt++]
    if (first < 128) return first
    let distance = first & 127
    for (let unit = 128; ; unit *= 128) {
      const byte = bytes[this.readAt++]
      distance += (byte & 127) * unit
      if (byte < 128) return distance
    }
  }

  private addChunk(): void {
    const size = this.tail === null ? CHUNK_MIN : Math.min(CHUNK_MAX, this.tail.bytes.length * 4)
    const chunk = { bytes: new Uint8Array(size), end: 0, next: null }
    if (this.tail === null) this.head = chunk
    else {
      this.tail.end = this.writeAt
      this.tail.next = chunk
    }
    this.tail = chunk
    this.writeAt = 0
  }
}
