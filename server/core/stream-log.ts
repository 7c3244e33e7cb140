// The tickets of a stream in the order of their offsets, and where readers are in it. Offsets are consecutive, so only the first
// of each chunk is kept, and tickets as their distances, as in ticket-ring.ts: one or two bytes a message. Chunks are what
// retention drops, and what a point in time is looked for in. Owned by stream.ts.
import type { Ticket } from './core-api'

/** A chunk of a stream is at most so long: what comes before an offset in its chunk is walked over. */
const CHUNK_MESSAGES_MAX = 1024
const DISTANCES_MIN = 32
/** Of a distance: tickets fit 53 bits. */
const DISTANCE_BYTES_MAX = 8
/** An object of eleven fields and its array, about. */
const CHUNK_BYTES = 240

export interface Chunk {
  firstOffset: number
  firstTicket: Ticket
  lastTicket: Ticket
  count: number
  bytes: number // of bodies
  /** When its first and its last message came, ms; NaN: not known, which is so after a restart. */
  firstMs: number
  lastMs: number
  /** From each ticket to the next, LEB128. */
  distances: Uint8Array
  used: number
  next: Chunk | null
}

/** When a chunk ends before it is full, so that retention can be more exact. */
export interface ChunkLimits {
  bytes: number
  spanMs: number
}

export class StreamLog {
  /** One past the newest. */
  nextOffset = 0
  bytes = 0
  limits: ChunkLimits = { bytes: Number.POSITIVE_INFINITY, spanMs: Number.POSITIVE_INFINITY }
  private chunks: Chunk[] = []
  private head = 0
  /** The next message begins a new chunk. */
  private isSealed = true

  get firstOffset(): number {
    return this.head < this.chunks.length ? this.chunks[this.head].firstOffset : this.nextOffset
  }

  get count(): number {
    return this.nextOffset - this.firstOffset
  }

  get chunkCount(): number {
    return this.chunks.length - this.head
  }

  /** The oldest; call only when count > 0. */
  get first(): Chunk {
    return this.chunks[this.head]
  }

  get last(): Chunk {
    return this.chunks[this.chunks.length - 1]
  }

  get heldBytes(): number {
    return this.chunkCount * CHUNK_BYTES + this.count * 1.5
  }

  /** `ticket` is higher than all before it; `ms` no earlier, or NaN. */
  append(ticket: Ticket, bytes: number, ms: number): void {
    let chunk = this.last
    if (this.isSealed || this.isFull(chunk, bytes, ms)) chunk = this.open(ticket, ms)
    else addDistance(chunk, ticket - chunk.lastTicket)
    chunk.lastTicket = ticket
    chunk.lastMs = ms
    chunk.count++
    chunk.bytes += bytes
    this.bytes += bytes
    this.nextOffset++
  }

  private isFull(chunk: Chunk, bytes: number, ms: number): boolean {
    const { limits } = this
    return (
      chunk.count === CHUNK_MESSAGES_MAX || chunk.bytes + bytes > limits.bytes || ms - chunk.firstMs >= limits.spanMs
    )
  }

  private open(ticket: Ticket, ms: number): Chunk {
    const chunk: Chunk = {
      firstOffset: this.nextOffset,
      firstTicket: ticket,
      lastTicket: ticket,
      count: 0,
      bytes: 0,
      firstMs: ms,
      lastMs: ms,
      distances: new Uint8Array(DISTANCES_MIN),
      used: 0,
      next: null,
    }
    if (this.head < this.chunks.length) {
      const { last } = this
      last.next = chunk
      last.distances = last.distances.slice(0, last.used)
    }
    this.chunks.push(chunk)
    this.isSealed = false
    return chunk
  }

  /** What comes from now on stands in chunks of its own. */
  seal(): void {
    this.isSealed = true
  }

  /** Removes the oldest chunk; call only when there is one. */
  dropFirst(): Chunk {
    const chunk = this.chunks[this.head++]
    this.bytes -= chunk.bytes
    if (this.head === this.chunks.length) this.isSealed = true
    if (this.head > 64 && this.head * 2 > this.chunks.length) {
      this.chunks = this.chunks.slice(this.head)
      this.head = 0
    }
    return chunk
  }

  /** Of the only chunk, the newest message stays in its stead. Returns the chunk as it was. */
  keepNewest(ms: number): Chunk {
    const { nextOffset } = this
    const chunk = this.dropFirst()
    const bytes = Math.round(chunk.bytes / chunk.count)
    this.nextOffset--
    this.append(chunk.lastTicket, bytes, ms)
    this.nextOffset = nextOffset
    chunk.next = this.last
    return chunk
  }

  /** After recovery, which counts from 0: the newest message turns out to have this offset. */
  rebase(newestOffset: number): void {
    const by = newestOffset + 1 - this.nextOffset
    this.nextOffset += by
    for (let i = this.head; i < this.chunks.length; i++) this.chunks[i].firstOffset += by
  }

  /** The last chunk for which `isBefore` says true, or the first one: it is true up to some chunk, and false from there on. Stops
   *  when it says null. */
  lastWhere(isBefore: (chunk: Chunk) => boolean | null): Chunk | null {
    let [low, high] = [this.head, this.chunks.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      const before = isBefore(this.chunks[middle])
      if (before === null) return null
      if (before) low = middle
      else high = middle - 1
    }
    return this.chunks[low]
  }

  /** `offset` is one that is there. */
  chunkOf(offset: number): Chunk {
    return this.lastWhere((chunk) => chunk.firstOffset <= offset) as Chunk
  }

  *[Symbol.iterator](): Iterator<Chunk> {
    for (let i = this.head; i < this.chunks.length; i++) yield this.chunks[i]
  }
}

/** A place in a stream. Chunks may be dropped behind its back. */
export class Cursor {
  private chunk: Chunk | null = null
  /** The offset that `ticket` belongs to; at most `offset`. */
  private position = 0
  private ticket: Ticket = 0
  private readonly distances = new DistanceReader()

  /** `offset`: of the message that comes next, be it there or not. */
  constructor(
    private readonly log: StreamLog,
    public offset: number,
  ) {}

  /** The ticket at `offset`; call only when that is there. */
  get current(): Ticket {
    if (this.chunk === null || this.position > this.offset || this.position < this.log.firstOffset) this.find()
    while (this.position < this.offset) this.step()
    return this.ticket
  }

  private find(): void {
    this.enter(this.log.chunkOf(this.offset))
  }

  private enter(chunk: Chunk): void {
    this.chunk = chunk
    this.position = chunk.firstOffset
    this.ticket = chunk.firstTicket
    this.distances.restart()
  }

  private step(): void {
    const chunk = this.chunk as Chunk
    if (this.position + 1 === chunk.firstOffset + chunk.count) this.enter(chunk.next as Chunk)
    else {
      this.position++
      this.ticket += this.distances.next(chunk)
    }
  }
}

/** Reads distances one after the other. */
class DistanceReader {
  private at = 0

  restart(): void {
    this.at = 0
  }

  next({ distances }: Chunk): number {
    let distance = 0
    for (let unit = 1; ; unit *= 128) {
      const byte = distances[this.at++]
      distance += (byte & 127) * unit
      if (byte < 128) return distance
    }
  }
}

export function* ticketsOf(chunk: Chunk): Iterable<Ticket> {
  const distances = new DistanceReader()
  let ticket = chunk.firstTicket
  for (let i = 1; i < chunk.count; i++) {
    yield ticket
    ticket += distances.next(chunk)
  }
  yield ticket
}

function addDistance(chunk: Chunk, distance: number): void {
  if (chunk.used + DISTANCE_BYTES_MAX > chunk.distances.length) {
    const larger = new Uint8Array(chunk.distances.length * 2)
    larger.set(chunk.distances)
    chunk.distances = larger
  }
  const { distances } = chunk
  while (distance > 127) {
    distances[chunk.used++] = (distance % 128) | 128
    distance = Math.floor(distance / 128)
  }
  distances[chunk.used++] = distance
}
