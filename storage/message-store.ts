// Message bytes in memory: slabs of bytes, named by tickets, counted by references. Knows nothing of AMQP but the stored
// form (see segment.ts). The journal above it makes messages durable; queues hold tickets only.

import { Arena, SLAB_BYTES } from './arena'
import type { ReturnCounts } from './batch-codec'
import { BufferPool } from './buffer-pool'
import { copyBytes } from './bytes'
import { SEGMENT_TICKETS, Segment, type SpillPlace, STORED_HEAD_BYTES, STORED_TAIL_BYTES } from './segment'
import type { SpillFile } from './spill-file'

export type Ticket = number

/** Where a message's bytes lie, from its names on; valid until the end of the turn. */
export interface ByteRange {
  buf: Buffer
  start: number
  end: number
}

/** A message about to be stored, as ranges of the buffers it arrived in. Reused by its filler. */
export interface IncomingMessage {
  namesBuf: Buffer // [len exchange][len routing key], verbatim
  namesStart: number
  namesEnd: number
  headerBuf: Buffer // payload of the content header frame
  headerStart: number
  headerEnd: number
  bodyBuf: Buffer
  bodyStart: number
  bodyEnd: number
}

export interface StoreEvents {
  /** A segment with a read-ahead mark is used. */
  onMark(segment: Segment): void
  /** Message bytes have left memory. */
  onRoom(): void
}

const FRAME_HEAD = 7
const FRAME_OVERHEAD = 8
const FRAME_END = 0xce
const HEADER_FRAME = 2
const BODY_FRAME = 3
const NOTHING: Buffer = Buffer.alloc(0)
const NO_OFFSETS = new Uint32Array(0)
const LEAST_COUNT = 64
const COUNT_SLACK = 9 / 8
const PAGE_OUT_STEP_SLABS = 4
/** Slabs are looked through again when there is so much more of them. */
const LOOK_AGAIN = 9 / 8

export class MessageStore {
  readonly segments = new Map<number, Segment>()
  /** Of a usual slab. A test may lower it before the first message. */
  slabSize = SLAB_BYTES
  /** Of its first slabs. */
  readonly arena = new Arena()
  /** Of the other slabs, and what else holds message bytes for a while. */
  readonly buffers = new BufferPool()
  /** Bytes of slabs held, the pool not counted. */
  slabBytes = 0
  private current: Segment
  /** Of its slab. What is larger than a usual one is alone in it: a small message must not keep it. */
  private room = 0
  private hot: Segment
  /** Messages that the next segment will have, by the one before: to grow is to copy. */
  private likelyCount = LEAST_COUNT
  private nextSegment = 1
  /** The one segment at rest whose references are laid out. */
  private expanded: Segment | null = null
  private spillTarget = 0
  /** On their way to the spill file. */
  private spillingBytes = 0
  /** Full segments in memory, in the order they came there: what pageOutTo looks through. */
  private resident: Segment[] = []
  private slabBytesSeen = 0

  /** `spill`: where messages go that are not in the log; null: they stay in memory. */
  constructor(
    readonly spill: SpillFile | null = null,
    private readonly events: StoreEvents = { onMark() {}, onRoom() {} },
  ) {
    this.current = this.open(this.slabSize)
    this.hot = this.current
  }

  /** After recovery: new tickets start behind all recovered ones. */
  startAfter(segmentNumber: number): void {
    if (this.current.live === 0) this.drop(this.current)
    this.nextSegment = Math.max(this.nextSegment, segmentNumber + 1)
    this.current = this.open(this.slabSize)
    this.hot = this.current
  }

  /** Copies the bytes once, for `refs` queues of which `logRefs` want it durable. */
  append(m: IncomingMessage, refs: number, logRefs: number): Ticket {
    const size = STORED_HEAD_BYTES + storedSize(m)
    let segment = this.current
    if (segment.used + size > this.room || segment.count === SEGMENT_TICKETS) {
      segment = this.rotate(size)
    }
    const index = segment.count++
    if (index === segment.refs.length) segment.grow()
    const slab = segment.slab as Buffer
    if (m.namesBuf === this.lent && isWhole(m)) this.borrow(m.namesBuf, m.namesStart - STORED_HEAD_BYTES, size)
    else {
      this.keepBorrowed()
      for (let i = segment.used; i < segment.used + STORED_HEAD_BYTES; i++) slab[i] = 0
      copyMessage(m, slab, segment.used + STORED_HEAD_BYTES)
    }
    segment.used += size
    segment.offsets[index + 1] = segment.used
    segment.refs[index] = refs
    if (logRefs !== 0) segment.setLogRefs(index, logRefs)
    segment.live++
    return segment.number * SEGMENT_TICKETS + index
  }

  // -- messages that are still in the chunk they came in --------------------------------------------------------------

  /** The chunk that is being read stays as it is until stopBorrowing: its messages may be copied together. */
  startBorrowing(chunk: Buffer): void {
    this.lent = chunk
  }
  private lent: Buffer = NOTHING
  /** Frames of the last messages, not copied yet: they belong to the end of the current slab's used bytes. */
  private borrowed: Buffer = NOTHING
  private borrowedStart = 0
  private borrowedEnd = 0

  private borrow(buf: Buffer, start: number, size: number): void {
    if (buf !== this.borrowed || start !== this.borrowedEnd) {
      this.keepBorrowed()
      this.borrowed = buf
      this.borrowedStart = start
    }
    this.borrowedEnd = start + size
  }

  /** The chunk is about to go, or somebody wants to read what came in it. */
  private keepBorrowed(): void {
    if (this.borrowed === NOTHING) return
    const { slab, used } = this.current
    const at = used - (this.borrowedEnd - this.borrowedStart)
    copyBytes(this.borrowed, this.borrowedStart, this.borrowedEnd, slab as Buffer, at)
    this.borrowed = NOTHING
  }

  /** The end of startBorrowing. */
  stopBorrowing(): void {
    this.keepBorrowed()
    this.lent = NOTHING
  }

  // -- stored messages ------------------------------------------------------------------------------------------------

  segmentOf(ticket: Ticket): Segment | undefined {
    const number = Math.floor(ticket / SEGMENT_TICKETS)
    if (this.hot.number === number) return this.hot
    const segment = this.segments.get(number)
    if (segment !== undefined) this.enter(segment)
    return segment
  }

  private enter(segment: Segment): void {
    this.hot = segment
    if (!segment.isReadAheadMark) return
    segment.isReadAheadMark = false
    this.events.onMark(segment)
  }

  /** Of a segment at rest: its references can be read and changed, until the next one's are. */
  expand(segment: Segment): void {
    if (!segment.isCompact) return
    this.expanded?.compact()
    this.expanded = segment
    segment.expand()
  }

  /** false: the bytes are not in memory, see Journal.load. */
  locate(ticket: Ticket, range: ByteRange): boolean {
    const segment = this.segmentOf(ticket)
    if (segment === undefined || segment.slab === null) return false
    if (this.borrowed !== NOTHING) this.keepBorrowed()
    const index = ticket % SEGMENT_TICKETS
    range.buf = segment.slab
    range.start = segment.offsets[index] + STORED_HEAD_BYTES
    range.end = segment.offsets[index + 1]
    return true
  }

  /** The queues that have priorities look for it there as long as the message lives; the log keeps it. */
  setPriority(ticket: Ticket, priority: number): void {
    this.segmentOf(ticket)?.setPriority(ticket % SEGMENT_TICKETS, priority)
  }

  /** -1: none was set. */
  priorityOf(ticket: Ticket): number {
    return this.segmentOf(ticket)?.priorityAt(ticket % SEGMENT_TICKETS) ?? -1
  }

  /** How often the message came back to the queue; undefined: never, or nobody counts. As priorities, this stands beside the message as
   *  long as it lives. */
  returnsOf(queueId: number, ticket: Ticket): ReturnCounts | undefined {
    return this.segmentOf(ticket)?.returnsOf(queueId, ticket % SEGMENT_TICKETS)
  }

  /** One reference less; the last one frees the bytes. */
  release(ticket: Ticket): void {
    const segment = this.segmentOf(ticket)
    if (segment !== undefined) this.releaseIn(segment, ticket % SEGMENT_TICKETS)
  }

  releaseIn(segment: Segment, index: number): void {
    if (segment.isCompact) this.expand(segment)
    if (segment.refs[index] === 0 || --segment.refs[index] !== 0) return
    segment.live--
    if (segment.live === 0 && segment !== this.current) this.drop(segment)
  }

  /** A segment as recovery finds it: no bytes, tickets known. */
  recoverSegment(number: number): Segment {
    let segment = this.segments.get(number)
    if (segment === undefined) {
      segment = new Segment(number, null, 0)
      this.segments.set(number, segment)
    }
    return segment
  }

  /** Forgets a segment without live messages. */
  drop(segment: Segment): void {
    this.segments.delete(segment.number)
    if (this.hot === segment) this.hot = this.current
    if (this.expanded === segment) this.expanded = null
    this.freeSlab(segment)
    this.freeSpill(segment)
  }

  /** Gives the segment's slab back; the caller made sure that its bytes are elsewhere. */
  pageOut(segment: Segment): void {
    if (segment.slab === null) return
    this.freeSlab(segment)
    segment.offsets = NO_OFFSETS
    segment.compact()
  }

  private freeSlab(segment: Segment): void {
    const slab = segment.slab
    // A slab that is being written to the spill file belongs to that write until it ends.
    if (slab === null || segment.loading) return
    segment.slab = null
    this.slabBytes -= slab.length
    this.giveSlab(slab)
  }

  /** One that takeSlab gave, and no segment has. */
  giveSlab(slab: Buffer): void {
    if (this.arena.offsetOf(slab) === -1) this.buffers.give(slab)
    else this.arena.slabs.give(slab)
  }

  private freeSpill(segment: Segment): void {
    if (segment.spill !== null) this.spill?.free(segment.spill)
    segment.spill = null
  }

  /** Lets go of slabs until at most `bytes` are held, or nothing more can go: those whose messages are all in the log at once,
   *  others by way of the spill file. The newest first: the oldest are what consumers want next. */
  pageOutTo(bytes: number): void {
    this.spillTarget = bytes
    // Looking through all of it again pays only when there is something new.
    if (this.slabBytes - this.slabBytesSeen >= PAGE_OUT_STEP_SLABS * this.slabSize || this.slabBytesSeen <= bytes) {
      for (let i = this.resident.length - 1; i >= 0 && this.slabBytes > bytes; i--) {
        if (this.resident[i].isPageable) this.pageOut(this.resident[i])
      }
      this.resident = this.resident.filter((segment) => segment.slab !== null)
      this.slabBytesSeen = this.slabBytes
    }
    this.spillMore()
  }

  get isSpilling(): boolean {
    return this.spillingBytes > 0
  }

  /** Lets go of slabs whose messages are all in the log beyond `bytes` of them, the newest first. Cheap to ask every turn. */
  keepLogged(bytes: number): void {
    this.nextLookAt = Math.min(this.nextLookAt, Math.max(bytes, this.slabBytes) * LOOK_AGAIN)
    if (this.slabBytes < this.nextLookAt) return
    let kept = 0
    for (const segment of this.resident) {
      if (!segment.isPageable) continue
      const slab = segment.slab as Buffer
      if (kept + slab.length <= bytes) kept += slab.length
      else this.pageOut(segment)
    }
    this.resident = this.resident.filter((segment) => segment.slab !== null)
    this.nextLookAt = Math.max(bytes, this.slabBytes) * LOOK_AGAIN
  }
  private nextLookAt = 0

  private spillMore(): void {
    for (let i = this.resident.length - 1; i >= 0 && this.slabBytes - this.spillingBytes > this.spillTarget; i--) {
      if (!this.spillOut(this.resident[i])) break
    }
  }

  /** false: the spill file takes no more just now. */
  private spillOut(segment: Segment): boolean {
    const { spill } = this
    const slab = segment.slab
    if (spill === null || !spill.hasRoom) return false
    if (slab === null || segment.loading || !segment.isWritten) return true
    segment.loading = true
    this.spillingBytes += slab.length
    spill.write([bytesOf(segment.offsets, segment.count + 1), slab.subarray(0, segment.used)]).then(
      (place) => this.onSpilled(segment, slab, place),
      () => this.onSpilled(segment, slab, null),
    )
    return true
  }

  private onSpilled(segment: Segment, slab: Buffer, place: SpillPlace | null): void {
    segment.loading = false
    this.spillingBytes -= slab.length
    if (segment.live === 0) {
      this.freeSlab(segment)
      if (place !== null) this.spill?.free(place)
    } else if (place !== null) {
      segment.spill = place
      this.pageOut(segment)
    }
    while (this.resident.at(-1)?.slab === null) this.resident.pop()
    this.spillMore()
    this.events.onRoom()
  }

  pageIn(segment: Segment, slab: Buffer): void {
    this.expand(segment)
    if (this.expanded === segment) this.expanded = null
    segment.slab = slab
    this.freeSpill(segment)
    this.resident.unshift(segment)
    this.slabBytes += slab.length
  }

  takeSlab(bytes: number): Buffer {
    const size = Math.max(bytes, this.slabSize)
    // Not the first: mostly it stays the only one.
    const ofArena = size === SLAB_BYTES && this.nextSegment > 1 ? this.arena.slabs.take() : null
    return ofArena ?? this.buffers.take(size)
  }

  /** Brings a spilled segment back. Rejects with the file's error. */
  async unspill(segment: Segment): Promise<void> {
    if (segment.spill === null || this.spill === null) return
    const offsets = new Uint32Array(segment.count + 1)
    const slab = this.takeSlab(segment.used)
    try {
      await this.spill.read(segment.spill, [bytesOf(offsets, offsets.length), slab.subarray(0, segment.used)])
    } catch (error) {
      this.giveSlab(slab)
      if (segment.live > 0) throw error // else nobody wants it any more, and its place may be another's
      return
    }
    if (segment.live === 0) return this.giveSlab(slab)
    segment.offsets = offsets
    this.pageIn(segment, slab)
  }

  isCurrent(segment: Segment): boolean {
    return segment === this.current
  }

  private rotate(size: number): Segment {
    this.keepBorrowed()
    const old = this.current
    if (old.live === 0) this.drop(old)
    else this.resident.push(old)
    this.likelyCount = Math.min(SEGMENT_TICKETS, Math.max(LEAST_COUNT, Math.ceil(old.count * COUNT_SLACK)))
    this.current = this.open(size)
    this.hot = this.current
    return this.current
  }

  private open(bytes: number): Segment {
    const slab = this.takeSlab(bytes)
    this.room = Math.max(bytes, this.slabSize)
    this.slabBytes += slab.length
    const segment = new Segment(this.nextSegment++, slab, this.likelyCount)
    this.segments.set(segment.number, segment)
    return segment
  }
}

/** `range` becomes a stored message of its own, outside the store. */
export function storeApart(m: IncomingMessage, range: ByteRange): void {
  range.buf = Buffer.allocUnsafeSlow(storedSize(m))
  range.start = 0
  range.end = copyMessage(m, range.buf, 0)
}

function storedSize(m: IncomingMessage): number {
  const body = m.bodyEnd - m.bodyStart
  const framed = m.headerEnd - m.headerStart + FRAME_OVERHEAD + (body === 0 ? 0 : body + FRAME_OVERHEAD)
  return m.namesEnd - m.namesStart + STORED_TAIL_BYTES + framed
}

/** Its frames stand side by side in one buffer. */
function isWhole(m: IncomingMessage): boolean {
  const { namesBuf, headerBuf, headerEnd } = m
  if (namesBuf !== headerBuf || m.headerStart !== m.namesEnd + STORED_TAIL_BYTES + FRAME_HEAD) return false
  if (m.namesStart < STORED_HEAD_BYTES) return false
  return m.bodyEnd === m.bodyStart || (m.bodyBuf === headerBuf && m.bodyStart === headerEnd + FRAME_OVERHEAD)
}

function copyMessage(m: IncomingMessage, dst: Buffer, at: number): number {
  at = copyBytes(m.namesBuf, m.namesStart, m.namesEnd, dst, at)
  dst[at++] = 0
  dst[at++] = FRAME_END
  at = copyFrame(HEADER_FRAME, m.headerBuf, m.headerStart, m.headerEnd, dst, at)
  return m.bodyEnd === m.bodyStart ? at : copyFrame(BODY_FRAME, m.bodyBuf, m.bodyStart, m.bodyEnd, dst, at)
}

function bytesOf(numbers: Uint32Array, count: number): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, count * 4)
}

function copyFrame(type: number, src: Buffer, start: number, end: number, dst: Buffer, at: number): number {
  const size = end - start
  dst[at] = type
  dst[at + 1] = 0
  dst[at + 2] = 0
  dst[at + 3] = size >>> 24
  dst[at + 4] = (size >>> 16) & 0xff
  dst[at + 5] = (size >>> 8) & 0xff
  dst[at + 6] = size & 0xff
  at = copyBytes(src, start, end, dst, at + 7)
  dst[at] = FRAME_END
  return at + 1
}
