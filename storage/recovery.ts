// Recovery, one procedure told in order: replays the records of the log and says which messages each queue holds. Bytes
// stay on disk; segments come up paged out. Called once, before the broker accepts anybody.
//
// What a crash can leave and what happens here: a batch is there whole or not at all (the backend's transaction). A message
// written twice (copied forward, old row not yet trimmed): the later row counts. A settle whose message was trimmed:
// ignored. Records of queues without a definition (deleted; or declared but never confirmed): ignored, settles too, since
// other queues may hold the same message.
import { type RecordSink, type ReturnCounts, readRecords } from './batch-codec'
import { type LogBackend, StorageError } from './log-backend'
import type { LogRows } from './log-rows'
import type { MessageStore, Ticket } from './message-store'
import type { RecoveryProgress } from './recovery-progress'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

export interface RecoveredQueue {
  returned: Set<Ticket> // delivered before; known exactly only after a clean stop
  deliveredUpTo: Ticket // everything up to here may have been; as a clean stop recorded it
}

export interface Recovered {
  queues: Map<number, RecoveredQueue>
  messages: number
  maxQueueId: number // the highest seen, known or not: ids are never used again
  maxTicket: Ticket
}

/** Told of every message of a queue, ascending but for messages that were copied forward. `publishedMs` as the log has it,
 *  0 where it does not; `expiration` in ms, of the message itself, -1: none. */
export type OnRecovered = (
  queueId: number,
  ticket: Ticket,
  bodyLength: number,
  publishedMs: number,
  expiration: number,
) => void

/** Reads the records twice: first to learn what is live, then to tell of it, so that what is not never costs memory. */
export async function recover(
  backend: LogBackend,
  store: MessageStore,
  rows: LogRows,
  knownQueues: ReadonlySet<number>,
  onMessage: OnRecovered,
  progress: RecoveryProgress | null = null,
): Promise<Recovered> {
  const replay = new Replay(store, knownQueues)
  let last = 0
  await backend.replay((position, records, payloadLength) => {
    // The journal forgets from the front only.
    if (last !== 0 && position !== last + 1)
      throw new StorageError('corrupt', `entry ${last + 1} should stand before it`)
    last = position
    progress?.onEntry(position)
    replay.startRow(position, records.length + payloadLength)
    readRecords(records, replay)
    replay.endRow(rows)
  })
  const recovered = replay.finish()
  if (recovered.messages === 0) return recovered
  const teller = new Teller(store, rows, knownQueues, onMessage)
  progress?.onSecondPass()
  await backend.replay((position, records) => {
    progress?.onEntry(position)
    teller.startRow(position)
    readRecords(records, teller)
  })
  for (const segment of store.segments.values()) if (segment.slab === null) rest(segment)
  return recovered
}

function rest(segment: Segment): void {
  segment.logRefs = segment.refs
  segment.compact()
  if (!segment.isCompact) segment.logRefs = segment.refs.slice()
}

class Replay implements RecordSink {
  private readonly queues = new Map<number, RecoveredQueue>()
  private row: LogRow = { position: 0, firstIndex: 0, total: 0, live: 0, bytes: 0 }
  private segment: Segment | null = null
  private maxQueueId = 0
  private maxTicket = 0 // of messages
  private maxNamed = 0 // in any record

  constructor(
    private readonly store: MessageStore,
    private readonly knownQueues: ReadonlySet<number>,
  ) {}

  startRow(position: number, bytes: number): void {
    this.row = { position, firstIndex: -1, total: 0, live: 0, bytes }
    this.segment = null
  }

  endRow(rows: LogRows): void {
    const { segment, row } = this
    rows.recover(row, segment)
    if (segment === null) return
    segment.rows = segment.rows.filter((r) => r.firstIndex !== row.firstIndex)
    segment.rows.push(row)
    segment.rows.sort((a, b) => a.firstIndex - b.firstIndex)
  }

  onEnqueue(
    first: Ticket,
    count: number,
    queueIds: readonly number[],
    _lengths: DataView,
    _lengthsAt: number,
    _expiration: number,
    priority: number,
  ): void {
    let references = 0
    for (const id of queueIds) {
      this.maxQueueId = Math.max(this.maxQueueId, id)
      if (this.knownQueues.has(id)) references++
    }
    for (let ticket = first; ticket < first + count; ticket++) {
      this.addMessage(ticket, references)
      if (priority !== -1) this.segment?.setPriority(ticket % SEGMENT_TICKETS, priority)
    }
    this.maxTicket = Math.max(this.maxTicket, first + count - 1)
  }

  private addMessage(ticket: Ticket, references: number): void {
    const number = Math.floor(ticket / SEGMENT_TICKETS)
    const index = ticket % SEGMENT_TICKETS
    const segment = this.segment?.number === number ? this.segment : this.store.recoverSegment(number)
    this.segment = segment
    if (this.row.firstIndex === -1) this.row.firstIndex = index
    this.row.total++
    while (index >= segment.capacity) segment.grow()
    segment.count = Math.max(segment.count, index + 1)
    if (segment.refs[index] !== 0) return
    // New; or copied forward for a deleted queue after the others had settled, which the copy says again.
    segment.forgetSettled(index)
    segment.refs[index] = references
  }

  onSettle(queueId: number, first: Ticket, count: number): void {
    this.maxQueueId = Math.max(this.maxQueueId, queueId)
    this.maxNamed = Math.max(this.maxNamed, first + count - 1)
    if (!this.knownQueues.has(queueId)) return
    for (let ticket = first; ticket < first + count; ticket++) this.settleOne(queueId, ticket)
  }

  private settleOne(queueId: number, ticket: Ticket): void {
    this.queues.get(queueId)?.returned.delete(ticket)
    const segment = this.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS))
    const index = ticket % SEGMENT_TICKETS
    if (segment === undefined || index >= segment.capacity || segment.refs[index] === 0) return
    if (segment.isSettledBy(queueId, index)) return
    if (--segment.refs[index] !== 0) segment.markSettled(queueId, index)
  }

  onReturned(queueId: number, first: Ticket, count: number): void {
    this.maxNamed = Math.max(this.maxNamed, first + count - 1)
    if (!this.knownQueues.has(queueId)) return
    for (let i = 0; i < count; i++) this.queue(queueId).returned.add(first + i)
  }

  onDelivered(queueId: number, upToTicket: Ticket): void {
    this.maxNamed = Math.max(this.maxNamed, upToTicket)
    if (!this.knownQueues.has(queueId)) return
    const queue = this.queue(queueId)
    queue.deliveredUpTo = Math.max(queue.deliveredUpTo, upToTicket)
  }

  /** Of a message that was trimmed, or of a queue that is no more: ignored. */
  onCounts(queueId: number, ticket: Ticket, counts: ReturnCounts): void {
    this.maxNamed = Math.max(this.maxNamed, ticket)
    const segment = this.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS))
    const index = ticket % SEGMENT_TICKETS
    if (segment === undefined || !this.knownQueues.has(queueId)) return
    if (segment.slab === null && index < segment.count) segment.setReturns(queueId, index, counts)
  }

  onTime(): void {}

  finish(): Recovered {
    // Tickets that old records still name are not used again: a new message must not be taken for one of theirs.
    let maxSegment = Math.floor(this.maxNamed / SEGMENT_TICKETS)
    let messages = 0
    for (const segment of this.store.segments.values()) {
      maxSegment = Math.max(maxSegment, segment.number)
      if (segment.slab !== null) continue
      for (let index = 0; index < segment.count; index++) if (segment.refs[index] > 0) segment.live++
      messages += segment.live
      if (segment.live === 0) this.store.drop(segment)
    }
    this.store.startAfter(maxSegment)
    return { queues: this.queues, messages, maxQueueId: this.maxQueueId, maxTicket: this.maxTicket }
  }

  private queue(id: number): RecoveredQueue {
    let queue = this.queues.get(id)
    if (queue === undefined) {
      queue = { returned: new Set(), deliveredUpTo: 0 }
      this.queues.set(id, queue)
    }
    return queue
  }
}

/** The second reading: what is live, and in the row that counts. */
class Teller implements RecordSink {
  private position = 0
  private publishedMs = 0

  constructor(
    private readonly store: MessageStore,
    private readonly rows: LogRows,
    private readonly knownQueues: ReadonlySet<number>,
    private readonly onMessage: OnRecovered,
  ) {}

  startRow(position: number): void {
    this.position = position
    this.publishedMs = 0
  }

  onEnqueue(
    first: Ticket,
    count: number,
    queueIds: readonly number[],
    lengths: DataView,
    lengthsAt: number,
    expiration: number,
  ): void {
    for (let i = 0; i < count; i++) {
      this.tell(first + i, lengths.getUint32(lengthsAt + 8 * i + 4, true), queueIds, expiration)
    }
  }

  onTime(ms: number): void {
    this.publishedMs = ms
  }

  private tell(ticket: Ticket, bodyLength: number, queueIds: readonly number[], expiration: number): void {
    const index = ticket % SEGMENT_TICKETS
    const segment = this.store.segmentOf(ticket)
    if (segment === undefined || segment.refs[index] === 0) return
    const row = segment.rowOf(index)
    if (row === null || row.position !== this.position) return
    this.rows.addLive(row)
    for (const id of queueIds) {
      if (!this.knownQueues.has(id) || segment.isSettledBy(id, index)) continue
      this.onMessage(id, ticket, bodyLength, this.publishedMs, expiration)
    }
  }

  onSettle(): void {}
  onReturned(): void {}
  onDelivered(): void {}
  onCounts(): void {}
}
