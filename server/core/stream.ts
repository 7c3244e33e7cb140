// A stream: a queue that keeps what it gets, in order and numbered, for as many readers as there are. Each has a place of its own,
// and acknowledging only lets it have more; messages go by age or size, the oldest first. RabbitMQ docs "Streams". Fed by vhost.ts,
// dispatched at the end of a turn.
//
// Every message is logged, persistent or not, with its offset and time in it (stream-stamp.ts), and no reader sees one before it is on
// disk: an offset that somebody has seen never means another message. The newest message always stays: after a restart it says which
// offset comes next.

import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import type { Binding } from './binding'
import type { Timer } from './clock'
import type { Consumer, UnackedOwner } from './consumer'
import type { Arguments, MessageCounters, QueueView, Ticket } from './core-api'
import { newMessageCounters } from './counters'
import type { Gate } from './gate'
import { type EffectivePolicy, NO_POLICY } from './policies'
import type { QueueSpec } from './queue'
import { startOf } from './stream-arguments'
import { type Chunk, StreamLog, ticketsOf } from './stream-log'
import { StreamReader } from './stream-reader'
import { StreamRecovery } from './stream-recovery'
import { type Retention, retentionOf } from './stream-retention'
import { StreamStamp } from './stream-stamp'
import type { VhostContext } from './vhost'

/** Messages that one reader gets before the next one's turn. */
const READER_ROUND = 16
/** Messages looked at in one turn, be they wanted or not. */
const TURN_MESSAGES_MAX = 4096
/** Timers do not notice that the clock was set or the machine slept. */
const TIMER_MS_MAX = 60_000

export class Stream implements QueueView, UnackedOwner {
  readonly kind = 'queue'
  readonly type = 'stream'
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly owner = null
  readonly exclusive = false
  readonly ownerConnection = null
  readonly arguments: Arguments
  readonly argumentsJson: string
  readonly isSingleActive = false
  readonly activeConsumer = null
  readonly logId: number
  readonly incoming = new Set<Binding>()
  readonly consumers: Consumer[] = []
  readonly counters: MessageCounters = newMessageCounters()
  /** Of a stream nothing is taken out: what consumers hold is in it still. */
  readonly unackedCount = 0
  readonly delayedCount = 0
  readonly untakenCount = 0
  readonly consumerTimeoutMs = 0
  readonly unackedBytes = 0
  idleSinceMs: number
  isDirty = false
  isDeleted = false
  /** Takes messages and hands out none. Set by the vhost. */
  isPaused = false
  /** Looks at what comes before it is taken; null: nothing does. Set by the vhost. */
  gate: Gate | null = null
  private effectivePolicy = NO_POLICY
  private retention: Retention
  private readonly log = new StreamLog()
  private readonly recovery = new StreamRecovery(this.log)
  private readonly stamp = new StreamStamp()
  private readonly readers: StreamReader[] = []
  private nextReader = 0
  /** Readers see what is below this offset. */
  private visibleEnd = 0
  /** What is not on disk yet: where the messages of a batch end. */
  private unsaved: { batch: number; end: number }[] = []
  private lastMs = 0
  private timer: Timer | null = null
  private isStopped = false

  constructor(
    readonly id: number,
    readonly name: string,
    spec: QueueSpec,
    private readonly context: VhostContext,
  ) {
    this.durable = spec.durable
    this.autoDelete = spec.autoDelete
    this.arguments = spec.arguments
    this.argumentsJson = spec.argumentsJson
    this.logId = id
    this.idleSinceMs = context.now
    this.retention = retentionOf(this.arguments, NO_POLICY)
    this.log.limits = this.retention.chunks
  }

  // -- per message ----------------------------------------------------------------------------------------------------

  /** As a gate of the routes that lead here. Always true: its confirm waits for the log. */
  onPublish(m: IncomingMessage): boolean {
    const { journal, clock } = this.context
    this.lastMs = Math.max(this.lastMs, clock.now())
    const bodyBytes = m.bodyEnd - m.bodyStart
    const ticket = journal.store.append(this.stamp.write(m, this.log.nextOffset, this.lastMs), 1, 1)
    journal.addQueue(this.id)
    journal.enqueue(ticket, bodyBytes)
    this.log.append(ticket, bodyBytes, this.lastMs)
    this.counters.publish++
    this.idleSinceMs = this.context.now
    this.awaitCommit(journal.gathering)
    if (this.log.bytes > this.retention.bytes) this.dropBySize()
    if (this.timer === null && this.retention.ms !== Number.POSITIVE_INFINITY) this.arm()
    return true
  }

  private awaitCommit(batch: number): void {
    const newest = this.unsaved[this.unsaved.length - 1]
    if (newest?.batch === batch) newest.end = this.log.nextOffset
    else {
      this.showCommitted()
      this.unsaved.push({ batch, end: this.log.nextOffset })
      if (this.readers.length > 0) this.context.awaitCommit(this)
    }
  }

  private showCommitted(): void {
    const { committed } = this.context.journal
    while (this.unsaved.length > 0 && this.unsaved[0].batch <= committed) {
      this.visibleEnd = (this.unsaved.shift() as { end: number }).end
    }
  }

  /** Hands out messages by turns to readers that can take them, `max` at most. true: there are more. */
  dispatch(range: ByteRange, max: number): boolean {
    this.isDirty = false
    if (this.isPaused) return false
    this.showCommitted()
    if (this.unsaved.length > 0 && this.readers.length > 0) this.context.awaitCommit(this)
    this.dropByAge(range)
    const delivered = this.counters.deliver
    const most = Math.min(max, TURN_MESSAGES_MAX)
    let left = most
    for (let idle = 0; left > 0 && idle < this.readers.length; ) {
      const reader = this.readers[this.nextReader++ % this.readers.length]
      const read = this.read(reader, range, Math.min(left, READER_ROUND))
      idle = read === 0 ? idle + 1 : 0
      left -= read
    }
    if (left > 0) return false
    // What filters pass over is no load on a connection, which would end this turn.
    const isMostlyWanted = (this.counters.deliver - delivered) * 2 > most
    if (isMostlyWanted) this.isDirty = true
    else this.markDirty()
    return isMostlyWanted
  }

  /** Returns how many messages it has looked at; fewer than `max`: it can have no more just now. */
  private read(reader: StreamReader, range: ByteRange, max: number): number {
    if (reader.isSeeking) reader.seek((chunk) => this.firstMsOf(chunk, range))
    let count = 0
    for (; count < max && !reader.isSeeking && reader.offset < this.visibleEnd; count++) {
      if (!this.isReady(reader.consumer)) break
      const { ticket } = reader
      if (!this.context.journal.store.locate(ticket, range)) {
        this.context.awaitLoad(this, ticket)
        break
      }
      this.stamp.read(range)
      reader.cursor.offset++
      if (reader.wants(this.stamp)) this.deliver(reader.consumer, ticket, range)
    }
    return count
  }

  private isReady(consumer: Consumer): boolean {
    if (consumer.isParked) return false
    if (consumer.isReady) return true
    consumer.park()
    return false
  }

  private deliver(consumer: Consumer, ticket: Ticket, range: ByteRange): void {
    this.counters.deliver++
    consumer.unackedCount++
    consumer.sink.deliver(consumer, ticket, false, this.stamp.view(range))
  }

  // Whatever a consumer says of a message, it is done with it, and the stream keeps it. So does RabbitMQ.
  settleUnacked(): void {
    this.counters.ack++
  }
  requeue(): void {}
  ack(): void {}
  /** As ack: the message stays for others. */
  reject(): void {
    this.settleUnacked()
  }
  renew(): void {}

  markDirty(): void {
    if (this.isDirty) return
    this.isDirty = true
    this.context.addDirty(this)
  }

  // -- consumers ------------------------------------------------------------------------------------------------------

  addConsumer(consumer: Consumer): void {
    const start = startOf(consumer.arguments, this.context.clock.now()) ?? { at: 'next' }
    this.consumers.push(consumer)
    this.readers.push(new StreamReader(consumer, this.log, start))
    this.touch()
    this.markDirty()
  }

  removeConsumer(consumer: Consumer): void {
    if (consumer.isCancelled) return
    consumer.isCancelled = true
    consumer.sink.parked.delete(consumer)
    const at = this.consumers.indexOf(consumer)
    this.consumers.splice(at, 1)
    this.readers.splice(at, 1)
    this.touch()
  }

  onUnparked(): void {
    this.markDirty()
  }

  get hasExclusiveConsumer(): boolean {
    return this.consumers.some((c) => c.exclusive)
  }

  // -- retention ------------------------------------------------------------------------------------------------------

  get policy(): EffectivePolicy {
    return this.effectivePolicy
  }

  set policy(policy: EffectivePolicy) {
    this.effectivePolicy = policy
    this.retention = retentionOf(this.arguments, policy)
    this.log.limits = this.retention.chunks
    this.dropBySize()
    this.arm()
  }

  private dropBySize(): void {
    while (this.log.bytes > this.retention.bytes && this.log.chunkCount > 1) this.settle(this.log.dropFirst())
  }

  /** Drops chunks of which the newest message is too old. It goes on when bytes come back, or when the timer says so. */
  private dropByAge(range: ByteRange): void {
    if (this.retention.ms === Number.POSITIVE_INFINITY) return
    const before = this.context.clock.now() - this.retention.ms
    while (this.log.count > 1) {
      const chunk = this.log.first
      const ms = this.lastMsOf(chunk, range)
      if (ms === null) return
      if (ms > before) break
      if (this.log.chunkCount > 1) this.settle(this.log.dropFirst())
      else this.settle(this.log.keepNewest(ms), chunk.lastTicket)
    }
    if (this.timer === null) this.arm()
  }

  private arm(): void {
    this.timer?.cancel()
    this.timer = null
    const { ms } = this.retention
    if (ms === Number.POSITIVE_INFINITY || this.log.count < 2 || this.isStopped) return
    const { clock } = this.context
    const left = this.log.first.lastMs + ms - clock.now()
    // Due, or not known and to be looked up.
    if (!(left > 0)) return this.markDirty()
    this.timer = clock.after(Math.min(TIMER_MS_MAX, left), () => {
      this.timer = null
      this.markDirty()
    })
  }

  /** The chunk goes, but for one message perhaps. The log keeps it until the batch that is gathered is durable: else a crash could
   *  find neither it nor what came after, and the offsets with them. */
  private settle(chunk: Chunk, kept: Ticket = -1): void {
    const { journal } = this.context
    journal.together(() => {
      for (const ticket of ticketsOf(chunk)) if (ticket !== kept) journal.settle(ticket, this.id)
    })
  }

  private firstMsOf(chunk: Chunk, range: ByteRange): number | null {
    if (Number.isNaN(chunk.firstMs)) chunk.firstMs = this.timeOf(chunk.firstTicket, range)
    return Number.isNaN(chunk.firstMs) ? null : chunk.firstMs
  }

  private lastMsOf(chunk: Chunk, range: ByteRange): number | null {
    if (Number.isNaN(chunk.lastMs)) chunk.lastMs = this.timeOf(chunk.lastTicket, range)
    return Number.isNaN(chunk.lastMs) ? null : chunk.lastMs
  }

  /** NaN: its bytes are on their way. */
  private timeOf(ticket: Ticket, range: ByteRange): number {
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.awaitLoad(this, ticket)
      return Number.NaN
    }
    return this.stamp.read(range) ? this.stamp.ms : 0
  }

  /** Deleted with all that is in it. Returns how much that was. */
  close(): number {
    const { count } = this.log
    this.isDeleted = true
    this.stop()
    while (this.log.count > 0) {
      for (const ticket of ticketsOf(this.log.dropFirst())) this.context.journal.settle(ticket, this.id)
    }
    return count
  }

  // -- start and stop -------------------------------------------------------------------------------------------------

  recover(ticket: Ticket, bodyBytes: number): void {
    this.recovery.add(ticket, bodyBytes)
  }

  finishRecovery(): void {
    this.recovery.finish()
  }

  /** Reads back from the log which offset comes next. Before anybody is let in. */
  async findOffset(): Promise<void> {
    const { journal } = this.context
    const { count } = this.log
    if (count === 0) return
    const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
    // What cannot be read has its offset all the same: that is told by what comes before it.
    for (const { ticket, behind } of this.recovery.newestFirst()) {
      const isRead = await journal.loadNow(ticket).then(
        () => journal.store.locate(ticket, range) && this.stamp.read(range),
        () => false,
      )
      if (!isRead) continue
      this.log.rebase(this.stamp.offset + behind)
      this.lastMs = this.stamp.ms
      break
    }
    this.visibleEnd = this.log.nextOffset
    this.arm()
  }

  /** At a clean stop: nothing is ever taken out, so there is nothing to record. */
  recordReturned(): void {
    this.stop()
  }

  stop(): void {
    this.isStopped = true
    this.timer?.cancel()
  }

  // -- the rest -------------------------------------------------------------------------------------------------------

  touch(): void {
    this.idleSinceMs = this.context.now
  }
  get readyCount(): number {
    return this.log.count
  }
  get readyBytes(): number {
    return this.log.bytes
  }
  get heldBytes(): number {
    return this.log.heldBytes
  }
  get vhostName(): string {
    return this.context.name
  }
}
