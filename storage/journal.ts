// The journal: makes messages durable above any log backend. It gathers what happens during a turn into a batch, has one
// batch in flight, and says by number which batches are durable (the watermark); confirms and declares wait for that
// number. Called by server/core with tickets and queue ids; knows no AMQP.
//
// What is settled before its batch leaves is never written. Bytes of committed messages may leave memory (page-out) and
// come back from the log (load). Entries are forgotten from the log's front; a few survivors that pin the front are
// written again at its end (copy-forward, see log-rows.ts).
import { RecordWriter, type ReturnCounts } from './batch-codec'
import type { DefinitionChange } from './definitions'
import { EntryBuilder } from './entry-builder'
import type { LogBackend, LogEntry } from './log-backend'
import { LogRows } from './log-rows'
import { MessageStore, type Ticket } from './message-store'
import { loadSegment } from './page-in'
import { PendingMessages } from './pending-messages'
import { SEGMENT_TICKETS, type Segment } from './segment'
import type { SpillFile } from './spill-file'

export interface JournalEvents {
  /** Batches up to and including this one are durable. */
  onCommitted(batch: number): void
  /** This batch's messages are not durable now; settles, definitions and messages still held are tried again later. */
  onFailed(batch: number, error: Error): void
  /** A segment's bytes came back (or failed to): dispatch again. */
  onLoaded(segmentNumber: number, error: Error | null): void
  /** Something needs the end-of-turn work. */
  requestTurn(): void
  /** Something can wait for company: settleNow within this many milliseconds. */
  requestSettle(ms: number): void
  /** ms since 1970, for the messages' time of publishing. */
  now(): number
}

/** Settlements alone wait this long for a message to travel with. Nobody is told of them, but a commit for each ack would
 *  be in the way of the next publish's. */
const SETTLE_DELAY_MS = 5
/** A batch this large moves as many bytes a second as any larger one, and holds up what comes behind it for some tens of
 *  milliseconds only. */
const GATHERED_BYTES_MAX = 4 * 1024 * 1024
/** Segments brought back beyond the one that is asked for; the next ones are asked for half way through. */
const READ_AHEAD = 16
/** While so many are under way, none is read ahead: where many queues drain at once, each would ask for some. */
const LOADING_MAX = 24
const READ_AHEAD_BYTES_MAX = 8 * 1024 * 1024
/** But no more than this many bytes of records wait. */
const SETTLE_BYTES_MAX = 64 * 1024

export class Journal {
  readonly store: MessageStore
  readonly rows = new LogRows()
  /** Number of the batch that takes what is recorded now. */
  gathering = 1
  /** The last batch known durable. */
  committed = 0
  /** Why the last commit failed; null while the log works. */
  error: Error | null = null
  /** While stored definitions are put back: they are not to be written again. */
  isRestoring = false

  /** Body bytes of the batch being gathered. */
  private gatheredBytes = 0
  private pending = new PendingMessages()
  private inFlight = new PendingMessages()
  private settles = new RecordWriter()
  private unsavedSettles: Uint8Array[] = []
  private isMoving = false
  /** Settled by the batch being gathered, or the one in flight, and still held; see settleMoved. */
  private moved: { ticket: Ticket; queueId: number }[] = []
  private movedInFlight: { ticket: Ticket; queueId: number }[] = []
  private definitions: DefinitionChange[] = []
  private definitionsInFlight = false
  private busy = false
  private closing = false
  private isClosed = false
  /** There is something that somebody waits for. */
  private wasTouched = false
  private isSettleRequested = false
  /** Segments on their way back. */
  private loading = 0
  private idleWaiters: (() => void)[] = []
  private readonly builder: EntryBuilder

  constructor(
    private readonly backend: LogBackend,
    private readonly events: JournalEvents,
    spill: SpillFile | null = null,
  ) {
    this.store = new MessageStore(spill, {
      onMark: (segment) => this.readAhead(segment.number),
      onRoom: () => events.requestTurn(),
    })
    this.builder = new EntryBuilder(this.store, this.rows, backend)
  }

  // -- recording, during a turn ---------------------------------------------------------------------------------------

  /** Adds a durable queue of the message that `enqueue` then closes. */
  addQueue(queueId: number): void {
    this.pending.addQueue(queueId)
  }

  /** `expiration` in ms, of the message itself; -1: none. */
  enqueue(ticket: Ticket, bodyBytes: number, expiration = -1): void {
    this.pending.add(ticket, bodyBytes, expiration)
    this.gatheredBytes += bodyBytes
    this.touch()
  }

  /** More is gathered than one commit should carry: whoever publishes to the log should wait for the one in flight. */
  get isFull(): boolean {
    return this.gatheredBytes > GATHERED_BYTES_MAX
  }

  /** The message is gone from this queue for good. `queueId` is 0 for a queue that is not durable. */
  settle(ticket: Ticket, queueId: number): void {
    const segment = this.store.segmentOf(ticket)
    if (segment === undefined) return
    if (segment.isCompact) this.store.expand(segment)
    if (queueId !== 0 && segment.logRefs !== null) {
      if (this.isMoving && this.settleLater(segment, ticket, queueId)) return
      this.settleLogged(segment, ticket, queueId)
    }
    this.store.releaseIn(segment, ticket % SEGMENT_TICKETS)
  }

  /** As `settle`, of a message in whose place another one was recorded in this turn: the log keeps the old one until the
   *  batch that holds both is durable. To settle it at once could trim its row before the new one is there. */
  settleMoved(ticket: Ticket, queueId: number): void {
    this.isMoving = true
    this.settle(ticket, queueId)
    this.isMoving = false
  }

  /** What `work` settles belongs to what this turn records: the log has either both or neither. */
  together(work: () => void): void {
    this.isMoving = true
    try {
      work()
    } finally {
      this.isMoving = false
    }
  }

  /** The message came back to the queue; `isLogged`: the queue is durable. */
  countReturn(queueId: number, ticket: Ticket, counts: ReturnCounts, isLogged: boolean): void {
    const segment = this.store.segmentOf(ticket)
    if (segment === undefined) return
    const index = ticket % SEGMENT_TICKETS
    segment.setReturns(queueId, index, counts)
    if (segment.isCompact) this.store.expand(segment)
    if (!isLogged || segment.logRefs === null || segment.logRefs[index] === 0) return
    this.settles.counts(queueId, ticket, counts)
    this.requestSettle()
  }

  /** A change of a durable definition; part of the batch `gathering`. */
  define(change: DefinitionChange): void {
    if (this.isRestoring) return
    this.definitions.push(change)
    this.touch()
  }

  /** Nothing new, but somebody waits for what was recorded so far: for the batch `gathering`. */
  awaitCommit(): void {
    this.touch()
  }

  /** Delivered before and waiting again; recorded by a clean stop so that `redelivered` stays true and exact. */
  returned(queueId: number, ticket: Ticket): void {
    this.settles.returned(queueId, ticket, 1)
    this.touch()
  }

  /** Everything up to this ticket may have been delivered before; recorded by a clean stop, as `returned`. */
  deliveredUpTo(queueId: number, ticket: Ticket): void {
    this.settles.deliveredUpTo(queueId, ticket)
    this.touch()
  }

  // -- the end of a turn ----------------------------------------------------------------------------------------------

  /** What was recorded in this turn was published now. Also where the batch may not be sent yet. */
  noteTime(): void {
    if (this.pending.count > 0) this.pending.stamp(this.events.now())
  }

  /** Sends the gathered batch if none is in flight. */
  flush(): void {
    this.noteTime()
    if (this.busy || !this.wasTouched || this.isClosed) return
    this.wasTouched = false
    this.gatheredBytes = 0
    const batch = this.gathering++
    const entries = this.buildEntries()
    const definitions = this.definitions
    if (entries.length === 0 && definitions.length === 0) {
      this.inFlight.clear()
      this.error = null // whatever failed to be written is settled meanwhile
      this.finish(batch)
      return
    }
    this.definitions = []
    this.definitionsInFlight = definitions.length > 0
    this.busy = true
    const saved = this.unsavedSettles
    this.movedInFlight = this.moved
    this.moved = []
    this.backend.commit({ definitions, entries }).then(
      (position) => this.onCommitted(batch, position),
      (error: Error) => this.onFailed(batch, error, definitions, saved),
    )
    this.unsavedSettles = []
  }

  /** Definitions that are not on disk yet: a declare's reply waits for them (see whenDurable). */
  get hasUnsavedDefinitions(): boolean {
    return this.definitions.length > 0 || this.definitionsInFlight
  }

  /** Settlements have waited long enough. */
  settleNow(): void {
    this.isSettleRequested = false
    if (!this.settles.isEmpty) this.touch()
  }

  get isIdle(): boolean {
    return !this.busy && !this.wasTouched && this.settles.isEmpty
  }

  /** Resolves once everything recorded so far is durable; rejects with the log's error. */
  whenDurable(): Promise<void> {
    if (this.isIdle && this.error === null) return Promise.resolve()
    if (!this.settles.isEmpty) this.wasTouched = true
    const batch = this.wasTouched ? this.gathering : this.gathering - 1
    if (this.committed >= batch) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.waiters.push({ batch, resolve, reject })
      this.events.requestTurn()
    })
  }
  private waiters: { batch: number; resolve: () => void; reject: (error: Error) => void }[] = []

  /** Tries the failed work again. Called by the broker's retry timer. */
  retry(): void {
    if (this.error === null || this.busy) return
    this.wasTouched = true
    this.events.requestTurn()
  }

  /** Ends with everything recorded on disk, or rejects with the log's error. What failed before is tried once more. */
  async close(clean: boolean): Promise<void> {
    this.closing = true
    if (this.busy) await this.nextOutcome()
    if (this.error !== null || !this.settles.isEmpty) this.wasTouched = true
    do {
      this.flush()
      if (this.busy) await this.nextOutcome()
    } while (this.wasTouched && this.error === null)
    this.isClosed = true
    await this.store.spill?.close()
    await this.backend.close(clean && this.error === null)
    if (this.error !== null) throw this.error
  }

  /** Gives the log back what it need not keep: after each commit, and after recovery, since the next commit may be far off. */
  trim(): void {
    const before = this.rows.trimmable()
    if (before !== 0) this.backend.trim(before).catch(() => {})
  }

  private nextOutcome(): Promise<void> {
    return new Promise((resolve) => this.idleWaiters.push(resolve))
  }

  // -- bytes that left memory -----------------------------------------------------------------------------------------

  /** Starts bringing the ticket's segment back, and those that follow if asked to; events.onLoaded follows, at once when
   *  there is nothing to do. Idempotent while under way. */
  load(ticket: Ticket, readsAhead = false): void {
    const segment = this.store.segmentOf(ticket)
    if (segment === undefined || segment.slab !== null) {
      setImmediate(() => this.events.onLoaded(Math.floor(ticket / SEGMENT_TICKETS), null))
      return
    }
    this.loadOne(segment)
    if (readsAhead) this.readAhead(segment.number)
  }

  /** Brings one ticket's segment back and resolves with it in memory; rejects when it cannot be read. For the start. */
  async loadNow(ticket: Ticket): Promise<void> {
    const segment = this.store.segmentOf(ticket)
    if (segment === undefined || segment.slab !== null) return
    segment.loading = true
    try {
      await loadSegment(this.backend, this.store, segment)
    } finally {
      segment.loading = false
    }
  }

  private loadOne(segment: Segment): void {
    if (segment.loading || segment.slab !== null) return
    segment.loading = true
    this.loading++
    loadSegment(this.backend, this.store, segment).then(
      () => this.onLoaded(segment, null),
      (error: Error) => this.onLoaded(segment, error),
    )
  }

  private readAhead(number: number): void {
    const loaded: Segment[] = []
    let bytes = 0
    for (let next = number + 1; next <= number + READ_AHEAD && bytes < READ_AHEAD_BYTES_MAX; next++) {
      if (this.loading >= LOADING_MAX) break
      const segment = this.store.segments.get(next)
      if (segment === undefined || segment.slab !== null) continue
      bytes += segment.storedBytes
      loaded.push(segment)
      this.loadOne(segment)
    }
    if (loaded.length > 0) loaded[loaded.length >> 1].isReadAheadMark = true
  }

  private onLoaded(segment: Segment, error: Error | null): void {
    segment.loading = false
    this.loading--
    if (this.closing) return
    this.events.onLoaded(segment.number, error)
    this.events.requestTurn()
  }

  // -- inside ---------------------------------------------------------------------------------------------------------

  private settleLogged(segment: Segment, ticket: Ticket, queueId: number): void {
    const index = ticket % SEGMENT_TICKETS
    const logRefs = segment.logRefs as Uint32Array
    if (logRefs[index] === 0) return // transient message in a durable queue
    if (logRefs[index] === 1 && this.isPending(ticket)) {
      logRefs[index] = 0 // never written: nothing to take back
      return
    }
    this.dropLogged(segment, index, queueId)
    this.recordSettle(ticket, queueId)
  }

  /** false: the message is not in the log, so there is nothing to wait for. */
  private settleLater(segment: Segment, ticket: Ticket, queueId: number): boolean {
    if ((segment.logRefs as Uint32Array)[ticket % SEGMENT_TICKETS] === 0 || this.isPending(ticket)) return false
    this.recordSettle(ticket, queueId)
    this.moved.push({ ticket, queueId })
    return true
  }

  /** One durable queue less holds the message. */
  private dropLogged(segment: Segment, index: number, queueId: number): void {
    const logRefs = segment.logRefs as Uint32Array
    if (--logRefs[index] !== 0) segment.markSettled(queueId, index)
    else this.rows.onSettled(segment, index)
  }

  private recordSettle(ticket: Ticket, queueId: number): void {
    this.settles.settle(queueId, ticket)
    this.requestSettle()
  }

  private requestSettle(): void {
    if (this.settles.length > SETTLE_BYTES_MAX) this.touch()
    else if (!this.isSettleRequested) {
      this.isSettleRequested = true
      this.events.requestSettle(SETTLE_DELAY_MS)
    }
  }

  /** A logged message that is in no batch yet; tickets in `pending` ascend. */
  private isPending(ticket: Ticket): boolean {
    return this.pending.count > 0 && ticket >= this.pending.tickets[0]
  }

  private buildEntries(): LogEntry[] {
    const built = this.pending
    this.pending = this.inFlight
    this.inFlight = built
    const entries: LogEntry[] = this.rows.buildCopies()
    this.builder.build(built, entries)
    if (!this.settles.isEmpty) {
      this.unsavedSettles.push(this.settles.finish())
      this.settles = new RecordWriter()
    }
    for (const records of this.unsavedSettles) {
      // Copied: the backend may take the buffer away, and a failed commit needs it again.
      entries.push({ records: records.slice(), payload: new Uint8Array(0) })
      this.rows.add(0, records.length)
    }
    return entries
  }

  private onCommitted(batch: number, position: number): void {
    this.inFlight.clear()
    this.rows.onCommitted(position)
    this.dropMoved()
    this.busy = false
    this.definitionsInFlight = false
    this.error = null
    this.finish(batch)
    if (!this.closing) this.trim()
    if (this.rows.wantsCopy() && !this.closing) this.rows.copyFront(this.backend, () => this.touch())
    this.events.requestTurn()
  }

  /** What took their place is durable now. */
  private dropMoved(): void {
    for (const { ticket, queueId } of this.movedInFlight) {
      const segment = this.store.segmentOf(ticket)
      if (segment === undefined) continue
      if (segment.isCompact) this.store.expand(segment)
      const index = ticket % SEGMENT_TICKETS
      this.dropLogged(segment, index, queueId)
      this.store.releaseIn(segment, index)
    }
    this.movedInFlight = []
  }

  /** Somebody waits, or will be glad of it: no client need say anything more for the end of this turn to come. */
  private touch(): void {
    if (this.wasTouched) return // asked for already, or the commit in flight asks when it ends
    this.wasTouched = true
    this.events.requestTurn()
  }

  private onFailed(batch: number, error: Error, definitions: DefinitionChange[], settles: Uint8Array[]): void {
    this.rows.onFailed()
    this.inFlight.append(this.pending)
    this.pending.clear()
    const pending = this.pending
    this.pending = this.inFlight
    this.inFlight = pending
    this.definitions = definitions.concat(this.definitions)
    this.unsavedSettles = settles.concat(this.unsavedSettles)
    this.moved = this.movedInFlight.concat(this.moved)
    this.movedInFlight = []
    this.busy = false
    this.definitionsInFlight = false
    this.error = error
    const failed = this.waiters.filter((w) => w.batch <= batch)
    this.waiters = this.waiters.filter((w) => w.batch > batch)
    for (const waiter of failed) waiter.reject(error)
    this.wakeIdle()
    this.events.onFailed(batch, error)
    this.events.requestTurn()
  }

  private finish(batch: number): void {
    this.committed = batch
    while (this.waiters.length > 0 && this.waiters[0].batch <= batch) this.waiters.shift()?.resolve()
    this.wakeIdle()
    this.events.onCommitted(batch)
  }

  private wakeIdle(): void {
    const waiters = this.idleWaiters
    this.idleWaiters = []
    for (const wake of waiters) wake()
  }
}
