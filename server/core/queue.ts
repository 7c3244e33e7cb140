// A queue: what is ready, who consumes, what is unacked; deliveries in publish order, a requeued message back at its place.
// Holds tickets, never bytes. Declared, bound and deleted by vhost.ts; fed by router.ts; dispatched at the end of a turn.
import type { ByteRange } from '../../storage/message-store'
import { storedBodyLength } from '../../storage/segment'
import type { Binding } from './binding'
import type { Consumer, UnackedOwner } from './consumer'
import type { ConsumerRound } from './consumer-round'
import type { Arguments, MessageCounters, QueueView, Return, Ticket } from './core-api'
import { newMessageCounters } from './counters'
import { Discards } from './discards'
import type { Gate } from './gate'
import { Lease } from './lease'
import { type EffectivePolicy, NO_POLICY } from './policies'
import { PriorityRound } from './priority-round'
import { waitingOf } from './priority-waiting'
import { type QueueSettings, settingsOf } from './queue-settings'
import { ReadyRound } from './ready-round'
import { Returns } from './returns'
import type { Session } from './session'
import { SingleActive } from './single-active'
import type { VhostContext } from './vhost'
import type { WaitingMessages } from './waiting'

export interface QueueSpec {
  durable: boolean
  autoDelete: boolean
  owner: Session | null // the connection of an exclusive queue
  arguments: Arguments
  argumentsJson: string
}

/** A message taken by basic.get. */
export interface Taken {
  ticket: Ticket
  redelivered: boolean
  bodyBytes: number
}

export class Queue implements QueueView, UnackedOwner {
  readonly kind = 'queue'
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly owner: Session | null
  readonly arguments: Arguments
  readonly argumentsJson: string
  /** Serves one consumer at a time. */
  readonly isSingleActive: boolean
  /** `id` where its persistent messages are logged, else 0. */
  readonly logId: number
  readonly incoming = new Set<Binding>()
  readonly consumers: Consumer[] = []
  readonly counters: MessageCounters = newMessageCounters()
  unackedCount = 0
  readyBytes = 0
  unackedBytes = 0
  idleSinceMs: number
  isDirty = false
  isDeleted = false
  /** Looks at what comes before it is taken; null: nothing does. Set by the vhost. */
  gate: Gate | null = null
  /** Takes messages and hands out none. Set by the vhost. */
  isPaused = false
  private readonly waiting: WaitingMessages
  /** What it gives up, and by which limits. */
  readonly discards: Discards
  /** Of messages that come back; null: nobody ever asked to count them. */
  private returns: Returns | null = null
  private round: ConsumerRound
  private effectivePolicy = NO_POLICY
  private lease: Lease | null = null
  /** Everything up to here may have been delivered before a crash. */
  private deliveredUpTo: Ticket = 0

  constructor(
    readonly id: number,
    readonly name: string,
    spec: QueueSpec,
    private readonly context: VhostContext,
  ) {
    this.durable = spec.durable
    this.autoDelete = spec.autoDelete
    this.owner = spec.owner
    this.arguments = spec.arguments
    this.argumentsJson = spec.argumentsJson
    this.isSingleActive = spec.arguments['x-single-active-consumer'] === true
    this.round = this.isSingleActive ? new SingleActive() : new ReadyRound()
    this.logId = spec.durable && spec.owner === null ? id : 0
    this.idleSinceMs = context.now
    this.waiting = waitingOf(spec.arguments, context.journal.store)
    this.discards = new Discards(this, this.waiting, context)
    this.policy = NO_POLICY
  }

  get policy(): EffectivePolicy {
    return this.effectivePolicy
  }

  set policy(policy: EffectivePolicy) {
    this.effectivePolicy = policy
    const settings = settingsOf(this.arguments, policy.definition)
    if (settings.expires !== this.settings.expires) this.setLease(settings.expires)
    if (settings.countsReturns) this.returns ??= new Returns(this, this.context)
    this.discards.settings = settings
  }

  /** What arguments and policy say together. */
  get settings(): QueueSettings {
    return this.discards.settings
  }

  // -- per message ----------------------------------------------------------------------------------------------------

  /** `expiration` of the message itself, in ms; -1: none. */
  push(ticket: Ticket, bodyBytes: number, expiration = -1): void {
    this.waiting.push(ticket)
    this.readyBytes += bodyBytes
    this.counters.publish++
    this.idleSinceMs = this.context.now
    if (!this.isDirty && this.consumers.length > 0) this.markDirty()
    if (expiration !== -1 || this.discards.isWatching) this.discards.onPush(ticket, expiration)
  }

  /** Hands out messages while there are any and somebody can take them, `max` at most. true: there are more. */
  dispatch(range: ByteRange, max: number): boolean {
    this.returns?.takeDue(this.context.now, this.giveBack)
    this.isDirty = false
    // Those whose time is just now have their chance first.
    const isReady = this.discards.expire(this.context.now - 1) && !this.isPaused
    if (isReady && this.handOut(range, max)) return true
    this.discards.endTurn(range)
    return false
  }

  /** Before the end of the turn, so that a queue is not called full of what somebody takes. */
  handOutEarly(range: ByteRange): void {
    if (this.consumers.length === 0 || this.isPaused) return
    if (this.discards.expire(this.context.now - 1)) this.handOut(range, Number.POSITIVE_INFINITY)
  }

  private handOut(range: ByteRange, max: number): boolean {
    const { store } = this.context.journal
    const { waiting } = this
    for (; waiting.length > 0; max--) {
      if (max === 0) {
        this.isDirty = true
        return true
      }
      const consumer = this.round.next()
      if (consumer === null) {
        if (this.round.isHeld) this.markDirty()
        return false
      }
      const ticket = waiting.head
      if (!store.locate(ticket, range)) {
        this.context.awaitLoad(this, ticket)
        return false
      }
      const wasDelivered = waiting.shift()
      this.deliver(consumer, ticket, wasDelivered || ticket <= this.deliveredUpTo, range)
    }
    return false
  }

  private deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void {
    const bodyBytes = storedBodyLength(range.buf, range.start)
    this.readyBytes -= bodyBytes
    if (redelivered) this.onRedelivered(ticket, range)
    if (consumer.noAck) {
      this.counters.deliverNoAck++
    } else {
      this.counters.deliver++
      this.unackedCount++
      this.unackedBytes += bodyBytes
      consumer.unackedCount++
      this.discards.expiry?.onDelivered(ticket)
    }
    consumer.sink.deliver(consumer, ticket, redelivered, range)
    // The bytes are in the connection's out-buffer by now.
    if (consumer.noAck) this.context.journal.settle(ticket, this.logId)
  }

  private onRedelivered(ticket: Ticket, range: ByteRange): void {
    this.counters.redeliver++
    this.returns?.stamp(ticket, range)
  }

  /** The head for basic.get, counted as unacked unless `noAck`; 'loading' when its bytes are on their way. */
  take(noAck: boolean, range: ByteRange): Taken | 'empty' | 'loading' {
    this.lease?.renew()
    this.returns?.takeDue(this.context.clock.now(), this.giveBack)
    this.discards.expire(this.context.clock.now(), Number.POSITIVE_INFINITY)
    if (this.discards.hasLeaving) this.markDirty()
    if (this.waiting.length === 0) {
      this.counters.getEmpty++
      return 'empty'
    }
    const ticket = this.waiting.head
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    const wasDelivered = this.waiting.shift()
    const bodyBytes = storedBodyLength(range.buf, range.start)
    const redelivered = wasDelivered || ticket <= this.deliveredUpTo
    this.readyBytes -= bodyBytes
    if (redelivered) this.onRedelivered(ticket, range)
    if (noAck) this.counters.getNoAck++
    else {
      this.counters.get++
      this.unackedCount++
      this.unackedBytes += bodyBytes
      this.discards.expiry?.onDelivered(ticket)
    }
    return { ticket, redelivered, bodyBytes }
  }

  /** Settles the message at the head, which nobody gets; 'loading' when its size is on its way. */
  dropHead(range: ByteRange): 'dropped' | 'empty' | 'loading' {
    if (this.waiting.length === 0) return 'empty'
    const ticket = this.waiting.head
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    this.waiting.shift()
    this.readyBytes -= storedBodyLength(range.buf, range.start)
    this.context.journal.settle(ticket, this.logId)
    return 'dropped'
  }

  /** After `take` with noAck, once the bytes were copied out. */
  settleTaken(ticket: Ticket): void {
    this.context.journal.settle(ticket, this.logId)
  }

  settleUnacked(ticket: Ticket, bodyBytes: number): void {
    this.takeFromUnacked(ticket, bodyBytes)
    this.context.journal.settle(ticket, this.logId)
  }

  /** Unacked, and refused for good. */
  reject(ticket: Ticket, bodyBytes: number): void {
    this.takeFromUnacked(ticket, bodyBytes)
    this.discards.refuse(ticket, 'rejected')
  }

  private takeFromUnacked(ticket: Ticket, bodyBytes: number): void {
    this.unackedCount--
    this.unackedBytes -= bodyBytes
    this.counters.ack++
    this.discards.expiry?.onSettled(ticket)
  }

  requeue(ticket: Ticket, bodyBytes: number, how: Return): void {
    this.unackedCount--
    this.unackedBytes -= bodyBytes
    if (this.isDeleted) {
      this.context.journal.settle(ticket, this.logId)
      return
    }
    const fate = this.returns === null ? 'ready' : this.returns.onReturn(ticket, bodyBytes, how)
    if (fate === 'ready') this.giveBack(ticket, bodyBytes)
    else if (fate === 'exhausted') {
      this.discards.expiry?.onSettled(ticket)
      this.discards.refuse(ticket, 'delivery_limit')
    }
  }

  private readonly giveBack = (ticket: Ticket, bodyBytes: number): void => {
    this.waiting.giveBack(ticket)
    this.readyBytes += bodyBytes
    this.discards.expiry?.onReturned(ticket)
    this.markDirty()
  }

  // The owner of what basic.get took.
  ack(ticket: Ticket, bodyBytes: number): void {
    this.settleUnacked(ticket, bodyBytes)
  }

  get readyCount(): number {
    return this.waiting.length
  }

  get delayedCount(): number {
    return this.returns === null ? 0 : this.returns.count
  }

  get untakenCount(): number {
    return this.discards.untakenCount
  }

  get consumerTimeoutMs(): number {
    const { consumerTimeout } = this.settings
    return consumerTimeout === -1 ? this.context.consumerTimeoutMs : consumerTimeout
  }

  /** Memory taken by what waits or is unacked, the messages themselves not counted; about. */
  get heldBytes(): number {
    return this.waiting.heldBytes + this.unackedCount * 24 + this.discards.heldBytes + (this.returns?.heldBytes ?? 0)
  }

  markDirty(): void {
    if (this.isDirty) return
    this.isDirty = true
    this.context.addDirty(this)
  }

  // -- its own life ---------------------------------------------------------------------------------------------------

  private setLease(ms: number): void {
    this.lease?.stop()
    const isInUse = () => this.consumers.length > 0
    this.lease = ms === -1 ? null : new Lease(ms, this.context.clock, isInUse, () => this.context.removeQueue(this))
  }

  /** Declared again. */
  renew(): void {
    this.lease?.renew()
  }

  /** Deleted: settles what waits, and what it was to send on. Returns how many waited. */
  close(): number {
    this.isDeleted = true
    this.lease?.stop()
    this.returns?.stop()
    this.discards.close()
    return this.purge()
  }

  /** No more timers: the broker stops. */
  stop(): void {
    this.lease?.stop()
    this.returns?.stop()
    this.discards.stop()
  }

  // -- consumers ------------------------------------------------------------------------------------------------------

  addConsumer(consumer: Consumer): void {
    this.consumers.push(consumer)
    if (consumer.priority !== 0 && this.round instanceof ReadyRound) this.round = new PriorityRound(this.round)
    this.round.add(consumer)
    this.touch()
    this.markDirty()
  }

  removeConsumer(consumer: Consumer): void {
    if (consumer.isCancelled) return
    consumer.isCancelled = true
    consumer.sink.parked.delete(consumer)
    this.consumers.splice(this.consumers.indexOf(consumer), 1)
    if (this.round.remove(consumer)) this.markDirty()
    this.lease?.renew()
    this.touch()
  }

  onUnparked(consumer: Consumer): void {
    this.round.add(consumer)
    if (this.readyCount > 0) this.markDirty()
  }

  /** The one consumer that is served; null: all are, or there is none. */
  get activeConsumer(): Consumer | null {
    return this.round.active
  }

  get hasExclusiveConsumer(): boolean {
    return this.consumers.some((c) => c.exclusive)
  }

  // -- the rest -------------------------------------------------------------------------------------------------------

  /** Settles everything that is ready or waits for its time; returns how many. */
  purge(): number {
    const count = this.readyCount + this.delayedCount
    for (const ticket of this.returns?.drain() ?? []) this.context.journal.settle(ticket, this.logId)
    for (const ticket of this.waiting.drain()) this.context.journal.settle(ticket, this.logId)
    this.readyBytes = 0
    this.discards.onPurged()
    return count
  }

  /** A message that recovery found; followed by finishRecovery. */
  recover(ticket: Ticket, bodyBytes: number, publishedMs: number, expiration: number): void {
    this.discards.setDue(ticket, publishedMs, expiration)
    if (this.returns?.recover(ticket, bodyBytes)) {
      this.discards.expiry?.onDelivered(ticket)
      return
    }
    this.waiting.recover(ticket)
    this.readyBytes += bodyBytes
  }

  /** `deliveredUpTo` as after a crash, `returned` as recorded by a clean stop. */
  finishRecovery(deliveredUpTo: Ticket, returned: ReadonlySet<Ticket>): void {
    this.deliveredUpTo = deliveredUpTo
    this.waiting.finishRecovery(returned)
    this.markDirty()
  }

  /** At a clean stop: what was delivered before, for the log. */
  recordReturned(): void {
    if (this.logId === 0) return
    const { journal } = this.context
    for (const ticket of this.waiting.deliveredBefore()) journal.returned(this.id, ticket)
    // What a crash before this life left in doubt stays in doubt.
    if (this.waiting.firstNew <= this.deliveredUpTo) journal.deliveredUpTo(this.id, this.deliveredUpTo)
  }

  touch(): void {
    this.idleSinceMs = this.context.now
  }

  /** As x-queue-type names it. */
  get type(): string {
    const type = this.arguments['x-queue-type']
    return typeof type === 'string' ? type : 'classic'
  }
  get exclusive(): boolean {
    return this.owner !== null
  }
  get ownerConnection(): string | null {
    return this.owner === null ? null : this.owner.connectionName
  }
  get vhostName(): string {
    return this.context.name
  }
}
