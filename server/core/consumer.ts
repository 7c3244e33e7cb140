// A consumer: who takes messages of a queue, and how many it may hold. It is also the port through which a channel speaks
// to the queue (settle, cancel): channels never hold a queue. Delivery itself is the sink's, which server/net implements.
import { fieldValueText } from '../../protocol/field-table'
import type { ByteRange } from '../../storage/message-store'
import type { AnyQueue } from './any-queue'
import { argument } from './arguments'
import type { Arguments, ConsumerView, Return, Ticket } from './core-api'

/** The channel behind a consumer. All calls happen within a turn. */
export interface ConsumerSink {
  readonly connectionName: string
  readonly channelNumber: number
  /** false while the peer does not take what was written: call Consumer.wake when it does. */
  readonly isWritable: boolean
  /** While not writable: for no other reason than that the peer has had its share of this turn. */
  readonly isTurnOver: boolean
  /** Its consumers that are parked, the one that waits longest first. */
  readonly parked: Set<Consumer>
  /** Channel-wide prefetch (basic.qos global=true). */
  readonly credit: ChannelCredit
  /** `range` is valid during the call. */
  deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void
  /** The queue is gone. */
  onCancelled(consumer: Consumer): void
}

/** How many unacked messages all consumers of a channel may hold together; 0 is no limit. */
export class ChannelCredit {
  limit = 0
  used = 0

  get isFree(): boolean {
    return this.limit === 0 || this.used < this.limit
  }
}

export interface ConsumerSpec {
  tag: string
  noAck: boolean
  exclusive: boolean
  prefetch: number
  arguments: Arguments
}

export class Consumer implements ConsumerView {
  readonly tag: string
  readonly tagBytes: Buffer
  readonly noAck: boolean
  readonly exclusive: boolean
  prefetch: number
  readonly arguments: Arguments
  /** Whoever has a higher one is served first. */
  readonly priority: number
  /** -1: it says nothing. */
  private readonly ownTimeoutMs: number
  unackedCount = 0
  isCancelled = false
  /** Out of the round until credit, or the peer's buffer, is free again. */
  isParked = false

  constructor(
    readonly queue: AnyQueue,
    readonly sink: ConsumerSink,
    spec: ConsumerSpec,
  ) {
    this.tag = spec.tag
    this.tagBytes = Buffer.from(spec.tag)
    this.noAck = spec.noAck
    this.exclusive = spec.exclusive
    this.prefetch = spec.prefetch
    this.arguments = spec.arguments
    this.priority = numberOf(spec.arguments, 'x-priority', 0)
    this.ownTimeoutMs = numberOf(spec.arguments, 'x-consumer-timeout', -1)
  }

  get isReady(): boolean {
    if (this.isCancelled || !this.sink.isWritable) return false
    return this.hasCredit
  }

  private get hasCredit(): boolean {
    if (this.noAck) return true
    return (this.prefetch === 0 || this.unackedCount < this.prefetch) && this.sink.credit.isFree
  }

  /** Could take messages, but its connection has had its share of this turn. */
  get isSated(): boolean {
    return !this.isCancelled && this.sink.isTurnOver && this.hasCredit
  }

  /** The client acknowledged. */
  ack(ticket: Ticket, bodyBytes: number): void {
    this.giveBackCredit()
    this.queue.settleUnacked(ticket, bodyBytes)
  }

  /** The client refused it for good. */
  reject(ticket: Ticket, bodyBytes: number): void {
    this.giveBackCredit()
    this.queue.reject(ticket, bodyBytes)
  }

  requeue(ticket: Ticket, bodyBytes: number, how: Return): void {
    this.giveBackCredit()
    this.queue.requeue(ticket, bodyBytes, how)
  }

  /** How long it may hold a message, ms; 0: as long as it likes. */
  get timeoutMs(): number {
    if (this.noAck) return 0
    return this.ownTimeoutMs === -1 ? this.queue.consumerTimeoutMs : this.ownTimeoutMs
  }

  park(): void {
    this.isParked = true
    this.sink.parked.add(this)
  }

  /** Something that kept it parked may have changed. */
  wake(): void {
    if (!this.isParked || !this.isReady) return
    this.isParked = false
    this.sink.parked.delete(this)
    this.queue.onUnparked(this)
  }

  cancel(): void {
    this.queue.removeConsumer(this)
  }

  private giveBackCredit(): void {
    this.unackedCount--
    if (this.isParked) this.wake()
  }

  // What the admin API shows.
  get queueName(): string {
    return this.queue.name
  }
  get vhostName(): string {
    return this.queue.vhostName
  }
  get connectionName(): string {
    return this.sink.connectionName
  }
  get channelNumber(): number {
    return this.sink.channelNumber
  }
  get ackRequired(): boolean {
    return !this.noAck
  }
  get active(): boolean {
    return !this.isCancelled && (!this.queue.isSingleActive || this.isOnlyActive)
  }
  get isOnlyActive(): boolean {
    return this.queue.activeConsumer === this
  }
}

function numberOf(args: Arguments, name: string, none: number): number {
  const value = argument(args, name)
  return value === undefined ? none : Number(fieldValueText(value))
}

/** The other holder of unacked messages: basic.get. */
export interface UnackedOwner {
  ack(ticket: Ticket, bodyBytes: number): void
  reject(ticket: Ticket, bodyBytes: number): void
  requeue(ticket: Ticket, bodyBytes: number, how: Return): void
}
