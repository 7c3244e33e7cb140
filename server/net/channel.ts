// A channel: the flat dispatch of its methods, its delivery tags, confirms and transaction. Decoding is protocol/, deciding
// what a method does to the broker is core/; this file turns the one into the other and answers.
import { randomBytes } from 'node:crypto'
import { readAck, readNack, readReject, writeAck, writeNack } from '../../protocol/basic-codec'
import { ReplyCode } from '../../protocol/constants'
import { ChannelError, ConnectionError } from '../../protocol/errors'
import { type DecodedMethod, decodeMethod, encodeMethod } from '../../protocol/method-codec'
import { M, type MethodArgs, type MethodName } from '../../protocol/spec'
import type { ByteRange } from '../../storage/message-store'
import { ChannelCredit, type Consumer, type ConsumerSink } from '../core/consumer'
import type { ChannelView, Return, Ticket } from '../core/core-api'
import { newMessageCounters } from '../core/counters'
import { refuseTagReuse } from '../core/declarations'
import { asksForReplies, REPLY_TO, setReplyTo } from '../core/direct-reply'
import { checkClaims } from '../core/publish-claims'
import { LOGGED, REFUSED, UNROUTABLE, UNROUTABLE_LOGGED } from '../core/publishing'
import { AckDeadlines, shortestTimeout, timeoutText } from './ack-deadlines'
import { Confirms } from './confirms'
import type { Connection } from './connection'
import { Declaring } from './declaring'
import { BEAT_MS } from './hub'
import { writeDelivery, writeGetOk, writeReturn } from './message-writer'
import { PublishAssembly } from './publish-assembly'
import { ReplyConsumer } from './reply-consumer'
import { Transaction } from './transaction'
import { type Settlement, Unacked } from './unacked'

const PREFETCH_LIMITLESS = 0
const { basicPublish, basicAck, basicNack, basicReject } = M

export class Channel implements ChannelView, ConsumerSink {
  readonly counters = newMessageCounters()
  readonly credit = new ChannelCredit()
  readonly parked = new Set<Consumer>()
  readonly assembly: PublishAssembly
  /** After a channel error, until close-ok: everything else is ignored. */
  isClosing = false
  prefetch = PREFETCH_LIMITLESS
  idleSinceMs: number
  private readonly consumers = new Map<string, Consumer>()
  private readonly unacked = new Unacked()
  private confirms: Confirms | null = null
  private tx: Transaction | null = null
  /** null: no consumer here has to be done in time. */
  private deadlines: AckDeadlines | null = null
  /** Of amq.rabbitmq.reply-to. */
  private replies: ReplyConsumer | null = null
  private deliveryTag = 0
  private readonly declaring: Declaring
  private readonly settleArgs = { deliveryTag: 0, multiple: false, requeue: false }

  constructor(
    readonly number: number,
    private readonly connection: Connection,
  ) {
    const { limits, core } = connection.hub
    this.assembly = new PublishAssembly(limits.messageSizeMax, core.gathered, core.journal.store.buffers)
    this.declaring = new Declaring(number, connection)
    this.idleSinceMs = core.now
  }

  // -- frames ---------------------------------------------------------------------------------------------------------

  onMethod(id: number, buf: Buffer, start: number, end: number): void {
    if (this.isClosing) {
      this.onMethodWhileClosing(id)
      return
    }
    if (this.assembly.isOpen) this.assembly.refuseMethod()
    switch (id) {
      case basicPublish:
        this.assembly.onMethod(buf, start, end)
        return
      case basicAck:
        readAck(buf, start, end, this.settleArgs)
        this.onSettle(this.settleArgs.deliveryTag, this.settleArgs.multiple, 'ack')
        return
      case basicNack:
        readNack(buf, start, end, this.settleArgs)
        this.onSettle(this.settleArgs.deliveryTag, this.settleArgs.multiple, this.rejects('returned'))
        return
      case basicReject:
        readReject(buf, start, end, this.settleArgs)
        this.onSettle(this.settleArgs.deliveryTag, false, this.rejects('failed'))
        return
      default:
        this.onColdMethod(decodeMethod(id, buf, start, end))
    }
  }

  onHeader(buf: Buffer, start: number, end: number): void {
    if (!this.isClosing && this.assembly.onHeader(buf, start, end)) this.publish()
  }

  onBody(buf: Buffer, start: number, end: number, left: number): void {
    if (this.isClosing || !this.assembly.onBody(buf, start, end, left)) return
    this.publish()
    this.assembly.release()
  }

  private onMethodWhileClosing(id: number): void {
    if (id === M.channelCloseOk) this.connection.removeChannel(this)
    else if (id === M.channelClose) this.reply('channel.close-ok', {})
  }

  private onColdMethod(method: DecodedMethod): void {
    this.idleSinceMs = this.connection.hub.core.now
    switch (method.name) {
      case 'channel.open':
        throw new ConnectionError(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
      case 'channel.flow':
        return this.onFlow(method.args)
      case 'channel.close':
        this.release()
        this.reply('channel.close-ok', {})
        return this.connection.removeChannel(this)
      case 'access.request':
        return this.reply('access.request-ok', { ticket: 1 })
      case 'basic.qos':
        return this.onQos(method.args)
      case 'basic.consume':
        return this.onConsume(method.args)
      case 'basic.cancel':
        return this.onCancel(method.args.consumerTag, method.args.noWait)
      case 'basic.get':
        return this.onGet(this.declaring.queueName(method.args.queue), method.args.noAck)
      case 'basic.recover':
        this.onRecover(method.args.requeue)
        return this.reply('basic.recover-ok', {})
      case 'basic.recover-async':
        return this.onRecover(method.args.requeue)
      case 'confirm.select':
        this.onConfirmSelect()
        return method.args.noWait ? undefined : this.reply('confirm.select-ok', {})
      case 'tx.select':
        this.onTxSelect()
        return this.reply('tx.select-ok', {})
      case 'tx.commit':
        return this.onTxCommit()
      case 'tx.rollback':
        this.transaction().clear()
        return this.reply('tx.rollback-ok', {})
      default:
        if (this.declaring.onMethod(method)) return
        // Methods that only a server sends, or that belong to channel 0.
        throw new ConnectionError(ReplyCode.COMMAND_INVALID, `unexpected method ${method.name}`)
    }
  }

  // -- publishing -----------------------------------------------------------------------------------------------------

  private publish(): void {
    checkClaims(this.assembly, this.connection.user)
    if (asksForReplies(this.assembly)) this.nameRequester()
    if (this.tx !== null) {
      this.connection.vhost.publishing.refuse(this.connection.session, this.assembly)
      this.tx.addPublish(this.assembly)
      this.connection.checkTransaction(this.tx)
      return
    }
    this.publishMessage(this.assembly, this.assembly.mandatory)
  }

  private publishMessage(message: PublishAssembly | Transaction['publishes'][number], mandatory: boolean): void {
    const { hub, vhost, session } = this.connection
    const outcome = vhost.publishing.publish(session, message, this.number)
    this.counters.publish++
    if (outcome === UNROUTABLE || outcome === UNROUTABLE_LOGGED) this.onUnroutable(message, mandatory)
    const isLogged = outcome >= LOGGED
    if (isLogged) this.connection.hasLogged = true
    if (this.confirms !== null) {
      if (outcome === REFUSED) this.confirms.onRefused()
      else this.confirms.onPublish(isLogged ? hub.core.journal.gathering : 0)
      hub.addConfirming(this)
    }
  }

  private nameRequester(): void {
    if (this.replies === null) {
      this.connection.vhost.publishing.refuse(this.connection.session, this.assembly)
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'fast reply consumer does not exist')
    }
    setReplyTo(this.assembly, this.replies.name)
  }

  private onUnroutable(message: PublishAssembly | Transaction['publishes'][number], mandatory: boolean): void {
    const { hub, vhost, out } = this.connection
    for (const counters of [this.counters, vhost.counters, hub.core.counters]) {
      if (mandatory) counters.returnUnroutable++
      else counters.dropUnroutable++
    }
    if (!mandatory) return
    writeReturn(out, this.number, this.connection.frameMax, message)
    this.connection.markDirty()
    this.connection.holdWhileFull()
  }

  /** Writes the confirms that are due. true: none is left waiting. */
  answerConfirms(committed: number): boolean {
    const { confirms } = this
    if (confirms === null) return true
    const count = confirms.answer(committed, this.writeConfirm)
    if (count > 0) {
      const { hub, vhost } = this.connection
      this.counters.confirm += count
      vhost.counters.confirm += count
      hub.core.counters.confirm += count
      this.connection.markDirty()
    }
    return confirms.isSettled
  }

  onCommitFailed(batch: number): void {
    this.confirms?.onCommitFailed(batch)
  }

  private readonly writeConfirm = (tag: number, multiple: boolean, isAck: boolean): void => {
    const { out } = this.connection
    out.reserve(32)
    out.at = isAck
      ? writeAck(out.buf, out.at, this.number, tag, multiple)
      : writeNack(out.buf, out.at, this.number, tag, multiple)
  }

  private onConfirmSelect(): void {
    if (this.tx !== null) throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'cannot switch from tx to confirm mode')
    this.confirms ??= new Confirms()
  }

  // -- deliveries -----------------------------------------------------------------------------------------------------

  get isWritable(): boolean {
    return this.connection.isWritable
  }

  get isTurnOver(): boolean {
    return this.connection.isTurnOver
  }

  deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void {
    const { connection, counters } = this
    const tag = ++this.deliveryTag
    const bodyBytes = writeDelivery(
      connection.out,
      this.number,
      connection.frameMax,
      consumer.tagBytes,
      tag,
      redelivered,
      range,
    )
    const total = connection.hub.core.counters
    const ofVhost = connection.vhost.counters
    if (redelivered) {
      counters.redeliver++
      ofVhost.redeliver++
      total.redeliver++
    }
    if (consumer.noAck) {
      counters.deliverNoAck++
      ofVhost.deliverNoAck++
      total.deliverNoAck++
    } else {
      counters.deliver++
      ofVhost.deliver++
      total.deliver++
      this.credit.used++
      this.unacked.push(tag, ticket, consumer, bodyBytes)
      if (this.deadlines !== null) this.deadlines.onDelivered(tag, connection.hub.now + BEAT_MS)
    }
    connection.vhost.publishing.firehose?.onDeliver(this, consumer.queue.name, redelivered, range)
    connection.markDirty()
  }

  onCancelled(consumer: Consumer): void {
    this.consumers.delete(consumer.tag)
    if (!this.connection.wantsCancelNotify || this.isClosing) return
    const frame = encodeMethod('basic.cancel', this.number, { consumerTag: consumer.tag, noWait: true })
    this.declaring.tellCancelled(frame)
  }

  /** As RabbitMQ counts: to reject is to fail, a nack may be no more than a wish for another consumer. */
  private rejects(asReturn: Return): Settlement {
    return this.settleArgs.requeue ? asReturn : 'reject'
  }

  private onSettle(tag: number, multiple: boolean, how: Settlement): void {
    const isForgiven = this.deadlines?.forgives(tag) === true
    if (isForgiven && !multiple) return
    if (!isForgiven) this.checkTag(tag, multiple)
    if (this.tx !== null) this.tx.addSettle(tag, multiple, how, this.unacked)
    else this.settle(tag, multiple, how)
  }

  /** 0-9-1 §1.8.3.13: tag 0 with multiple means all outstanding. */
  private settle(tag: number, multiple: boolean, how: Settlement): void {
    const upTo = tag === 0 ? this.unacked.newestTag : tag
    let count = 1
    if (multiple) count = this.unacked.settleUpTo(upTo, how)
    else if (!this.unacked.settle(tag, how)) count = 0 // a transaction's, and taken away meanwhile
    if (how === 'ack') {
      const { hub, vhost } = this.connection
      this.counters.ack += count
      vhost.counters.ack += count
      hub.core.counters.ack += count
    }
    this.giveBackCredit(count)
  }

  private giveBackCredit(count: number): void {
    const wasFree = this.credit.isFree
    this.credit.used -= count
    if (!wasFree && this.credit.isFree) this.wakeConsumers()
  }

  private checkTag(tag: number, multiple: boolean): void {
    if (multiple && tag === 0) return
    if (tag !== 0 && this.unacked.has(tag) && !this.tx?.holds(tag)) return
    throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `unknown delivery tag ${tag}`)
  }

  /** Throws 406 for a client that cannot be told in another way that it took too long. */
  onBeat(now: number): void {
    if (this.isClosing) return
    const shortest = shortestTimeout(this.consumers.values())
    if (shortest !== Number.POSITIVE_INFINITY) this.deadlines ??= new AckDeadlines(this.unacked, now)
    else if (this.deadlines?.isIdle) this.deadlines = null
    for (const { tag, consumer } of this.deadlines?.takeOverdue(now, shortest) ?? []) this.timeOut(tag, consumer)
  }

  /** The message goes to somebody else, and the consumer gets no more. Late is not lost: the others it holds can still be settled. */
  private timeOut(tag: number, consumer: Consumer): void {
    const { timeoutMs, queueName } = consumer
    const { hub, wantsCancelNotify, name } = this.connection
    const late = { connection: name, channel: this.number, queue: queueName, consumer: consumer.tag, timeoutMs }
    hub.log.warn('A message was not acknowledged in time', late)
    if (!wantsCancelNotify) throw new ChannelError(ReplyCode.PRECONDITION_FAILED, timeoutText(this.number, timeoutMs))
    if (!consumer.isCancelled) {
      this.dropConsumer(consumer)
      this.reply('basic.cancel', { consumerTag: consumer.tag, noWait: true })
    }
    this.settle(tag, false, 'returned')
  }

  wakeConsumers(): void {
    for (const consumer of [...this.parked]) consumer.wake()
  }

  // -- consuming ------------------------------------------------------------------------------------------------------

  private onConsume(args: MethodArgs<'basic.consume'>): void {
    const queue = this.declaring.queueName(args.queue)
    const tag = args.consumerTag === '' ? `amq.ctag-${randomBytes(16).toString('base64url')}` : args.consumerTag
    const { noAck, exclusive } = args
    if (queue === REPLY_TO) this.takeReplies(tag, noAck)
    else {
      this.refuseTagInUse(tag)
      this.refuseTooManyConsumers()
      const spec = { tag, noAck, exclusive, prefetch: this.prefetch, arguments: args.arguments }
      this.consumers.set(tag, this.declarations.consume(queue, this, spec))
    }
    if (!args.noWait) this.reply('basic.consume-ok', { consumerTag: tag })
  }

  private takeReplies(tag: string, noAck: boolean): void {
    if (!noAck) throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'reply consumer cannot acknowledge')
    if (this.replies !== null) throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'reply consumer already set')
    this.refuseTagInUse(tag)
    this.replies = new ReplyConsumer(tag, this, this.connection)
  }

  private refuseTagInUse(tag: string): void {
    if (this.consumers.has(tag) || this.replies?.tag === tag) refuseTagReuse(tag)
  }

  private refuseTooManyConsumers(): void {
    const max = this.connection.hub.limits.consumersPerChannelMax
    if (this.consumers.size < max) return
    throw new ConnectionError(ReplyCode.NOT_ALLOWED, `reached maximum (${max}) of consumers per channel`)
  }

  nextDeliveryTag(): number {
    return ++this.deliveryTag
  }

  private dropReplies(): void {
    this.replies?.close()
    this.replies = null
  }

  private onCancel(tag: string, noWait: boolean): void {
    const consumer = this.consumers.get(tag)
    if (consumer !== undefined) this.dropConsumer(consumer)
    else if (this.replies?.tag === tag) this.dropReplies()
    if (!noWait) this.reply('basic.cancel-ok', { consumerTag: tag })
  }

  private dropConsumer(consumer: Consumer): void {
    this.consumers.delete(consumer.tag)
    consumer.cancel()
    this.connection.vhost.onConsumerLeft(consumer)
  }

  private onGet(queueName: string, noAck: boolean): void {
    const queue = this.declarations.takableQueue(queueName)
    const { hub, vhost, out } = this.connection
    const range = hub.range
    const taken = queue.isPaused ? 'empty' : queue.take(noAck, range)
    if (taken === 'loading') {
      this.connection.parkUntilLoaded(this, () => this.onGet(queueName, noAck))
      return
    }
    if (taken === 'empty') {
      for (const counters of [this.counters, vhost.counters, hub.core.counters]) counters.getEmpty++
      this.reply('basic.get-empty', { reserved1: '' })
      return
    }
    const tag = ++this.deliveryTag
    writeGetOk(out, this.number, this.connection.frameMax, tag, taken.redelivered, queue.readyCount, range)
    for (const counters of [this.counters, vhost.counters, hub.core.counters]) {
      if (noAck) counters.getNoAck++
      else counters.get++
      if (taken.redelivered) counters.redeliver++
    }
    vhost.publishing.firehose?.onDeliver(this, queueName, taken.redelivered, range)
    if (noAck) queue.settleTaken(taken.ticket)
    else {
      this.credit.used++
      this.unacked.push(tag, taken.ticket, queue, taken.bodyBytes)
    }
    this.connection.markDirty()
    this.connection.holdWhileFull()
  }

  private onRecover(requeue: boolean): void {
    if (!requeue) throw new ConnectionError(ReplyCode.NOT_IMPLEMENTED, 'requeue=false')
    const count = this.unacked.count
    this.unacked.requeueAll('returned')
    this.giveBackCredit(count)
  }

  private onQos(args: MethodArgs<'basic.qos'>): void {
    if (args.prefetchSize !== 0)
      throw new ConnectionError(ReplyCode.NOT_IMPLEMENTED, `prefetch_size!=0 (${args.prefetchSize})`)
    if (args.global) this.credit.limit = args.prefetchCount
    else {
      this.prefetch = args.prefetchCount
      // RabbitMQ gives the new value to new consumers only. py-amqp's users (Celery) were told by the specification, and
      // count on, a change for those that are there.
      if (this.connection.wantsLivePrefetch) for (const c of this.consumers.values()) c.prefetch = args.prefetchCount
    }
    this.wakeConsumers()
    this.reply('basic.qos-ok', {})
  }

  private onFlow(args: { active: boolean }): void {
    if (!args.active) throw new ConnectionError(ReplyCode.NOT_IMPLEMENTED, 'active=false')
    this.reply('channel.flow-ok', { active: true })
  }

  private get declarations() {
    return this.connection.declarations
  }

  // -- transactions ---------------------------------------------------------------------------------------------------

  private onTxSelect(): void {
    if (this.confirms !== null)
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'cannot switch from confirm to tx mode')
    this.tx ??= new Transaction(this.connection.hub.core.gathered)
  }

  /** All of it in one turn, hence in one batch of the journal: on disk whole or not at all. */
  private onTxCommit(): void {
    const tx = this.transaction()
    const { publishes, settles } = tx
    tx.clear()
    for (const message of publishes) this.publishMessage(message, message.mandatory)
    this.connection.hub.core.journal.together(() => {
      for (const s of settles) this.settle(s.tag, false, s.how)
    })
    this.connection.replyWhenDurable(encodeMethod('tx.commit-ok', this.number, {}))
  }

  private transaction(): Transaction {
    if (this.tx === null) throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'channel is not transactional')
    return this.tx
  }

  // -- the end --------------------------------------------------------------------------------------------------------

  /** Consumers leave and everything unacked goes back. Idempotent. */
  release(how: Return = 'failed'): void {
    for (const consumer of [...this.consumers.values()]) this.dropConsumer(consumer)
    this.dropReplies()
    this.tx?.clear()
    this.tx = null
    this.assembly.release()
    this.unacked.requeueAll(how)
    this.credit.used = 0
    this.confirms = null
  }

  private reply<N extends MethodName>(name: N, args: Partial<MethodArgs<N>>): void {
    this.connection.write(encodeMethod(name, this.number, args))
  }

  // What the admin API shows.
  get connectionName(): string {
    return this.connection.name
  }
  get user(): string {
    return this.connection.user
  }
  get channelNumber(): number {
    return this.number
  }
  get confirm(): boolean {
    return this.confirms !== null
  }
  get transactional(): boolean {
    return this.tx !== null
  }
  get globalPrefetch(): number {
    return this.credit.limit
  }
  get consumerCount(): number {
    return this.consumers.size
  }
  get unackedCount(): number {
    return this.unacked.count
  }
  get unconfirmedCount(): number {
    return this.confirms?.unconfirmedCount ?? 0
  }
  get uncommittedCount(): number {
    return this.tx?.publishes.length ?? 0
  }
  get uncommittedAcks(): number {
    return this.tx?.settles.length ?? 0
  }
}
