// A virtual host: its exchanges, queues, bindings and policies. Checks of rights and of what a client asked for are declarations.ts;
// this file keeps the state consistent and tells the journal what must survive. The way of messages through it: publishing.ts.
import { type FieldTable, plainToTable, tableToJson } from '../../protocol/field-table'
import type { Journal } from '../../storage/journal'
import type { ByteRange } from '../../storage/message-store'
import type { AnyQueue } from './any-queue'
import { Binding, bindingKey, type Destination } from './binding'
import type { Clock } from './clock'
import type { Consumer } from './consumer'
import type { BindingView, ChurnCounters, MessageCounters, Ticket, VhostView } from './core-api'
import { newMessageCounters } from './counters'
import { Requesters } from './direct-reply'
import { Exchange, type ExchangeSpec } from './exchange'
import { TRACE_EXCHANGE } from './firehose'
import type { Shelved } from './gate'
import { type GateSurroundings, gateOfQueue, gatesOf } from './gates'
import type { Limits } from './limits'
import { checkPolicy, Policies, type Policy, type PolicyKind } from './policies'
import { Publishing } from './publishing'
import { Queue, type QueueSpec } from './queue'
import { Router } from './router'
import { Stream } from './stream'
import { isStream } from './stream-arguments'
import { EVENT_EXCHANGE, LOG_EXCHANGE, type SystemEvents } from './system-events'

/** What a queue needs of its surroundings. */
export interface VhostContext {
  readonly name: string
  readonly now: number // clock time of this turn, ms
  readonly clock: Clock
  readonly journal: Journal
  /** Of queues that say nothing of it; 0: none. */
  readonly consumerTimeoutMs: number
  addDirty(queue: Dispatchable): void
  /** Brings the ticket's bytes back; dispatches the queue again when they are there. */
  awaitLoad(queue: Dispatchable, ticket: Ticket): void
  /** Dispatches the queue when the next batch is on disk. */
  awaitCommit(queue: Dispatchable): void
  /** Where messages go that are given up, or were kept. */
  readonly publishing: Publishing
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
  readonly consumerTimeoutMs: number
  readonly systemEvents: SystemEvents
  addDirty(queue: Dispatchable): void
  awaitLoad(queue: Dispatchable, ticket: Ticket): void
  awaitCommit(queue: Dispatchable): void
  nextQueueId(): number
}

/** The stored parameter that says that a queue is paused. */
export const PAUSED_QUEUE = 'paused-queue'

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
  readonly publishing: Publishing

  constructor(
    readonly name: string,
    readonly description: string,
    readonly surroundings: Surroundings,
    isDefault = false,
  ) {
    this.router = new Router(name, this.exchanges, this.queues, this.requesters)
    this.publishing = new Publishing(this)
    for (const [exchange, type, internal = false] of isDefault ? [...PREDECLARED, ...OF_DEFAULT_VHOST] : PREDECLARED) {
      const spec = { type, durable: true, autoDelete: false, internal, arguments: {} }
      this.exchanges.set(exchange, new Exchange(exchange, spec))
    }
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

  set tracing(isOn: boolean) {
    this.publishing.trace(isOn)
  }

  get tracing(): boolean {
    return this.publishing.firehose !== null
  }

  // -- context of its queues ------------------------------------------------------------------------------------------

  get consumerTimeoutMs(): number {
    return this.surroundings.consumerTimeoutMs
  }
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
    this.queues.delete(queue.name)
    queue.owner?.exclusiveQueues.delete(queue)
    for (const binding of [...queue.incoming]) this.removeBinding(binding)
    for (const consumer of [...queue.consumers]) {
      queue.removeConsumer(consumer)
      consumer.sink.onCancelled(consumer)
      this.emit('consumer.deleted', () => ({ consumer_tag: consumer.tag, queue: queue.name }))
    }
    const count = queue.close()
    if (queue.isPaused) this.setPaused(queue, false)
    queue.gate?.close()
    this.router.forget()
    this.surroundings.churn.queuesDeleted++
    if (queue.logId !== 0) this.journal.define({ op: 'delete', kind: 'queue', key: { id: queue.id } })
    this.emit('queue.deleted', () => ({ name: queue.name }))
    return count
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
      queue.policy = this.policies.effective('queue', queue.name, queue.type)
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
