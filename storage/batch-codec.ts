// The records block of a log entry: what happened, in order. Message bytes lie in the entry's payload, one stored message
// after the other in the order of the enqueue records. Little-endian; numbers above 32 bits as doubles (exact to 2^53).
//
//   block     = 'L' version record*
//   enqueue   = 1 flags  firstTicket:f64 count:u32 queues:u32 [priority:u8] (queueId:u32)* (length:u32 body:u32)*count [expiration:f64]
//                                                   consecutive tickets, same queues; expiration, in ms, with flag 1, priority with 2
//   settle    = 2 0      queueId:u32 firstTicket:f64 count:u32                                    consecutive tickets
//   returned  = 3 0      queueId:u32 firstTicket:f64 count:u32     delivered before and waiting again (written by a clean stop)
//   delivered = 4 0      queueId:u32 ticket:f64 0:u32              all up to this ticket may have been delivered before (likewise)
//   time      = 5 0      0:u32 ms:f64 0:u32                        when the messages that follow were published
//   counts    = 6 0      queueId:u32 ticket:f64 failures:u16 acquired:u16 due:f64        how often it came back; the last one holds
//
// A record never changes meaning; a new one gets a new number, a new layout a new version.
import { StorageError } from './log-backend'

const MAGIC = 0x4c
const VERSION = 2
const ENQUEUE = 1
const SETTLE = 2
const RETURNED = 3
const DELIVERED = 4
const TIME = 5
const COUNTS = 6
const COUNTS_BYTES = 26
const COUNT_MAX = 0xffff
/** Flag of an enqueue: one message, with an expiration of its own. */
const EXPIRES = 1
/** Flag of an enqueue: its messages have a priority, and went to a queue that looks at it. */
const PRIORITIZED = 2

/** How often a message came back to a queue. */
export interface ReturnCounts {
  /** Refused, or lost with its consumer; 65,535 stands for more. */
  failures: number
  /** For any reason, failures included; likewise. */
  acquired: number
  /** It waits until then, ms since 1970; 0: it does not, or no longer. */
  due: number
}

/** Called in the order of the records. `queueIds` and `lengths` (length and body length, 8 bytes a
 *  message) are valid during the call. `expiration` in ms, `priority`; -1: none. */
export interface RecordSink {
  onEnqueue(
    firstTicket: number,
    count: number,
    queueIds: readonly number[],
    lengths: DataView,
    lengthsAt: number,
    expiration: number,
    priority: number,
  ): void
  onSettle(queueId: number, firstTicket: number, count: number): void
  onReturned(queueId: number, firstTicket: number, count: number): void
  onDelivered(queueId: number, upToTicket: number): void
  onTime(ms: number): void
  onCounts(queueId: number, ticket: number, counts: ReturnCounts): void
}

/** Gathers records; consecutive tickets become one record. */
export class RecordWriter {
  private bytes = new Uint8Array(256)
  private view = new DataView(this.bytes.buffer)
  private at = 2
  // The open enqueue run: the next consecutive ticket for the same queue only adds a length.
  private runCountAt = 0
  private runCount = 0
  private runNext = -1
  private runQueue = -1
  private runPriority = -1
  // The open settle run.
  private settleCountAt = 0
  private settleCount = 0
  private settleNext = -1
  private settleQueue = -1

  constructor() {
    this.bytes[0] = MAGIC
    this.bytes[1] = VERSION
  }

  get isEmpty(): boolean {
    return this.at === 2
  }

  /** Bytes gathered so far. */
  get length(): number {
    return this.at
  }

  /** `expiration`, `priority` -1: none. */
  enqueue(
    ticket: number,
    length: number,
    bodyLength: number,
    queueIds: Int32Array,
    start: number,
    end: number,
    expiration = -1,
    priority = -1,
  ): void {
    const single = end - start === 1 && expiration === -1 ? queueIds[start] : -1
    if (single !== -1 && single === this.runQueue && ticket === this.runNext && priority === this.runPriority) {
      this.room(8)
      this.u32(length)
      this.u32(bodyLength)
      this.view.setUint32(this.runCountAt, ++this.runCount, true)
      this.runNext++
      return
    }
    this.closeRuns()
    this.room(35 + 4 * (end - start))
    this.head(ENQUEUE, (expiration === -1 ? 0 : EXPIRES) | (priority === -1 ? 0 : PRIORITIZED))
    this.f64(ticket)
    this.runCountAt = this.at
    this.u32(1)
    this.u32(end - start)
    if (priority !== -1) this.bytes[this.at++] = priority
    for (let i = start; i < end; i++) this.u32(queueIds[i])
    this.u32(length)
    this.u32(bodyLength)
    if (expiration !== -1) this.f64(expiration)
    this.runCount = 1
    this.runNext = ticket + 1
    this.runQueue = single
    this.runPriority = priority
  }

  settle(queueId: number, ticket: number): void {
    if (queueId === this.settleQueue && ticket === this.settleNext) {
      this.view.setUint32(this.settleCountAt, ++this.settleCount, true)
      this.settleNext++
      return
    }
    this.closeRuns()
    this.room(18)
    this.head(SETTLE)
    this.u32(queueId)
    this.f64(ticket)
    this.settleCountAt = this.at
    this.u32(1)
    this.settleCount = 1
    this.settleNext = ticket + 1
    this.settleQueue = queueId
  }

  returned(queueId: number, firstTicket: number, count: number): void {
    this.closeRuns()
    this.room(18)
    this.head(RETURNED)
    this.u32(queueId)
    this.f64(firstTicket)
    this.u32(count)
  }

  deliveredUpTo(queueId: number, ticket: number): void {
    this.closeRuns()
    this.room(18)
    this.head(DELIVERED)
    this.u32(queueId)
    this.f64(ticket)
    this.u32(0)
  }

  counts(queueId: number, ticket: number, { failures, acquired, due }: ReturnCounts): void {
    this.closeRuns()
    this.room(COUNTS_BYTES)
    this.head(COUNTS)
    this.u32(queueId)
    this.f64(ticket)
    this.u16(Math.min(failures, COUNT_MAX))
    this.u16(Math.min(acquired, COUNT_MAX))
    this.f64(due)
  }

  /** Of the messages recorded from here on. */
  time(ms: number): void {
    this.closeRuns()
    this.room(18)
    this.head(TIME)
    this.u32(0)
    this.f64(ms)
    this.u32(0)
  }

  /** The block, owning exactly its buffer. The writer is spent. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.at)
  }

  private closeRuns(): void {
    this.runQueue = -1
    this.settleQueue = -1
  }

  private head(kind: number, flags = 0): void {
    this.bytes[this.at] = kind
    this.bytes[this.at + 1] = flags
    this.at += 2
  }

  private u16(value: number): void {
    this.view.setUint16(this.at, value, true)
    this.at += 2
  }

  private u32(value: number): void {
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  private f64(value: number): void {
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.at + bytes))
    larger.set(this.bytes)
    this.bytes = larger
    this.view = new DataView(larger.buffer)
  }
}

/** Throws StorageError 'corrupt' for anything that is not a block of this version; calls nothing past the damage. */
export function readRecords(block: Uint8Array, sink: RecordSink): void {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength)
  if (block.length < 2 || block[0] !== MAGIC) throw corrupt('no records block')
  if (block[1] !== VERSION) throw corrupt(`records of version ${block[1]}, this program reads ${VERSION}`)
  let at = 2
  while (at < block.length) at = readRecord(view, at, sink)
}

function readRecord(view: DataView, at: number, sink: RecordSink): number {
  need(view, at, 2)
  const kind = view.getUint8(at)
  if (kind === ENQUEUE) return readEnqueue(view, at + 2, view.getUint8(at + 1), sink)
  if (kind === COUNTS) return readCounts(view, at, sink)
  need(view, at, 18)
  const queueId = view.getUint32(at + 2, true)
  const ticket = view.getFloat64(at + 6, true)
  const count = view.getUint32(at + 14, true)
  if (kind === SETTLE) sink.onSettle(queueId, ticket, count)
  else if (kind === RETURNED) sink.onReturned(queueId, ticket, count)
  else if (kind === DELIVERED) sink.onDelivered(queueId, ticket)
  else if (kind === TIME) sink.onTime(ticket)
  else throw corrupt(`unknown record ${kind} at ${at}`)
  return at + 18
}

function readCounts(view: DataView, at: number, sink: RecordSink): number {
  need(view, at, COUNTS_BYTES)
  const failures = view.getUint16(at + 14, true)
  const acquired = view.getUint16(at + 16, true)
  sink.onCounts(view.getUint32(at + 2, true), view.getFloat64(at + 6, true), {
    failures,
    acquired,
    due: view.getFloat64(at + 18, true),
  })
  return at + COUNTS_BYTES
}

/** Made once: a recovery reads millions of records. Nobody keeps it. */
const queueIds: number[] = []

function readEnqueue(view: DataView, at: number, flags: number, sink: RecordSink): number {
  need(view, at, 16)
  const ticket = view.getFloat64(at, true)
  const count = view.getUint32(at + 8, true)
  const queues = view.getUint32(at + 12, true)
  const queuesAt = at + 16 + ((flags & PRIORITIZED) !== 0 ? 1 : 0)
  const lengthsAt = queuesAt + 4 * queues
  const lengthsEnd = lengthsAt + 8 * count
  const hasExpiration = (flags & EXPIRES) !== 0
  const end = lengthsEnd + (hasExpiration ? 8 : 0)
  if (flags > (EXPIRES | PRIORITIZED)) throw corrupt(`an enqueue record with unknown flags ${flags}`)
  if (end > view.byteLength) throw corrupt('enqueue record longer than its block')
  queueIds.length = queues
  for (let i = 0; i < queues; i++) queueIds[i] = view.getUint32(queuesAt + 4 * i, true)
  const expiration = hasExpiration ? view.getFloat64(lengthsEnd, true) : -1
  const priority = (flags & PRIORITIZED) !== 0 ? view.getUint8(at + 16) : -1
  sink.onEnqueue(ticket, count, queueIds, view, lengthsAt, expiration, priority)
  return end
}

function need(view: DataView, at: number, bytes: number): void {
  if (at + bytes > view.byteLength) throw corrupt('record cut short')
}

function corrupt(detail: string): StorageError {
  return new StorageError('corrupt', detail)
}
