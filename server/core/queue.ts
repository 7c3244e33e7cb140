// A queue: what is ready, who consumes, what is unacked; deliveries in publish order, a requeued message back at its place.
// Holds tickets, never bytes. Declared, bound and deleted by vhost.ts; fed by router.ts; dispatched at the end of a turn.
import type { ByteRange } from '../../storage/message-store'
import { storedBodyLength } from '../../storage/segment'
import type { Binding } from './binding'
import type { Consumer, UnackedOwner } from './consumer'
import type { ConsumerRound } from './consumer-round'
import type { Arguments, MessageCounters, QueueView, Ticket } from './core-api'
import { newMessageCounters } from './counters'
import type { Gate } from './gate'
import { NO_POLICY } from './policies'
import { PriorityRound } from './priority-round'
import { ReadyRound } from './ready-round'
import { Returned } from './returned'
import type { Session } from './session'
import { SingleActive } from './single-active'
import { TicketRing } from './ticket-ring'
import type { VhostContext } from './vhost'

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
  policy = NO_POLICY
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
  }

  // -- per message ----------------------------------------------------------------------------------------------------

  push(ticket: Ticket, bodyBytes: number): void {
    this.ready.push(ticket)
    this.readyBytes += bodyBytes
    this.counters.publish++
    this.idleSinceMs = this.context.now
    if (!this.isDirty && this.consumers.length > 0) this.markDirty()
  }

  /** Hands out messages while there are any and somebody can take them, `max` at most. true: there are more. */
  dispatch(range: ByteRange, max: number): boolean {
    this.isDirty = false
    if (this.isPaused) return false
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
      const fromReturned = this.headIsReturned()
      const ticket = fromReturned ? this.returned.peek() : this.ready.peek()
      if (!store.locate(ticket, range)) {
        this.context.awaitLoad(this, ticket)
        return false
      }
      if (fromReturned) this.returned.shift()
      else this.ready.shift()
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
    }
    consumer.sink.deliver(consumer, ticket, redelivered, range)
    // The bytes are in the connection's out-buffer by now.
    if (consumer.noAck) this.context.journal.settle(ticket, this.logId)
  }

  /** The head for basic.get, counted as unacked unless `noAck`; 'loading' when its bytes are on their way. */
  take(noAck: boolean, range: ByteRange): Taken | 'empty' | 'loading' {
    if (this.readyCount === 0) {
      this.counters.getEmpty++
      return 'empty'
    }
    const fromReturned = this.headIsReturned()
    const ticket = fromReturned ? this.returned.peek() : this.ready.peek()
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    if (fromReturned) this.returned.shift()
    else this.ready.shift()
    const bodyBytes = storedBodyLength(range.buf, range.start)
    const redelivered = fromReturned || ticket <= this.deliveredUpTo
    this.readyBytes -= bodyBytes
    if (redelivered) this.counters.redeliver++
    if (noAck) this.counters.getNoAck++
    else {
      this.counters.get++
      this.unackedCount++
      this.unackedBytes += bodyBytes
    }
    return { ticket, redelivered, bodyBytes }
  }

  /** Settles the message at the head, which nobody gets; 'loading' when its size is on its way. */
  dropHead(range: ByteRange): 'dropped' | 'empty' | 'loading' {
    if (this.readyCount === 0) return 'empty'
    const fromReturned = this.headIsReturned()
    const ticket = fromReturned ? this.returned.peek() : this.ready.peek()
    if (!this.context.journal.store.locate(ticket, range)) {
      this.context.journal.load(ticket)
      return 'loading'
    }
    if (fromReturned) this.returned.shift()
    else this.ready.shift()
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
    this.context.journal.settle(ticket, this.logId)
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
    this.markDirty()
  }

  // The owner of what basic.get took.
  ack(ticket: Ticket, bodyBytes: number): void {
    this.settleUnacked(ticket, bodyBytes)
  }

  get readyCount(): number {
    return this.ready.length + this.returned.length
  }

  /** Memory taken by what waits or is unacked, the messages themselves not counted; about. */
  get heldBytes(): number {
    return this.readyCount * 2 + this.returned.length * 8 + this.unackedCount * 24
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
    for (const ticket of this.returned) this.context.journal.settle(ticket, this.logId)
    while (this.ready.length > 0) this.context.journal.settle(this.ready.shift(), this.logId)
    this.returned.clear()
    this.ready.clear()
    this.readyBytes = 0
    return count
  }

  /** A message that recovery found; followed by finishRecovery. */
  recover(ticket: Ticket, bodyBytes: number): void {
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
    for (const ticket of this.returned) journal.returned(this.id, ticket)
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
