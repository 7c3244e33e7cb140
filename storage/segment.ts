// A segment: up to 4,096 consecutive tickets and the slab that holds their message bytes. Message bytes are written once
// and read in place. A segment is the unit of page-out and page-in; storage/message-store owns all segments.
//
// One message in a slab (and, byte for byte, in the payload of a log entry) is the frames of its publish as they came:
//
//   [1 ch ch size.. | 60 40 | 0 0] [len exchange][len routing key] [flags CE] [2 ch ch size.. | content header | CE] [3 ch ch size.. | body | CE]
//   `--- head, 13, never read ---' `--------- names -------------' `- tail -'  `-- content header as one frame --'    `-- absent when size = 0 -'
//
// so that messages which stand side by side in a chunk from a socket are copied together. A delivery takes the names, and then the
// frames behind the tail, in which it patches the channel numbers only. Head and tail are zeros and CE where the message came in
// another way. A body that came in several frames is stored as one, and split again for a receiver whose frame-max is smaller.
// The places of messages that are handed around begin at the names.

import type { ReturnCounts } from './batch-codec'
import { readWord } from './bytes'
import type { LogPosition } from './log-backend'

export const SEGMENT_TICKETS = 4096

/** In front of the names. */
export const STORED_HEAD_BYTES = 13
/** Behind the names. */
export const STORED_TAIL_BYTES = 2

/** Length of the body of the stored message whose names are at `start`, read from its content header. */
export function storedBodyLength(slab: Buffer, start: number): number {
  return readWord(slab, storedHeaderStart(slab, start) + 7 + 8) // upper half is 0: a body fits in 32 bits
}

/** Where the content header frame of the stored message begins. */
export function storedHeaderStart(slab: Buffer, start: number): number {
  return storedNamesEnd(slab, start) + STORED_TAIL_BYTES
}

export function storedNamesEnd(slab: Buffer, start: number): number {
  const routingKeyAt = start + 1 + slab[start]
  return routingKeyAt + 1 + slab[routingKeyAt]
}

/** One row of the log that holds messages of a segment: those from `firstIndex` on, up to the next row's. */
export interface LogRow {
  position: LogPosition // 0 until its commit resolved
  firstIndex: number
  total: number // messages in it as written
  live: number // of those, messages with a durable reference left
  bytes: number
}

/** The same for every live message of a compact segment. */
interface Compact {
  refs: number
  logRefs: number
  /** A bit per ticket; null: all are live. */
  live: Uint8Array | null
}

const NONE = new Uint32Array(0)

/** Blocks of the spill file, see spill-file.ts. */
export interface SpillPlace {
  firstBlock: number
  blocks: number
}

export class Segment {
  /** null: paged out, the bytes are in `rows` or `spill`. */
  slab: Buffer | null
  used = 0
  count = 0
  /** Messages with a reference left. */
  live = 0
  offsets: Uint32Array // where each message ends, and its neighbour's head begins; empty while paged out
  refs: Uint32Array
  /** References by durable queues of a persistent message; null as long as there is none. */
  logRefs: Uint32Array | null = null
  rows: LogRow[] = []
  /** Where in the spill file the slab is, if it went there. */
  spill: SpillPlace | null = null
  /** Its bytes are under way, to memory or to the spill file. */
  loading = false
  /** Its bytes could not be read, and the log was told. */
  isUnreadable = false
  /** The consumers come near: read what follows. See Journal.readAhead. */
  isReadAheadMark = false
  /** Priority + 1 of messages in queues that have priorities, 0: the message names none; null: there was no such message. */
  private priorities: Uint16Array | null = null
  /** By queue id and index: messages that came back to queues that count it; null: there was none. */
  private returns: Map<number, Map<number, ReturnCounts>> | null = null
  /** Instead of `refs` and `logRefs`, which are empty then. Call expand() before touching those. */
  private compacted: Compact | null = null
  /** Of messages in several durable queues: a bit per ticket that the queue settled while others still held it. Bits, since a
   *  slow queue beside a fast one has tens of millions of them. */
  private settledBy: Map<number, Uint8Array> | null = null

  constructor(
    readonly number: number,
    slab: Buffer | null,
    capacity = 64,
  ) {
    this.slab = slab
    this.offsets = slab === null ? NONE : new Uint32Array(capacity + 1)
    this.refs = new Uint32Array(capacity)
  }

  get firstTicket(): number {
    return this.number * SEGMENT_TICKETS
  }

  get capacity(): number {
    return this.refs.length
  }

  /** Room for one more ticket; a segment of few big messages must not pay for 4,096 small ones. */
  grow(): void {
    this.resize(Math.min(SEGMENT_TICKETS, Math.max(64, this.refs.length * 4)))
  }

  resize(capacity: number): void {
    if (this.slab !== null) this.offsets = resized(this.offsets, capacity + 1)
    this.refs = resized(this.refs, capacity)
    if (this.logRefs !== null) this.logRefs = resized(this.logRefs, capacity)
  }

  setLogRefs(index: number, references: number): void {
    if (this.logRefs === null) this.logRefs = new Uint32Array(this.refs.length)
    this.logRefs[index] = references
  }

  setPriority(index: number, priority: number): void {
    this.priorities ??= new Uint16Array(SEGMENT_TICKETS)
    this.priorities[index] = priority + 1
  }

  /** As noted by setPriority; -1: was not. */
  priorityAt(index: number): number {
    return this.priorities === null ? -1 : this.priorities[index] - 1
  }

  setReturns(queueId: number, index: number, counts: ReturnCounts): void {
    this.returns ??= new Map()
    const ofQueue = this.returns.get(queueId)
    if (ofQueue === undefined) this.returns.set(queueId, new Map([[index, counts]]))
    else ofQueue.set(index, counts)
  }

  /** undefined: it never came back to that queue, or the queue does not count. */
  returnsOf(queueId: number, index: number): ReturnCounts | undefined {
    return this.returns?.get(queueId)?.get(index)
  }

  // -- a segment at rest ----------------------------------------------------------------------------------------------

  /** About what it takes in memory. */
  get storedBytes(): number {
    let bytes = this.used
    if (bytes === 0) for (const row of this.rows) bytes += row.bytes
    return bytes
  }

  get isCompact(): boolean {
    return this.compacted !== null
  }

  /** Ten million messages on disk must not cost twelve bytes each: where all live messages have as many references, a bit
   *  says it. For segments without a slab. */
  compact(): void {
    const { refs, logRefs, count } = this
    if (this.slab !== null || this.loading || this.compacted !== null) return
    let first = 0
    while (first < count && refs[first] === 0) first++
    if (first === count) return
    const ofAll = refs[first]
    const logOfAll = logRefs === null ? 0 : logRefs[first]
    const live = this.live === count ? null : new Uint8Array((count + 7) >> 3)
    for (let i = first; i < count; i++) {
      if (refs[i] === 0) continue
      if (refs[i] !== ofAll || (logRefs !== null && logRefs[i] !== logOfAll)) return
      if (live !== null) live[i >> 3] |= 1 << (i & 7)
    }
    this.compacted = { refs: ofAll, logRefs: logOfAll, live }
    this.refs = NONE
    this.logRefs = null
  }

  expand(): void {
    if (this.compacted === null) return
    const { refs, logRefs, live } = this.compacted
    this.compacted = null
    const { count } = this
    this.refs = new Uint32Array(count)
    for (let i = 0; i < count; i++) if (live === null || (live[i >> 3] & (1 << (i & 7))) !== 0) this.refs[i] = refs
    if (logRefs === 0) return
    this.logRefs = refs === logRefs ? this.refs.slice() : this.refs.map((n) => (n === 0 ? 0 : logRefs))
  }

  // -- fan-out --------------------------------------------------------------------------------------------------------

  markSettled(queueId: number, index: number): void {
    this.settledBy ??= new Map()
    let bits = this.settledBy.get(queueId)
    if (bits === undefined || bits.length <= index >> 3) {
      // Full segments take no more tickets; others may grow to all of them.
      const larger = new Uint8Array(this.slab === null ? (this.count + 7) >> 3 : SEGMENT_TICKETS / 8)
      if (bits !== undefined) larger.set(bits)
      bits = larger
      this.settledBy.set(queueId, bits)
    }
    bits[index >> 3] |= 1 << (index & 7)
  }

  /** Recovery finds the message again, whole, with what was settled by then behind it. */
  forgetSettled(index: number): void {
    if (this.settledBy === null) return
    for (const bits of this.settledBy.values()) if (index >> 3 < bits.length) bits[index >> 3] &= ~(1 << (index & 7))
  }

  isSettledBy(queueId: number, index: number): boolean {
    const bits = this.settledBy?.get(queueId)
    return bits !== undefined && index >> 3 < bits.length && (bits[index >> 3] & (1 << (index & 7))) !== 0
  }

  // -- leaving memory -------------------------------------------------------------------------------------------------

  lengthAt(index: number): number {
    return this.offsets[index + 1] - this.offsets[index]
  }

  /** Every live message can be read back from the log as long as it lives, so the slab may go. */
  get isPageable(): boolean {
    return this.slab !== null && !this.loading && this.isWritten && this.isHeldByLogOnly
  }

  /** No batch needs the bytes any more. */
  get isWritten(): boolean {
    let written = 0
    for (const row of this.rows) {
      if (row.position === 0) return false
      written += row.live
    }
    const { logRefs, count } = this
    if (logRefs === null) return true
    for (let i = 0; i < count; i++) if (logRefs[i] !== 0) written--
    return written === 0
  }

  /** No queue that is not durable holds a message of this segment: it would be left without bytes when the durable ones have
   *  settled and the row is trimmed. */
  private get isHeldByLogOnly(): boolean {
    const { refs, logRefs, count } = this
    if (logRefs === null) return this.live === 0
    for (let i = 0; i < count; i++) if (refs[i] !== logRefs[i]) return false
    return true
  }

  /** The row that holds the message; rows are in index order. */
  rowOf(index: number): LogRow | null {
    for (let i = this.rows.length - 1; i >= 0; i--) if (this.rows[i].firstIndex <= index) return this.rows[i]
    return null
  }
}

function resized(from: Uint32Array, capacity: number): Uint32Array {
  const to = new Uint32Array(capacity)
  to.set(from.subarray(0, Math.min(from.length, capacity)))
  return to
}
