// A virtual host: its exchanges, queues and bindings, and the way of a publish through them. Checks of rights and of what a
// client asked for are declarations.ts; this file keeps the state consistent and tells the journal what must survive.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type FieldTable, plainToTable, tableToJson } from '../../protocol/field-table'
import { deliveryModeOf } from '../../protocol/properties'
import type { Journal } from '../../storage/journal'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import type { AnyQueue } from './any-queue'
import { Binding, bindingKey, type Destination } from './binding'
import type { Clock } from './clock'
import type { Consumer } from './consumer'
import type { BindingView, ChurnCounters, MessageCounters, Ticket, VhostView } from './core-api'
import { newMessageCounters } from './counters'
import { type DeathReason, deadLetterOf, isCycle } from './dead-letter'
import { Requesters } from './direct-reply'
import { Exchange, type ExchangeSpec } from './exchange'
import { Firehose, TRACE_EXCHANGE } from './firehose'
import type { Shelved } from './gate'
import { type GateSurroundings, gateOfQueue, gatesOf } from './gates'
import type { Limits } from './limits'
import { checkPolicy, Policies, type Policy, type PolicyKind } from './policies'
import { expirationOf } from './publish-claims'
import { Queue, type QueueSpec } from './queue'
import { type Gated, logIdsOf, type Route, Router } from './router'
import type { Session } from './session'
import { Stream } from './stream'
import { isStream } from './stream-arguments'
import { EVENT_EXCHANGE, LOG_EXCHANGE, type SystemEvents } from './system-events'

/** What a queue needs of its surroundings. */
export interface VhostContext {
  readonly name: string
  readonly now: number // clock time of this turn, ms
  readonly clock: Clock
  readonly journal: Journal
  addDirty(queue: Dispatchable): void
  /** Brings the ticket's bytes back; dispatches the queue again when they are there. */
  awaitLoad(queue: Dispatchable, ticket: Ticket): void
  /** Dispatches the queue when the next batch is on disk. */
  awaitCommit(queue: Dispatchable): void
  /** The queue holds more than it may. */
  onOverfull(queue: Queue): void
  /** Sends a message that the queue gives up to where its settings say; the caller settles it then. */
  deadLetter(queue: Queue, m: IncomingMessage, reason: DeathReason): void
  removeQueue(queue: Queue): number
}

/** A queue, or what holds messages for an exchange: its turn comes at the end of each turn in which it is dirty. */
export interface Dispatchable {
  readonly isDeleted: boolean
  markDirty(): void
  /** Moves `max` messages on, at most. true: there are more. */
  dispatch(range: ByteRange, max: number): boolean
}

/** What a vhost needs of the broker. */
export interface Surroundings {
  readonly journal: Journal
  readonly clock: Clock
  readonly nodeName: string
  readonly now: number
  readonly counters: MessageCounters
  readonly churn: ChurnCounters
  readonly limits: Limits
  readonly systemEvents: SystemEvents
  addDirty(queue: Dispatchable): void
  awaitLoad(queue: Dispatchable, ticket: Ticket): void
  awaitCommit(queue: Dispatchable): void
  nextQueueId(): number
}

/** Where a publish went. */
export const UNROUTABLE = 0
export const ROUTED = 1
/** Routed, and at least one queue logs it: its confirm waits for the batch being gathered. */
export const LOGGED = 2
/** To no queue, but an exchange on the way keeps it in the log: its confirm waits likewise. */
export const UNROUTABLE_LOGGED = 3
/** A queue took it not, being full: it is nacked. */
export const REFUSED = -1
export type Outcome = typeof UNROUTABLE | typeof ROUTED | typeof LOGGED | typeof UNROUTABLE_LOGGED | typeof REFUSED

const PERSISTENT = 2
/** The stored parameter that says that a queue is paused. */
export const PAUSED_QUEUE = 'paused-queue'
const PROPERTIES_AT = 12

export const PREDECLARED: readonly [name: string, type: string, isInternal?: boolean][] = [
  ['', 'direct'],
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
  [TRACE_EXCHANGE, 'topic', true],
]

/** Those of the default vhost besides. */
const OF_DEFAULT_VHOST: typeof PREDECLARED = [
  [EVENT_EXCHANGE, 'topic', true],
  [LOG_EXCHANGE, 'topic', true],
]

export class Vhost implements VhostView, GateSurroundings {
  readonly exchanges = new Map<string, Exchange>()
  readonly queues = new Map<string, AnyQueue>()
  readonly counters = newMessageCounters()
  readonly requesters = new Requesters()
  readonly router: Router
  readonly policies = new Policies()
  /** On while somebody traces the vhost's messages. */
  firehose: Firehose | null = null

  constructor(
    readonly name: string,
    readonly description: string,
    readonly surroundings: Surroundings,
    isDefault = false,
  ) {
    this.router = new Router(name, this.exchanges, this.queues, this.requesters)
    for (const [exchange, type, internal = false] of isDefault ? [...PREDECLARED, ...OF_DEFAULT_VHOST] : PREDECLARED) {
      const spec = { type, durable: true, autoDelete: false, internal, arguments: {} }
      this.exchanges.set(exchange, new Exchange(exchange, spec))
    }
  }

  // -- per message ----------------------------------------------------------------------------------------------------

  /** Throws 403 or 404 as ChannelError. `session` null: the broker itself publishes. */
  publish(session: Session | null, m: IncomingMessage, channelNumber = 0): Outcome {
    const route = this.router.route(m)
    const { exchange, queues, logIds } = route
    if (session !== null) this.checkPublish(session, exchange)
    this.counters.publish++
    this.surroundings.counters.publish++
    exchange.publishIn++
    if (this.firehose !== null) this.trace(this.firehose, session, channelNumber, m, route)
    if (route.gated !== null) return this.publishGated(route, route.gated, m)
    const count = queues.length
    if (count === 0) return UNROUTABLE
    exchange.publishOut += count
    const isLogged = this.store(m, queues, logIds)
    if (this.wasRefused) return REFUSED
    return isLogged ? LOGGED : ROUTED
  }

  /** The message into the queues. true: one of them logs it. */
  private store(m: IncomingMessage, queues: readonly Queue[], logIds: readonly number[]): boolean {
    if (this.refusing === 0) return this.storeIn(m, queues, logIds)
    const takers = this.takersOf(m, queues)
    return takers.length > 0 && this.storeIn(m, takers, logIdsOf(takers))
  }

  /** Those that are not full. */
  private takersOf(m: IncomingMessage, queues: readonly Queue[]): readonly Queue[] {
    const bodyBytes = m.bodyEnd - m.bodyStart
    const full = queues.filter((queue) => queue.refuses(bodyBytes))
    this.wasRefused = full.length > 0
    if (full.length === 0) return queues
    for (const queue of full) if (queue.settings.overflow === 'reject-publish-dlx') this.deadLetter(queue, m, 'maxlen')
    this.wasRefused = true
    return queues.filter((queue) => !full.includes(queue))
  }
  /** Queues that refuse messages when they are full. */
  private refusing = 0
  /** The last message was refused by one. */
  private wasRefused = false

  private storeIn(m: IncomingMessage, queues: readonly Queue[], logIds: readonly number[]): boolean {
    const count = queues.length
    const { journal } = this.surroundings
    const bodyBytes = m.bodyEnd - m.bodyStart
    const expiration = expirationOf(m)
    const isLogged =
      logIds.length !== 0 && deliveryModeOf(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd) === PERSISTENT
    const ticket = journal.store.append(m, count, isLogged ? logIds.length : 0)
    if (isLogged) {
      for (let i = 0; i < logIds.length; i++) journal.addQueue(logIds[i])
      journal.enqueue(ticket, bodyBytes, expiration)
    }
    for (let i = 0; i < count; i++) queues[i].push(ticket, bodyBytes, expiration)
    if (this.overfull.length > 0) this.dropOverflow()
    return isLogged
  }

  private publishGated({ exchange, queues, logIds }: Route, gated: Gated, m: IncomingMessage): Outcome {
    const isTaken = queues.length > 0 || gated.isTaken
    let isLogged = false
    for (const gate of gated.gates) if (gate.onPublish(m, gated.message, isTaken)) isLogged = true
    exchange.publishOut += queues.length + gated.streams.length
    if (queues.length > 0 && this.store(m, queues, logIds)) isLogged = true
    if (this.wasRefused) return REFUSED
    if (!isTaken) return isLogged ? UNROUTABLE_LOGGED : UNROUTABLE
    return isLogged ? LOGGED : ROUTED
  }

  /** Routes what an exchange had kept on to a queue, or through another exchange. */
  deliver(m: IncomingMessage, to: Destination): void {
    if (to instanceof Stream) to.onPublish(m)
    else if (to.kind === 'queue') {
      this.store(m, [to], to.logId === 0 ? [] : [to.logId])
    } else this.storeRouted(this.router.routeFrom(to, m), m)
  }

  /** Routes what the exchange had kept, as if it had just come. */
  release(m: IncomingMessage, exchange: string, furtherKeys: readonly string[]): void {
    const from = this.exchanges.get(exchange)
    if (from === undefined) return
    const route = this.router.routeReleased(from, m, furtherKeys)
    from.publishOut += route.queues.length + (route.gated?.streams.length ?? 0)
    this.storeRouted(route, m)
  }

  // -- dead letters ---------------------------------------------------------------------------------------------------

  onOverfull(queue: Queue): void {
    this.overfull.push(queue)
  }
  private overfull: Queue[] = []
  private isDropping = false

  /** One after the other: what one drops may fill the next. */
  private dropOverflow(): void {
    if (this.isDropping) return
    this.isDropping = true
    const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
    for (let queue = this.overfull.pop(); queue !== undefined; queue = this.overfull.pop()) queue.dropOverflow(range)
    this.isDropping = false
  }

  deadLetter(queue: Queue, m: IncomingMessage, reason: DeathReason): void {
    const { deadLetterExchange, deadLetterKey: routingKey } = queue.settings
    const exchange = this.exchanges.get(deadLetterExchange ?? '')
    if (deadLetterExchange === null || exchange === undefined) return
    const death = { queue: queue.name, reason, nowMs: this.clock.now(), exchange: exchange.name, routingKey }
    const { message, deaths } = deadLetterOf(m, death)
    const route = this.router.routeFrom(exchange, message)
    const queues = route.queues.filter(({ name }) => !isCycle(name, deaths))
    exchange.publishIn++
    exchange.publishOut += queues.length
    this.storeRouted({ ...route, queues, logIds: logIdsOf(queues) }, message)
  }

  private storeRouted({ queues, logIds, gated }: Route, m: IncomingMessage): void {
    const isTaken = queues.length > 0 || gated?.isTaken === true
    if (gated !== null) for (const gate of gated.gates) gate.onPublish(m, gated.message, isTaken)
    if (queues.length > 0) this.store(m, queues, logIds)
    else if (!isTaken) {
      this.counters.dropUnroutable++
      this.surroundings.counters.dropUnroutable++
    }
  }

  // -- the firehose ---------------------------------------------------------------------------------------------------

  set tracing(isOn: boolean) {
    const { nodeName } = this.surroundings
    this.firehose = isOn ? new Firehose(nodeName, this.name, (copy) => this.publishOwn(TRACE_EXCHANGE, copy)) : null
  }

  get tracing(): boolean {
    return this.firehose !== null
  }

  private trace(firehose: Firehose, session: Session | null, channelNumber: number, m: IncomingMessage, route: Route) {
    const peer = { connectionName: session?.connectionName ?? '', user: session?.user.name ?? '', channelNumber }
    firehose.onPublish(peer, m, route.furtherKeys, [...route.queues, ...(route.gated?.streams ?? [])])
  }

  /** What the broker itself has to say. It is not counted, nor traced, nor looked at by gates. */
  publishOwn(exchange: string, m: IncomingMessage): void {
    const from = this.exchanges.get(exchange)
    if (from === undefined || from.bindings.size === 0) return
    const { queues, logIds, gated } = this.router.routeFrom(from, m)
    for (const stream of gated?.streams ?? []) stream.onPublish(m)
    if (queues.length > 0) this.store(m, queues, logIds)
  }

  // -- events ---------------------------------------------------------------------------------------------------------

  onConsumerCame({ tag, exclusive, ackRequired, prefetch, queue, arguments: args }: Consumer): void {
    this.emit('consumer.created', () => ({
      consumer_tag: tag,
      exclusive,
      ack_required: ackRequired,
      prefetch_count: prefetch,
      queue: queue.name,
      arguments: args,
    }))
  }

  private emit(key: string, describe: () => FieldTable): void {
    this.surroundings.systemEvents.emit(key, () => ({ ...describe(), vhost: this.name }))
  }

  private checkPublish(session: Session, exchange: Exchange): void {
    session.authorizePublish(exchange.name)
    if (!exchange.internal) return
    const text = `cannot publish to internal exchange '${exchange.name}' in vhost '${this.name}'`
    throw new ChannelError(ReplyCode.ACCESS_REFUSED, text)
  }

  /** Refuses as `publish` would, for a transaction that publishes at its commit. */
  refusePublish(session: Session, m: IncomingMessage): void {
    this.checkPublish(session, this.router.check(m))
  }

  // -- context of its queues ------------------------------------------------------------------------------------------

  get now(): number {
    return this.surroundings.now
  }
  get clock(): Clock {
    return this.surroundings.clock
  }
  get journal(): Journal {
    return this.surroundings.journal
  }
  addDirty(queue: Dispatchable): void {
    this.surroundings.addDirty(queue)
  }
  awaitLoad(queue: Dispatchable, ticket: Ticket): void {
    this.surroundings.awaitLoad(queue, ticket)
  }
  awaitCommit(queue: Dispatchable): void {
    this.surroundings.awaitCommit(queue)
  }
  nextQueueId(): number {
    return this.surroundings.nextQueueId()
  }

  // -- exchanges ------------------------------------------------------------------------------------------------------

  addExchange(name: string, spec: ExchangeSpec): Exchange {
    const exchange = new Exchange(name, spec, gatesOf(name, spec, this))
    exchange.policy = this.policies.effective('exchange', name)
    this.exchanges.set(name, exchange)
    for (const { shelf } of exchange.gates) if (shelf?.durable) this.defineShelf(shelf)
    this.router.forget()
    if (exchange.durable) {
      const { type, durable, autoDelete, internal } = exchange
      const record = {
        vhost: this.name,
        name,
        type,
        durable,
        autoDelete,
        internal,
        arguments: tableToJson(spec.arguments),
      }
      this.journal.define({ op: 'put', kind: 'exchange', record })
    }
    this.emit('exchange.created', () => describeExchange(exchange))
    return exchange
  }

  private defineShelf({ id, name, durable }: Shelved): void {
    const record = { id, vhost: this.name, name, durable, autoDelete: false, arguments: '{}' }
    this.journal.define({ op: 'put', kind: 'queue', record })
  }

  /** Those of exchanges that a version declared which did not keep messages there. */
  defineShelves(known: ReadonlySet<number>): void {
    for (const shelf of this.shelves()) if (shelf.durable && !known.has(shelf.id)) this.defineShelf(shelf)
  }

  *shelves(): Iterable<Shelved> {
    for (const { gates } of this.exchanges.values()) for (const { shelf } of gates) if (shelf !== null) yield shelf
  }

  removeExchange(exchange: Exchange): void {
    if (this.exchanges.get(exchange.name) !== exchange) return
    this.exchanges.delete(exchange.name)
    exchange.isDeleted = true
    for (const gate of exchange.gates) {
      gate.close()
      if (gate.shelf?.durable) this.journal.define({ op: 'delete', kind: 'queue', key: { id: gate.shelf.id } })
    }
    for (const binding of [...exchange.incoming]) this.removeBinding(binding)
    for (const binding of [...exchange.bindings.values()]) this.removeBinding(binding)
    this.router.forget()
    if (exchange.durable) {
      this.journal.define({ op: 'delete', kind: 'exchange', key: { vhost: this.name, name: exchange.name } })
    }
    this.emit('exchange.deleted', () => ({ name: exchange.name }))
  }

  // -- queues ---------------------------------------------------------------------------------------------------------

  /** `id` is given for a queue that comes back from the log. */
  addQueue(name: string, spec: QueueSpec & { id?: number }): AnyQueue {
    const id = spec.id ?? this.surroundings.nextQueueId()
    const queue = isStream(spec.arguments) ? new Stream(id, name, spec, this) : new Queue(id, name, spec, this)
    queue.policy = this.policies.effective('queue', name, queue.type)
    this.countRefusing(queue, 1)
    queue.gate = gateOfQueue(name, spec.arguments, queue.logId !== 0, this)
    this.queues.set(name, queue)
    queue.owner?.exclusiveQueues.add(queue)
    this.router.forget()
    this.surroundings.churn.queuesCreated++
    if (queue.logId !== 0) {
      const { durable, autoDelete } = queue
      const record = { id, vhost: this.name, name, durable, autoDelete, arguments: spec.argumentsJson }
      this.journal.define({ op: 'put', kind: 'queue', record })
    }
    this.emit('queue.created', () => describeQueue(queue))
    return queue
  }

  /** Cancels its consumers, settles what is ready and removes its bindings. Returns the number of ready messages. */
  removeQueue(queue: AnyQueue): number {
    if (queue.isDeleted) return 0
    queue.isDeleted = true
    this.queues.delete(queue.name)
    queue.owner?.exclusiveQueues.delete(queue)
    for (const binding of [...queue.incoming]) this.removeBinding(binding)
    for (const consumer of [...queue.consumers]) {
      queue.removeConsumer(consumer)
      consumer.sink.onCancelled(consumer)
      this.emit('consumer.deleted', () => ({ consumer_tag: consumer.tag, queue: queue.name }))
    }
    const count = queue.purge()
    this.countRefusing(queue, -1)
    if (queue instanceof Queue) queue.stop()
    if (queue.isPaused) this.setPaused(queue, false)
    queue.gate?.close()
    this.router.forget()
    this.surroundings.churn.queuesDeleted++
    if (queue.logId !== 0) this.journal.define({ op: 'delete', kind: 'queue', key: { id: queue.id } })
    this.emit('queue.deleted', () => ({ name: queue.name }))
    return count
  }

  private countRefusing(queue: AnyQueue, by: number): void {
    if (queue instanceof Queue && queue.settings.overflow !== 'drop-head') this.refusing += by
    if (this.refusing === 0) this.wasRefused = false
  }

  setPaused(queue: AnyQueue, isPaused: boolean): void {
    if (queue.isPaused === isPaused) return
    queue.isPaused = isPaused
    queue.touch()
    if (!isPaused) queue.markDirty()
    if (queue.logId === 0) return
    const key = { component: PAUSED_QUEUE, name: queue.name, vhost: this.name }
    if (isPaused) this.journal.define({ op: 'put', kind: 'parameter', record: { ...key, value: 'true' } })
    else this.journal.define({ op: 'delete', kind: 'parameter', key })
  }

  /** A consumer has left: an auto-delete queue goes with its last one. */
  onConsumerLeft({ queue, tag }: Consumer): void {
    this.emit('consumer.deleted', () => ({ consumer_tag: tag, queue: queue.name }))
    if (queue.autoDelete && queue.consumers.length === 0) this.removeQueue(queue)
  }

  // -- policies -------------------------------------------------------------------------------------------------------

  setPolicy(kind: PolicyKind, policy: Policy): void {
    checkPolicy(kind, policy)
    this.policies.set(kind, policy)
    const { name, pattern, applyTo, priority } = policy
    const definition = JSON.stringify(policy.definition)
    if (kind === 'policy') {
      const record = { vhost: this.name, name, pattern, applyTo, priority, definition }
      this.journal.define({ op: 'put', kind: 'policy', record })
    } else {
      const value = JSON.stringify({ pattern, 'apply-to': applyTo, priority, definition })
      this.journal.define({ op: 'put', kind: 'parameter', record: { component: kind, name, vhost: this.name, value } })
    }
    this.applyPolicies()
    this.emit(kind === 'policy' ? 'policy.set' : 'operator_policy.set', () => ({
      name,
      pattern,
      'apply-to': applyTo,
      priority,
      definition: plainToTable(policy.definition),
    }))
  }

  /** false: there was none. */
  deletePolicy(kind: PolicyKind, name: string): boolean {
    if (!this.policies.delete(kind, name)) return false
    if (kind === 'policy') this.journal.define({ op: 'delete', kind: 'policy', key: { vhost: this.name, name } })
    else this.journal.define({ op: 'delete', kind: 'parameter', key: { component: kind, name, vhost: this.name } })
    this.applyPolicies()
    this.emit(kind === 'policy' ? 'policy.cleared' : 'operator_policy.cleared', () => ({ name }))
    return true
  }

  private applyPolicies(): void {
    for (const exchange of this.exchanges.values()) {
      exchange.policy = this.policies.effective('exchange', exchange.name)
    }
    for (const queue of this.queues.values()) {
      this.countRefusing(queue, -1)
      queue.policy = this.policies.effective('queue', queue.name, queue.type)
      this.countRefusing(queue, 1)
    }
    this.router.forget()
  }

  // -- bindings -------------------------------------------------------------------------------------------------------

  /** false: it was there already. */
  addBinding(from: Exchange, to: Destination, routingKey: string, args: BindingView['arguments']): boolean {
    const json = tableToJson(args)
    if (from.bindings.has(bindingKey(to.kind, to.name, routingKey, json))) return false
    const binding = new Binding(from, to, to.kind, routingKey, args, json)
    from.add(binding)
    this.router.forget()
    if (!this.journal.isRestoring) for (const gate of from.gates) gate.onBound(to)
    if (isStored(binding)) this.journal.define({ op: 'put', kind: 'binding', record: this.bindingRecord(binding) })
    this.emit('binding.created', () => describeBinding(binding))
    return true
  }

  removeBinding(binding: Binding): void {
    binding.from.remove(binding)
    this.router.forget()
    if (isStored(binding)) this.journal.define({ op: 'delete', kind: 'binding', key: this.bindingRecord(binding) })
    this.emit('binding.deleted', () => describeBinding(binding))
    const { from } = binding
    if (from.autoDelete && from.bindings.size === 0) this.removeExchange(from)
  }

  findBinding(
    from: Exchange,
    to: Destination,
    routingKey: string,
    args: BindingView['arguments'],
  ): Binding | undefined {
    return from.bindings.get(bindingKey(to.kind, to.name, routingKey, tableToJson(args)))
  }

  *bindings(): Iterable<BindingView> {
    for (const { name } of this.queues.values()) {
      yield { source: '', destination: name, destinationType: 'queue', routingKey: name, arguments: {} }
    }
    for (const exchange of this.exchanges.values()) yield* exchange.bindings.values()
  }

  private bindingRecord(binding: Binding) {
    const { source, destination, destinationType, routingKey } = binding
    return { vhost: this.name, source, destination, destinationType, routingKey, arguments: binding.argumentsJson }
  }
}

// What events tell, by the names that RabbitMQ has for it.

function describeExchange({ name, type, durable, autoDelete, internal, arguments: args }: Exchange): FieldTable {
  return { name, type, durable, auto_delete: autoDelete, internal, arguments: args }
}

function describeQueue({ name, durable, autoDelete, exclusive, arguments: args }: AnyQueue): FieldTable {
  return { name, durable, auto_delete: autoDelete, exclusive, arguments: args }
}

function describeBinding(binding: Binding): FieldTable {
  const { source, destination, destinationType, routingKey } = binding
  const from = { source_name: source, source_kind: 'exchange' }
  const to = { destination_name: destination, destination_kind: destinationType }
  return { ...from, ...to, routing_key: routingKey, arguments: binding.arguments }
}

/** A binding to a queue that ends with its connection is not worth the log. */
function isStored(binding: Binding): boolean {
  return binding.from.durable && (binding.to.kind === 'queue' ? binding.to.logId !== 0 : binding.to.durable)
}
