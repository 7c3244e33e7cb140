// Recovery, one procedure told in order: replays the records of the log and says which messages each queue holds. Bytes
// stay on disk; segments come up paged out. Called once, before the broker accepts anybody.
//
// What a crash can leave and what happens here: a batch is there whole or not at all (the backend's transaction). A message
// written twice (copied forward, old row not yet trimmed): the later row counts. A settle whose message was trimmed:
// ignored. Records of queues without a definition (deleted; or declared but never confirmed): ignored.
import { type RecordSink, readRecords } from './batch-codec'
import type { LogBackend } from './log-backend'
import type { LogRows } from './log-rows'
import type { MessageStore, Ticket } from './message-store'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

export interface RecoveredQueue {
  tickets: Ticket[] // ascending
  bodyBytes: number
  returned: Set<Ticket> // delivered before; known exactly only after a clean stop
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
  /** Messages of several queues: which queues have settled. */
  private readonly settledIn = new Map<number, Set<Ticket>>()
  private readonly shared = new Set<Ticket>()
  private row: LogRow = { position: 0, firstIndex: 0, live: 0, bytes: 0 }
  private segment: Segment | null = null
  private maxQueueId = 0
  private maxTicket = 0
  private inOrder = true

  constructor(
    private readonly store: MessageStore,
    private readonly knownQueues: ReadonlySet<number>,
  ) {}

  startRow(position: number, bytes: number): void {
    this.row = { position, firstIndex: -1, live: 0, bytes }
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
    while (index >= segment.capacity) segment.grow()
    segment.count = Math.max(segment.count, index + 1)
    this.inOrder &&= ticket > this.maxTicket
    this.maxTicket = Math.max(this.maxTicket, ticket)
    if (segment.refs[index] > 0 || queueIds.length === 0) return
    segment.refs[index] = queueIds.length
    segment.setLogRefs(index, queueIds.length)
    segment.offsets[index + 1] = length // a length until `finish` makes offsets of them
    if (queueIds.length > 1) this.shared.add(ticket)
    for (const id of queueIds) {
      const queue = this.queue(id)
      queue.tickets.push(ticket)
      queue.bodies.push(bodyLength)
    }
  }

  onSettle(queueId: number, first: Ticket, count: number): void {
    this.maxQueueId = Math.max(this.maxQueueId, queueId)
    for (let ticket = first; ticket < first + count; ticket++) this.settleOne(queueId, ticket)
  }

  private settleOne(queueId: number, ticket: Ticket): void {
    this.queues.get(queueId)?.returned.delete(ticket)
    const segment = this.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS))
    const index = ticket % SEGMENT_TICKETS
    if (segment === undefined || segment.logRefs === null || index >= segment.capacity || segment.refs[index] === 0)
      return
    if (this.shared.has(ticket)) {
      let settled = this.settledIn.get(queueId)
      if (settled === undefined) {
        settled = new Set()
        this.settledIn.set(queueId, settled)
      }
      if (settled.has(ticket) || !this.knownQueues.has(queueId)) return
      settled.add(ticket)
    }
    segment.refs[index]--
    segment.logRefs[index]--
  }

  onReturned(queueId: number, first: Ticket, count: number): void {
    if (!this.knownQueues.has(queueId)) return
    for (let i = 0; i < count; i++) this.queue(queueId).returned.add(first + i)
  }

  finish(rows: LogRows): Recovered {
    let maxSegment = 0
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
    const settled = this.settledIn.get(id)
    const kept = new Map<Ticket, number>()
    for (let i = 0; i < queue.tickets.length; i++) {
      const ticket = queue.tickets[i]
      const segment = this.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS)) as Segment
      if (segment.refs[ticket % SEGMENT_TICKETS] > 0 && !settled?.has(ticket)) kept.set(ticket, queue.bodies[i])
    }
    queue.tickets = [...kept.keys()]
    queue.bodies = []
    for (const bytes of kept.values()) queue.bodyBytes += bytes
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
      rows.liveBytes += length
      const row = segment.rowOf(index)
      if (row !== null) row.live++
    }
    if (segment.live === 0) this.store.drop(segment)
    return segment.live
  }

  private queue(id: number): ReplayedQueue {
    let queue = this.queues.get(id)
    if (queue === undefined) {
      queue = { tickets: [], bodies: [], bodyBytes: 0, returned: new Set() }
      this.queues.set(id, queue)
    }
    return queue
  }
}
