// A queue: what is ready, who consumes, what is unacked; deliveries in publish order, a requeued message back at its place.
// Holds tickets, never bytes. Declared, bound and deleted by vhost.ts; fed by router.ts; dispatched at the end of a turn.
import type { ByteRange } from '../../storage/message-store'
import { storedBodyLength } from '../../storage/segment'
import type { Binding } from './binding'
import type { Consumer, UnackedOwner } from './consumer'
import type { ConsumerRound } from './consumer-round'
import type { Arguments, MessageCounters, QueueView, Ticket } from './core-api'
import { newMessageCounters } from './counters'
import type { DeathReason } from './dead-letter'
import { Expiry } from './expiry'
import type { Gate } from './gate'
import { Lease } from './lease'
import { type EffectivePolicy, NO_POLICY } from './policies'
import { PriorityRound } from './priority-round'
import { NO_SETTINGS, type QueueSettings, settingsOf } from './queue-settings'
import { ReadyRound } from './ready-round'
import { Returned } from './returned'
import type { Session } from './session'
import { asIncoming } from './shelf'
import { SingleActive } from './single-active'
import { TicketRing } from './ticket-ring'
import type { VhostContext } from './vhost'

/** Messages given up in one turn. */
const GIVEN_UP_PER_TURN = 1024

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
  private readonly ready = new TicketRing()
  private readonly returned = new Returned()
  private round: ConsumerRound
  private effectivePolicy = NO_POLICY
  /** What arguments and policy say together. */
  settings: QueueSettings = NO_SETTINGS
  private limitsLength = false
  private expiry: Expiry | null = null
  private lease: Lease | null = null
  /** In the ring and passed over: they have expired. */
  private goneCount = 0
  /** For the dead-letter exchange, which gets them at the end of the turn. */
  private rejected: Ticket[] = []
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
    this.policy = NO_POLICY
  }

  get policy(): EffectivePolicy {
    return this.effectivePolicy
  }

  set policy(policy: EffectivePolicy) {
    this.effectivePolicy = policy
    const settings = settingsOf(this.arguments, policy.definition)
    if (settings.expires !== this.settings.expires) this.setLease(settings.expires)
    this.settings = settings
    this.limitsLength =
      settings.maxLength !== Number.POSITIVE_INFINITY || settings.maxBytes !== Number.POSITIVE_INFINITY
    if (this.isOverfull) this.markDirty()
  }

  // -- per message ----------------------------------------------------------------------------------------------------

  /** `expiration` of the message itself, in ms; -1: none. */
  push(ticket: Ticket, bodyBytes: number, expiration = -1): void {
    this.ready.push(ticket)
    this.readyBytes += bodyBytes
    this.counters.publish++
    this.idleSinceMs = this.context.now
    if (!this.isDirty && this.consumers.length > 0) this.markDirty()
    if (expiration !== -1 || this.settings.messageTtl !== -1) this.setDue(ticket, this.context.clock.now(), expiration)
    // With consumers, the end of the turn drops what they could not take.
    if (this.limitsLength && this.consumers.length === 0 && this.isOverfull) this.context.onOverfull(this)
  }

  /** Hands out messages while there are any and somebody can take them, `max` at most. true: there are more. */
  dispatch(range: ByteRange, max: number): boolean {
    this.isDirty = false
    const { expiry } = this
    if (expiry !== null) this.expire(range, this.context.now - 1)
    const hasMore = !this.isPaused && this.handOut(range, max)
    if (hasMore) return true
    // Those whose time is now had their chance.
    if (expiry !== null) this.expire(range, this.context.now)
    if (this.limitsLength) this.dropOverflow(range)
    if (this.rejected.length > 0) this.sendRejected(range)
    return false
  }

  private handOut(range: ByteRange, max: number): boolean {
    const { store } = this.context.journal
    for (; this.readyCount > 0; max--) {
      if (max === 0) {
        this.isDirty = true
        return true
      }
      const consumer = this.round.next()
      if (consumer === null) {
        if (this.round.isHeld) this.markDirty()
        return false
      }
      const ticket = this.head()
      if (!store.locate(ticket, range)) {
        this.context.awaitLoad(this, ticket)
        return false
      }
      const fromReturned = this.shiftHead()
      this.deliver(consumer, ticket, fromReturned || ticket <= this.deliveredUpTo, range)
    }
    return false
  }

  private deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void {
    const bodyBytes = storedBodyLength(range.buf, range.start)
    this.readyBytes -= bodyBytes
    if (redelivered) this.counters.redeliver++
    if (consumer.noAck) {
      this.counters.deliverNoAck++
    } else {
      this.counters.deliver++
      this.unackedCount++
      this.unackedBytes += bodyBytes
      consumer.unackedCount++
      if (this.expiry !== null) this.expiry.onDelivered(ticket)
    }
    consumer.sink.deliver(consumer, ticket, redelivered, range)
    // The bytes are in the connection's out-buffer by now.
    if (consumer.noAck) this.context.journal.settle(ticket, this.logId)
  }

  /** The head for basic.get, counted as unacked unless `noAck`; 'loading' when its bytes are on their way. */
  take(noAck: boolean, range: ByteRange): Taken | 'empty' | 'loading' {
    this.lease?.renew()
    if (this.expiry !== null) this.expire(range, this.context.clock.now())
    if (this.readyCount === 0) {
      this.counters.getEmpty++
      return 'empty'
    }
    const ticket = this.head()
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    const fromReturned = this.shiftHead()
    const bodyBytes = storedBodyLength(range.buf, range.start)
    const redelivered = fromReturned || ticket <= this.deliveredUpTo
    this.readyBytes -= bodyBytes
    if (redelivered) this.counters.redeliver++
    if (noAck) this.counters.getNoAck++
    else {
      this.counters.get++
      this.unackedCount++
      this.unackedBytes += bodyBytes
      if (this.expiry !== null) this.expiry.onDelivered(ticket)
    }
    return { ticket, redelivered, bodyBytes }
  }

  /** Settles the message at the head, which nobody gets; 'loading' when its size is on its way. */
  dropHead(range: ByteRange): 'dropped' | 'empty' | 'loading' {
    if (this.readyCount === 0) return 'empty'
    const ticket = this.head()
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    this.shiftHead()
    this.readyBytes -= storedBodyLength(range.buf, range.start)
    this.context.journal.settle(ticket, this.logId)
    return 'dropped'
  }

  /** After `take` with noAck, once the bytes were copied out. */
  settleTaken(ticket: Ticket): void {
    this.context.journal.settle(ticket, this.logId)
  }

  settleUnacked(ticket: Ticket, bodyBytes: number): void {
    this.unackedCount--
    this.unackedBytes -= bodyBytes
    this.counters.ack++
    if (this.expiry !== null) this.expiry.onSettled(ticket)
    this.context.journal.settle(ticket, this.logId)
  }

  /** Unacked, and refused for good. */
  reject(ticket: Ticket, bodyBytes: number): void {
    if (this.settings.deadLetterExchange === null || this.isDeleted) return this.settleUnacked(ticket, bodyBytes)
    this.unackedCount--
    this.unackedBytes -= bodyBytes
    this.counters.ack++
    if (this.expiry !== null) this.expiry.onSettled(ticket)
    this.rejected.push(ticket)
    this.markDirty()
  }

  requeue(ticket: Ticket, bodyBytes: number): void {
    this.unackedCount--
    this.unackedBytes -= bodyBytes
    if (this.isDeleted) {
      this.context.journal.settle(ticket, this.logId)
      return
    }
    this.returned.add(ticket)
    this.readyBytes += bodyBytes
    if (this.expiry?.onReturned(ticket)) this.expiry.add(this.context.now, ticket)
    this.markDirty()
  }

  // The owner of what basic.get took.
  ack(ticket: Ticket, bodyBytes: number): void {
    this.settleUnacked(ticket, bodyBytes)
  }

  get readyCount(): number {
    return this.ready.length + this.returned.length - this.goneCount
  }

  /** Memory taken by what waits or is unacked, the messages themselves not counted; about. */
  get heldBytes(): number {
    return this.readyCount * 2 + this.returned.length * 8 + this.unackedCount * 24 + (this.expiry?.heldBytes ?? 0)
  }

  /** Of what waits, the next; call only when readyCount > 0. */
  private head(): Ticket {
    if (this.goneCount > 0) this.skipGone()
    return this.headIsReturned() ? this.returned.peek() : this.ready.peek()
  }

  /** true: it had been delivered before. */
  private shiftHead(): boolean {
    const fromReturned = this.headIsReturned()
    if (fromReturned) this.returned.shift()
    else this.ready.shift()
    return fromReturned
  }

  private skipGone(): void {
    const { gone } = this.expiry as Expiry
    while (this.ready.length + this.returned.length > 0) {
      if (!gone.delete(this.headIsReturned() ? this.returned.peek() : this.ready.peek())) return
      this.shiftHead()
      this.goneCount--
    }
  }

  private headIsReturned(): boolean {
    if (this.returned.length === 0) return false
    return this.ready.length === 0 || this.returned.peek() < this.ready.peek()
  }

  markDirty(): void {
    if (this.isDirty) return
    this.isDirty = true
    this.context.addDirty(this)
  }

  // -- messages that nobody gets ---------------------------------------------------------------------------------------

  private setDue(ticket: Ticket, publishedMs: number, expiration: number): void {
    const { messageTtl } = this.settings
    const ttl =
      expiration === -1 || messageTtl === -1 ? Math.max(expiration, messageTtl) : Math.min(expiration, messageTtl)
    if (ttl === -1) return
    this.expiry ??= new Expiry(this.context.clock, () => this.markDirty())
    this.expiry.add(publishedMs + ttl, ticket)
  }

  /** Gives up those whose time has come. Their bytes may have to come back first: another turn goes on then. */
  private expire(range: ByteRange, now: number): void {
    const expiry = this.expiry as Expiry
    for (let count = 0; ; count++) {
      const ticket = expiry.firstDue(now, this.ready.length === 0 ? Number.POSITIVE_INFINITY : this.ready.peek())
      if (ticket === null) break
      if (count === GIVEN_UP_PER_TURN) return this.markDirty()
      if (!this.context.journal.store.locate(ticket, range)) return this.context.awaitLoad(this, ticket)
      expiry.pop()
      this.goneCount++
      this.giveUp(ticket, 'expired', range)
    }
    if (this.goneCount > 0) this.skipGone()
    expiry.tidy(
      this.ready.length === 0 ? Number.POSITIVE_INFINITY : this.ready.peek(),
      this.readyCount + this.unackedCount,
    )
    expiry.arm()
  }

  get isOverfull(): boolean {
    return this.readyCount > this.settings.maxLength || this.readyBytes > this.settings.maxBytes
  }

  /** Takes no more, and says so to publishers. */
  refuses(bodyBytes: number): boolean {
    const { overflow, maxLength, maxBytes } = this.settings
    if (overflow === 'drop-head' || !this.limitsLength) return false
    return this.readyCount >= maxLength || this.readyBytes + bodyBytes > maxBytes
  }

  /** Gives up the oldest until what waits is within the limits. */
  dropOverflow(range: ByteRange): void {
    if (this.settings.overflow !== 'drop-head') return
    for (let count = 0; this.readyCount > 0 && this.isOverfull; count++) {
      if (count === GIVEN_UP_PER_TURN) return this.markDirty()
      const ticket = this.head()
      if (!this.context.journal.store.locate(ticket, range)) return this.context.awaitLoad(this, ticket)
      this.shiftHead()
      this.expiry?.onSettled(ticket)
      this.giveUp(ticket, 'maxlen', range)
    }
  }

  private sendRejected(range: ByteRange): void {
    const { rejected } = this
    let next = 0
    for (; next < rejected.length && next < GIVEN_UP_PER_TURN; next++) {
      if (!this.context.journal.store.locate(rejected[next], range)) break
      this.giveToDeadLetters(rejected[next], 'rejected', range)
    }
    this.rejected = rejected.slice(next)
    if (next === GIVEN_UP_PER_TURN) this.markDirty()
    else if (this.rejected.length > 0) this.context.awaitLoad(this, this.rejected[0])
  }

  /** A message that waited; its bytes are in `range`. */
  private giveUp(ticket: Ticket, reason: DeathReason, range: ByteRange): void {
    this.readyBytes -= storedBodyLength(range.buf, range.start)
    this.giveToDeadLetters(ticket, reason, range)
  }

  private giveToDeadLetters(ticket: Ticket, reason: DeathReason, range: ByteRange): void {
    const { journal } = this.context
    if (this.settings.deadLetterExchange === null) {
      journal.settle(ticket, this.logId)
      return
    }
    this.context.deadLetter(this, asIncoming(range), reason)
    journal.settleMoved(ticket, this.logId)
  }

  private setLease(ms: number): void {
    this.lease?.stop()
    const isInUse = () => this.consumers.length > 0
    this.lease = ms === -1 ? null : new Lease(ms, this.context.clock, isInUse, () => this.context.removeQueue(this))
  }

  /** Declared again. */
  renew(): void {
    this.lease?.renew()
  }

  /** No more timers: the queue, or the broker, is at its end. */
  stop(): void {
    this.lease?.stop()
    this.expiry?.stop()
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

  /** Settles everything ready; returns how many. */
  purge(): number {
    const count = this.readyCount
    const gone = this.expiry?.gone
    const { journal } = this.context
    for (const ticket of this.returned) if (!gone?.has(ticket)) journal.settle(ticket, this.logId)
    while (this.ready.length > 0) {
      const ticket = this.ready.shift()
      if (!gone?.has(ticket)) journal.settle(ticket, this.logId)
    }
    this.expiry?.onPurged()
    this.goneCount = 0
    this.returned.clear()
    this.ready.clear()
    this.readyBytes = 0
    return count
  }

  /** A message that recovery found; followed by finishRecovery. */
  recover(ticket: Ticket, bodyBytes: number, publishedMs: number, expiration: number): void {
    if (expiration !== -1 || this.settings.messageTtl !== -1) this.setDue(ticket, publishedMs, expiration)
    // Few: they were copied to the log's end, behind newer ones.
    if (ticket < this.recoveredUpTo) this.recoveredLate.push(ticket)
    else {
      this.recoveredUpTo = ticket
      this.ready.push(ticket)
    }
    this.readyBytes += bodyBytes
  }
  private recoveredUpTo: Ticket = 0
  private recoveredLate: Ticket[] = []

  /** `deliveredUpTo` as after a crash, `returned` as recorded by a clean stop. */
  finishRecovery(deliveredUpTo: Ticket, returned: ReadonlySet<Ticket>): void {
    this.deliveredUpTo = deliveredUpTo
    if (this.isOverfull) this.markDirty()
    if (this.recoveredLate.length === 0 && returned.size === 0) return
    const tickets = Float64Array.from(this.recoveredLate)
    this.recoveredLate = []
    const all = new Float64Array(this.ready.length + tickets.length)
    all.set(tickets)
    for (let i = tickets.length; i < all.length; i++) all[i] = this.ready.shift()
    this.ready.clear()
    for (const ticket of all.sort()) {
      if (returned.has(ticket)) this.returned.add(ticket)
      else this.ready.push(ticket)
    }
  }

  /** At a clean stop: what was delivered before, for the log. */
  recordReturned(): void {
    if (this.logId === 0) return
    const { journal } = this.context
    for (const ticket of this.returned) if (!this.expiry?.gone.has(ticket)) journal.returned(this.id, ticket)
    // What a crash before this life left in doubt stays in doubt.
    if (this.ready.length > 0 && this.ready.peek() <= this.deliveredUpTo) {
      journal.deliveredUpTo(this.id, this.deliveredUpTo)
    }
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
