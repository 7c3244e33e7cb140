// What clients and the admin API ask of a vhost: declare, delete, bind, unbind, purge, consume. Each checks rights and
// preconditions in RabbitMQ's order and refuses in RabbitMQ's words, then lets the vhost act. Synchronous: what must be
// durable before the reply is known by Journal.gathering (see Core.definitionsPending).
import { randomBytes } from 'node:crypto'
import { ChannelError, ConnectionError, ReplyCode, tableToJson } from '../../protocol'
import type { AnyQueue } from './any-queue'
import {
  alternateExchangeOf,
  argument,
  checkAlternateExchange,
  checkArgumentsEquivalence,
  checkEquivalence,
  EXCHANGE_ARGUMENTS,
} from './arguments'
import type { Destination } from './binding'
import { Consumer, type ConsumerSink, type ConsumerSpec } from './consumer'
import type { Arguments } from './core-api'
import { checkDeduplicationArguments } from './deduplication'
import type { Exchange, ExchangeSpec } from './exchange'
import { exchangeType } from './exchange-types'
import type { Queue } from './queue'
import { checkConsumerArguments, checkQueueArguments, checkQuorumRequest, isQuorum } from './queue-arguments'
import type { Session } from './session'
import { Stream } from './stream'
import { checkStreamConsumer, checkStreamRequest, isStream, notImplemented } from './stream-arguments'
import type { Vhost } from './vhost'

export interface QueueRequest {
  durable: boolean
  exclusive: boolean
  autoDelete: boolean
  arguments: Arguments
}

export class Declarations {
  constructor(
    private readonly vhost: Vhost,
    private readonly session: Session,
  ) {}

  // -- exchanges ------------------------------------------------------------------------------------------------------

  /** true: it was created. */
  declareExchange(name: string, spec: ExchangeSpec): boolean {
    const type = exchangeType(spec.type)
    this.refuseDefaultExchange(name)
    this.session.authorize('configure', 'exchange', name)
    const existing = this.vhost.exchanges.get(name)
    if (existing !== undefined) {
      this.checkSameExchange(existing, spec)
      return false
    }
    refuseReservedName('exchange', name)
    const subject = this.named('exchange', name)
    checkAlternateExchange(spec.arguments, subject)
    this.authorizeAlternate(name, alternateExchangeOf(spec.arguments))
    checkDeduplicationArguments(spec.arguments, subject)
    type.checkArguments?.(spec.arguments, subject)
    this.act(() => this.vhost.addExchange(name, spec))
    return true
  }

  /** Its messages will go there, whoever publishes them. */
  private authorizeAlternate(name: string, alternate: string | null): void {
    if (alternate === null) return
    this.session.authorize('read', 'exchange', name)
    this.session.authorize('write', 'exchange', alternate)
  }

  checkExchangeExists(name: string): void {
    this.refuseDefaultExchange(name)
    this.exchange(name)
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    this.refuseDefaultExchange(name)
    if (name.startsWith('amq.')) {
      throw new ChannelError(ReplyCode.ACCESS_REFUSED, `deletion of system ${this.named('exchange', name)} not allowed`)
    }
    this.session.authorize('configure', 'exchange', name)
    const exchange = this.vhost.exchanges.get(name)
    if (exchange === undefined) return
    if (ifUnused && exchange.bindings.size > 0) {
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `${this.named('exchange', name)} in use`)
    }
    this.act(() => this.vhost.removeExchange(exchange))
  }

  private checkSameExchange(existing: Exchange, spec: ExchangeSpec): void {
    const subject = this.named('exchange', existing.name)
    checkEquivalence('type', subject, spec.type, existing.type)
    checkEquivalence('durable', subject, spec.durable, existing.durable)
    checkEquivalence('auto_delete', subject, spec.autoDelete, existing.autoDelete)
    checkEquivalence('internal', subject, spec.internal, existing.internal)
    checkArgumentsEquivalence(spec.arguments, existing.arguments, subject, EXCHANGE_ARGUMENTS)
  }

  // -- queues ---------------------------------------------------------------------------------------------------------

  /** The empty name asks for one made by the server. */
  declareQueue(name: string, request: QueueRequest): { queue: AnyQueue; created: boolean } {
    const actual = name === '' ? `amq.gen-${randomBytes(16).toString('base64url')}` : name
    this.session.authorize('configure', 'queue', actual)
    this.vhost.surroundings.churn.queuesDeclared++
    // Even its owner declares a server-made name again only passively, as in RabbitMQ.
    if (name !== '') refuseReservedName('queue', name)
    const subject = this.named('queue', actual)
    checkQueueArguments(request.arguments, subject)
    checkDeduplicationArguments(request.arguments, subject)
    if (!this.vhost.queues.has(actual)) {
      if (isStream(request.arguments)) checkStreamRequest(name, request, subject)
      else if (isQuorum(request.arguments)) checkQuorumRequest(request, subject)
    }
    const existing = this.vhost.queues.get(actual)
    if (existing !== undefined) {
      this.checkSameQueue(existing, request)
      existing.renew()
      return { queue: existing, created: false }
    }
    this.vhost.surroundings.limits.checkQueue(this.vhost.name, actual, this.vhost.queues.size)
    this.authorizeDeadLetters(actual, request.arguments)
    const { durable, autoDelete, exclusive } = request
    const owner = exclusive ? this.session : null
    const argumentsJson = tableToJson(request.arguments)
    const spec = { durable, autoDelete, owner, arguments: request.arguments, argumentsJson }
    return { queue: this.act(() => this.vhost.addQueue(actual, spec)), created: true }
  }

  /** What it gives up will go there, whoever published it. */
  private authorizeDeadLetters(name: string, args: Arguments): void {
    const exchange = argument(args, 'x-dead-letter-exchange')
    if (exchange === undefined) return
    this.session.authorize('read', 'queue', name)
    this.session.authorize('write', 'exchange', exchange as string)
  }

  passiveQueue(name: string): AnyQueue {
    this.session.authorize('configure', 'queue', name)
    const queue = this.queue(name)
    this.refuseLocked(queue)
    return queue
  }

  /** The number of messages that went with it; 0 when there was none. */
  deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean): number {
    this.session.authorize('configure', 'queue', name)
    const queue = this.vhost.queues.get(name)
    if (queue === undefined) return 0
    this.refuseLocked(queue)
    if (ifUnused && queue.consumers.length > 0) {
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `${this.named('queue', name)} in use`)
    }
    if (ifEmpty && queue.readyCount + queue.delayedCount > 0) {
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `${this.named('queue', name)} not empty`)
    }
    return this.act(() => this.vhost.removeQueue(queue))
  }

  purgeQueue(name: string): number {
    this.session.authorize('read', 'queue', name)
    const queue = this.queue(name)
    this.refuseLocked(queue)
    if (queue instanceof Stream) {
      throw notImplemented(`queue.purge not supported by stream queues ${this.named('queue', name)}`)
    }
    return queue.purge()
  }

  private checkSameQueue(existing: AnyQueue, request: QueueRequest): void {
    const owner = request.exclusive ? this.session : null
    if (existing.owner !== owner) throw this.locked(existing.name)
    const subject = this.named('queue', existing.name)
    // An exclusive queue ends with its connection; durable says nothing about it.
    if (owner === null) checkEquivalence('durable', subject, request.durable, existing.durable)
    checkEquivalence('auto_delete', subject, request.autoDelete, existing.autoDelete)
    checkArgumentsEquivalence(request.arguments, existing.arguments, subject)
  }

  // -- bindings -------------------------------------------------------------------------------------------------------

  bindQueue(queueName: string, exchangeName: string, routingKey: string, args: Arguments): void {
    this.session.authorize('write', 'queue', queueName)
    this.bind(exchangeName, routingKey, args, () => this.unlockedQueue(queueName))
  }

  bindExchange(destination: string, source: string, routingKey: string, args: Arguments): void {
    this.refuseDefaultExchange(destination)
    this.session.authorize('write', 'exchange', destination)
    this.bind(source, routingKey, args, () => this.exchange(destination))
  }

  unbindQueue(queueName: string, exchangeName: string, routingKey: string, args: Arguments): void {
    this.session.authorize('write', 'queue', queueName)
    this.unbind(exchangeName, routingKey, args, () => this.unlockedQueue(queueName, true))
  }

  unbindExchange(destination: string, source: string, routingKey: string, args: Arguments): void {
    this.refuseDefaultExchange(destination)
    this.session.authorize('write', 'exchange', destination)
    this.unbind(source, routingKey, args, () => this.vhost.exchanges.get(destination))
  }

  private bind(source: string, routingKey: string, args: Arguments, destination: () => Destination): void {
    this.refuseDefaultExchange(source)
    this.session.authorize('read', 'exchange', source)
    const to = destination()
    const from = this.exchange(source)
    exchangeType(from.type).checkBinding?.(routingKey, args, to, from.arguments)
    this.act(() => this.vhost.addBinding(from, to, routingKey, args))
  }

  /** What is not bound, or not there, is unbound already. */
  private unbind(
    source: string,
    routingKey: string,
    args: Arguments,
    destination: () => Destination | undefined,
  ): void {
    this.refuseDefaultExchange(source)
    this.session.authorize('read', 'exchange', source)
    const to = destination()
    const from = this.vhost.exchanges.get(source)
    if (from === undefined || to === undefined) return
    const binding = this.vhost.findBinding(from, to, routingKey, args)
    if (binding !== undefined) this.act(() => this.vhost.removeBinding(binding))
  }

  // -- consuming ------------------------------------------------------------------------------------------------------

  consume(queueName: string, sink: ConsumerSink, spec: ConsumerSpec): Consumer {
    const queue = this.readableQueue(queueName)
    checkConsumerArguments(spec.arguments, this.named('queue', queueName))
    if (queue instanceof Stream) checkStreamConsumer(spec, sink, this.named('queue', queueName))
    const wantsAlone = spec.exclusive && (queue.isSingleActive || queue.consumers.length > 0)
    if (queue.hasExclusiveConsumer || wantsAlone) {
      throw new ChannelError(ReplyCode.ACCESS_REFUSED, `${this.named('queue', queueName)} in exclusive use`)
    }
    const consumer = new Consumer(queue, sink, spec)
    queue.addConsumer(consumer)
    this.act(() => this.vhost.onConsumerCame(consumer))
    return consumer
  }

  /** For get. */
  takableQueue(name: string): Queue {
    const queue = this.readableQueue(name)
    if (!(queue instanceof Stream)) return queue
    throw notImplemented(`basic.get not supported by stream queues ${this.named('queue', name)}`)
  }

  readableQueue(name: string): AnyQueue {
    this.session.authorize('read', 'queue', name)
    const queue = this.queue(name)
    this.refuseLocked(queue)
    return queue
  }

  // -- finding --------------------------------------------------------------------------------------------------------

  private queue(name: string): AnyQueue {
    const queue = this.vhost.queues.get(name)
    if (queue === undefined) throw new ChannelError(ReplyCode.NOT_FOUND, `no ${this.named('queue', name)}`)
    return queue
  }

  private unlockedQueue(name: string): AnyQueue
  private unlockedQueue(name: string, mayBeGone: true): AnyQueue | undefined
  private unlockedQueue(name: string, mayBeGone = false): AnyQueue | undefined {
    if (mayBeGone && !this.vhost.queues.has(name)) return undefined
    const queue = this.queue(name)
    this.refuseLocked(queue)
    return queue
  }

  private exchange(name: string): Exchange {
    const exchange = this.vhost.exchanges.get(name)
    if (exchange === undefined) throw new ChannelError(ReplyCode.NOT_FOUND, `no ${this.named('exchange', name)}`)
    return exchange
  }

  private named(kind: 'queue' | 'exchange', name: string): string {
    return `${kind} '${name}' in vhost '${this.vhost.name}'`
  }

  /** Events name the session's user for what is done here. */
  private act<T>(work: () => T): T {
    return this.vhost.surroundings.systemEvents.as(this.session.user.name, work)
  }

  // -- refusing -------------------------------------------------------------------------------------------------------

  private refuseDefaultExchange(name: string): void {
    if (name !== '') return
    throw new ChannelError(ReplyCode.ACCESS_REFUSED, 'operation not permitted on the default exchange')
  }

  private refuseLocked(queue: AnyQueue): void {
    if (queue.owner !== null && queue.owner !== this.session) throw this.locked(queue.name)
  }

  private locked(name: string): ChannelError {
    return new ChannelError(
      ReplyCode.RESOURCE_LOCKED,
      `cannot obtain exclusive access to locked ${this.named('queue', name)}. It could be originally declared on another ` +
        'connection or the exclusive property value does not match that of the original declaration.',
    )
  }
}

function refuseReservedName(kind: 'queue' | 'exchange', name: string): void {
  if (!name.startsWith('amq.')) return
  throw new ChannelError(ReplyCode.ACCESS_REFUSED, `${kind} name '${name}' contains reserved prefix 'amq.*'`)
}

/** 0-9-1 basic.consume: the tag must be new. RabbitMQ closes the connection. */
export function refuseTagReuse(tag: string): never {
  throw new ConnectionError(ReplyCode.NOT_ALLOWED, `attempt to reuse consumer tag '${tag}'`)
}
