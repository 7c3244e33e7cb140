// A segment: up to 4,096 consecutive tickets and the slab that holds their message bytes. Message bytes are written once
// and read in place. A segment is the unit of page-out and page-in; storage/message-store owns all segments.
//
// One message in a slab (and, byte for byte, in the payload of a log entry):
//
//   [len exchange][len routing key] [2 ch ch size size size size | content header | CE] [3 ch ch size.. | body | CE]
//   `------- names, verbatim -----' `------- content header as one frame ------------'  `--- absent when size = 0 --'
//
// that is, the middle of a basic.deliver and then its frames; a delivery patches the channel numbers only. A body that
// came in several frames is stored as one, and split again for a receiver whose frame-max is smaller.
import type { LogPosition } from './log-backend'

export const SEGMENT_TICKETS = 4096
export const SLAB_BYTES = 256 * 1024

/** Length of the body of the stored message at `start`, read from its content header. */
export function storedBodyLength(slab: Buffer, start: number): number {
  return slab.readUInt32BE(storedHeaderStart(slab, start) + 7 + 8) // upper half is 0: a body fits in 32 bits
}

/** Where the content header frame of the stored message begins. */
export function storedHeaderStart(slab: Buffer, start: number): number {
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

export class Segment {
  /** null: paged out, the bytes are in `rows`. */
  slab: Buffer | null
  used = 0
  count = 0
  /** Messages with a reference left. */
  live = 0
  liveBytes = 0
  offsets: Uint32Array
  refs: Uint32Array
  /** References by durable queues of a persistent message; null as long as there is none. */
  logRefs: Uint32Array | null = null
  rows: LogRow[] = []
  loading = false
  /** Of messages in several durable queues: a bit per ticket that the queue settled while others still held it. Bits, since a
   *  slow queue beside a fast one has tens of millions of them. */
  private settledBy: Map<number, Uint8Array> | null = null

  constructor(
    readonly number: number,
    slab: Buffer | null,
    capacity = 64,
  ) {
    this.slab = slab
    this.offsets = new Uint32Array(capacity + 1)
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
    this.resize(Math.min(SEGMENT_TICKETS, this.refs.length * 4))
  }

  resize(capacity: number): void {
    const offsets = new Uint32Array(capacity + 1)
    offsets.set(this.offsets.subarray(0, Math.min(this.offsets.length, capacity + 1)))
    this.offsets = offsets
    this.refs = resized(this.refs, capacity)
    if (this.logRefs !== null) this.logRefs = resized(this.logRefs, capacity)
  }

  setLogRefs(index: number, references: number): void {
    if (this.logRefs === null) this.logRefs = new Uint32Array(this.refs.length)
    this.logRefs[index] = references
  }

  markSettled(queueId: number, index: number): void {
    this.settledBy ??= new Map()
    let bits = this.settledBy.get(queueId)
    if (bits === undefined) {
      bits = new Uint8Array(SEGMENT_TICKETS / 8)
      this.settledBy.set(queueId, bits)
    }
    bits[index >> 3] |= 1 << (index & 7)
  }

  isSettledBy(queueId: number, index: number): boolean {
    const bits = this.settledBy?.get(queueId)
    return bits !== undefined && (bits[index >> 3] & (1 << (index & 7))) !== 0
  }

  lengthAt(index: number): number {
    return this.offsets[index + 1] - this.offsets[index]
  }

  /** Every live message can be read back from the log as long as it lives, so the slab may go. */
  get isPageable(): boolean {
    if (this.slab === null || this.loading) return false
    let logged = 0
    for (const row of this.rows) {
      if (row.position === 0) return false
      logged += row.live
    }
    return logged === this.live && this.isHeldByLogOnly
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
