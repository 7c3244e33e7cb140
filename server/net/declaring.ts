// The methods of classes exchange and queue on a channel: what they ask of core/declarations.ts, and the reply, which comes once
// the disk knows what it says.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type DecodedMethod, encodeMethod } from '../../protocol/method-codec'
import type { MethodArgs, MethodName } from '../../protocol/spec'
import type { Declarations } from '../core/declarations'
import type { Connection } from './connection'

export class Declaring {
  /** What an empty queue name means. */
  private lastQueue: string | null = null
  /** While the channel deletes a queue: that its own consumers are gone is told behind the reply, as RabbitMQ does. */
  private cancels: Buffer[] | null = null

  constructor(
    private readonly number: number,
    private readonly connection: Connection,
  ) {}

  /** false: it is a method of another class. */
  onMethod(method: DecodedMethod): boolean {
    switch (method.name) {
      case 'exchange.declare':
        this.declareExchange(method.args)
        break
      case 'exchange.delete':
        this.declarations.deleteExchange(method.args.exchange, method.args.ifUnused)
        this.reply(method.args.noWait, 'exchange.delete-ok', {})
        break
      case 'exchange.bind': {
        const { destination, source, routingKey, noWait } = method.args
        this.declarations.bindExchange(destination, source, routingKey, method.args.arguments)
        this.reply(noWait, 'exchange.bind-ok', {})
        break
      }
      case 'exchange.unbind': {
        const { destination, source, routingKey, noWait } = method.args
        this.declarations.unbindExchange(destination, source, routingKey, method.args.arguments)
        this.reply(noWait, 'exchange.unbind-ok', {})
        break
      }
      case 'queue.declare':
        this.declareQueue(method.args)
        break
      case 'queue.bind':
        this.bindQueue(method.args)
        break
      case 'queue.unbind': {
        const { exchange, routingKey } = method.args
        this.declarations.unbindQueue(this.queueName(method.args.queue), exchange, routingKey, method.args.arguments)
        this.reply(false, 'queue.unbind-ok', {})
        break
      }
      case 'queue.purge': {
        const messageCount = this.declarations.purgeQueue(this.queueName(method.args.queue))
        this.reply(method.args.noWait, 'queue.purge-ok', { messageCount })
        break
      }
      case 'queue.delete':
        this.deleteQueue(method.args)
        break
      default:
        return false
    }
    return true
  }

  /** Throws 404 for an empty name where no queue was declared. */
  queueName(name: string): string {
    if (name !== '') return name
    if (this.lastQueue !== null) return this.lastQueue
    throw new ChannelError(ReplyCode.NOT_FOUND, 'no previously declared queue')
  }

  /** Tells that a consumer was cancelled, at its time. */
  tellCancelled(frame: Buffer): void {
    if (this.cancels === null) this.connection.write(frame)
    else this.cancels.push(frame)
  }

  private declareExchange(args: MethodArgs<'exchange.declare'>): void {
    const { exchange, type, durable, autoDelete, internal, noWait } = args
    if (args.passive) this.declarations.checkExchangeExists(exchange)
    else this.declarations.declareExchange(exchange, { type, durable, autoDelete, internal, arguments: args.arguments })
    // While the log fails, what never goes there goes on.
    if (!args.passive && !durable && !noWait) this.replyNow('exchange.declare-ok', {})
    else this.reply(noWait, 'exchange.declare-ok', {})
  }

  private declareQueue(args: MethodArgs<'queue.declare'>): void {
    const { durable, exclusive, autoDelete, noWait } = args
    if (this.connection.vhost.requesters.has(args.queue)) {
      this.lastQueue = args.queue
      this.reply(noWait, 'queue.declare-ok', { queue: args.queue, messageCount: 0, consumerCount: 1 })
      return
    }
    const queue = args.passive
      ? this.declarations.passiveQueue(args.queue || (this.lastQueue ?? ''))
      : this.declarations.declareQueue(args.queue, { durable, exclusive, autoDelete, arguments: args.arguments }).queue
    this.lastQueue = queue.name
    const { name, readyCount, consumers } = queue
    const found = { queue: name, messageCount: readyCount, consumerCount: consumers.length }
    if (queue.durable || noWait) this.reply(noWait, 'queue.declare-ok', found)
    else this.replyNow('queue.declare-ok', found)
  }

  private deleteQueue({ queue, ifUnused, ifEmpty, noWait }: MethodArgs<'queue.delete'>): void {
    const cancels: Buffer[] = []
    this.cancels = cancels
    try {
      const messageCount = this.declarations.deleteQueue(this.queueName(queue), ifUnused, ifEmpty)
      this.reply(noWait, 'queue.delete-ok', { messageCount }, cancels)
    } finally {
      this.cancels = null
    }
  }

  private bindQueue(args: MethodArgs<'queue.bind'>): void {
    const queue = this.queueName(args.queue)
    // 0-9-1 queue.bind: with neither name, the last declared queue is bound by its own name.
    const routingKey = args.queue === '' && args.routingKey === '' ? queue : args.routingKey
    this.declarations.bindQueue(queue, args.exchange, routingKey, args.arguments)
    this.reply(args.noWait, 'queue.bind-ok', {})
  }

  private get declarations(): Declarations {
    return this.connection.declarations
  }

  private replyNow<N extends MethodName>(name: N, args: Partial<MethodArgs<N>>): void {
    this.connection.write(encodeMethod(name, this.number, args))
  }

  /** A reply that must not say more than the disk knows, and what comes behind it. */
  private reply<N extends MethodName>(
    noWait: boolean,
    name: N,
    args: Partial<MethodArgs<N>>,
    behind: readonly Buffer[] = [],
  ): void {
    if (noWait && behind.length === 0) return
    const frame = Buffer.concat(noWait ? behind : [encodeMethod(name, this.number, args), ...behind])
    if (this.connection.hub.core.journal.hasUnsavedDefinitions) this.connection.replyWhenDurable(frame)
    else this.connection.write(frame)
  }
}
