// Recovery, one procedure told in order: replays the records of the log and says which messages each queue holds. Bytes
// stay on disk; segments come up paged out. Called once, before the broker accepts anybody.
//
// What a crash can leave and what happens here: a batch is there whole or not at all (the backend's transaction). A message
// written twice (copied forward, old row not yet trimmed): the later row counts. A settle whose message was trimmed:
// ignored. Records of queues without a definition (deleted; or declared but never confirmed): ignored, settles too, since
// other queues may hold the same message.
import { type RecordSink, readRecords } from './batch-codec'
import type { LogBackend } from './log-backend'
import type { LogRows } from './log-rows'
import type { MessageStore, Ticket } from './message-store'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

export interface RecoveredQueue {
  tickets: Ticket[] // ascending
  bodyBytes: number
  returned: Set<Ticket> // delivered before; known exactly only after a clean stop
  deliveredUpTo: Ticket // everything up to here may have been; as a clean stop recorded it
}

export interface Recovered {
  queues: Map<number, RecoveredQueue>
  messages: number
  maxQueueId: number // the highest seen, known or not: ids are never used again
  maxTicket: Ticket
}

export async function recover(
  backend: LogBackend,
  store: MessageStore,
  rows: LogRows,
  knownQueues: ReadonlySet<number>,
): Promise<Recovered> {
  const replay = new Replay(store, knownQueues)
  await backend.replay((position, records, payloadLength) => {
    replay.startRow(position, records.length + payloadLength)
    readRecords(records, replay)
    replay.endRow(rows)
  })
  return replay.finish(rows)
}

/** A queue during the replay: every message ever put into it that the log still knows, with its body length. */
interface ReplayedQueue extends RecoveredQueue {
  bodies: number[]
}

class Replay implements RecordSink {
  private readonly queues = new Map<number, ReplayedQueue>()
  private row: LogRow = { position: 0, firstIndex: 0, total: 0, live: 0, bytes: 0 }
  private segment: Segment | null = null
  private maxQueueId = 0
  private maxTicket = 0 // of messages
  private maxNamed = 0 // in any record
  private inOrder = true

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

  onEnqueue(first: Ticket, count: number, queueIds: readonly number[], lengths: DataView, lengthsAt: number): void {
    for (const id of queueIds) this.maxQueueId = Math.max(this.maxQueueId, id)
    const known = queueIds.filter((id) => this.knownQueues.has(id))
    for (let i = 0; i < count; i++) {
      const at = lengthsAt + 8 * i
      this.addMessage(first + i, lengths.getUint32(at, true), lengths.getUint32(at + 4, true), known)
    }
  }

  private addMessage(ticket: Ticket, length: number, bodyLength: number, queueIds: readonly number[]): void {
    const number = Math.floor(ticket / SEGMENT_TICKETS)
    const index = ticket % SEGMENT_TICKETS
    const segment = this.store.recoverSegment(number)
    this.segment = segment
    if (this.row.firstIndex === -1) this.row.firstIndex = index
    this.row.total++
    while (index >= segment.capacity) segment.grow()
    segment.count = Math.max(segment.count, index + 1)
    this.inOrder &&= ticket > this.maxTicket
    this.maxTicket = Math.max(this.maxTicket, ticket)
    if (segment.refs[index] > 0 || queueIds.length === 0) return
    segment.refs[index] = queueIds.length
    segment.setLogRefs(index, queueIds.length)
    segment.offsets[index + 1] = length // a length until `finish` makes offsets of them
    for (const id of queueIds) {
      const queue = this.queue(id)
      queue.tickets.push(ticket)
      queue.bodies.push(bodyLength)
    }
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
    if (segment === undefined || segment.logRefs === null || index >= segment.capacity || segment.refs[index] === 0)
      return
    if (segment.isSettledBy(queueId, index)) return
    segment.refs[index]--
    if (--segment.logRefs[index] !== 0) segment.markSettled(queueId, index)
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

  finish(rows: LogRows): Recovered {
    // Tickets that old records still name are not used again: a new message must not be taken for one of theirs.
    let maxSegment = Math.floor(this.maxNamed / SEGMENT_TICKETS)
    for (const segment of this.store.segments.values()) maxSegment = Math.max(maxSegment, segment.number)
    for (const [id, queue] of this.queues) this.finishQueue(id, queue)
    let messages = 0
    for (const segment of this.store.segments.values()) {
      if (segment.slab === null) messages += this.finishSegment(segment, rows)
    }
    this.store.startAfter(maxSegment)
    return { queues: this.queues, messages, maxQueueId: this.maxQueueId, maxTicket: this.maxTicket }
  }

  private finishQueue(id: number, queue: ReplayedQueue): void {
    let kept = 0
    for (let i = 0; i < queue.tickets.length; i++) {
      const ticket = queue.tickets[i]
      const index = ticket % SEGMENT_TICKETS
      const segment = this.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS)) as Segment
      if (segment.refs[index] === 0 || segment.isSettledBy(id, index)) continue
      queue.tickets[kept++] = ticket
      queue.bodyBytes += queue.bodies[i]
    }
    queue.tickets.length = kept
    queue.bodies = []
    if (!this.inOrder) queue.tickets.sort((a, b) => a - b)
  }

  private finishSegment(segment: Segment, rows: LogRows): number {
    let at = 0
    for (let index = 0; index < segment.count; index++) {
      const length = segment.refs[index] > 0 ? segment.offsets[index + 1] : 0
      at += length
      segment.offsets[index + 1] = at
      if (length === 0) continue
      segment.live++
      segment.liveBytes += length
      const row = segment.rowOf(index)
      if (row !== null) rows.addLive(row)
    }
    if (segment.live === 0) this.store.drop(segment)
    return segment.live
  }

  private queue(id: number): ReplayedQueue {
    let queue = this.queues.get(id)
    if (queue === undefined) {
      queue = { tickets: [], bodies: [], bodyBytes: 0, returned: new Set(), deliveredUpTo: 0 }
      this.queues.set(id, queue)
    }
    return queue
  }
}
