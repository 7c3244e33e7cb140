// The seam between the queue machine and what stands around it (server/net, server/admin): the views that the admin
// side reads and the operations that both sides call. Views are the read-only faces of live objects, not copies: read
// them within one turn of the event loop, keep nothing but names and ids across turns.
import type { FieldTable } from '../../protocol/field-table'
import type { LimitKind, LimitValues } from './limits'
import type { EffectivePolicy, Policy, PolicyKind } from './policies'

/** Names a stored message and orders it: increasing, never reused. Fits 53 bits. */
export type Ticket = number

/** Arguments of declares and bindings as they came over the wire, types kept. */
export type Arguments = FieldTable

/** Message counters of one queue, exchange, channel, vhost or the whole broker. They only grow; rates come from sampling. */
export interface MessageCounters {
  publish: number // accepted from publishers
  confirm: number // basic.ack / basic.nack sent to publishers
  returnUnroutable: number // basic.return sent
  dropUnroutable: number // unroutable and not mandatory
  deliver: number // basic.deliver with acknowledgement expected
  deliverNoAck: number // basic.deliver with no-ack
  get: number
  getNoAck: number
  getEmpty: number
  redeliver: number // of the deliveries above, how many said redelivered
  ack: number
}

export interface VhostView {
  readonly name: string
  readonly description: string
  readonly tracing: boolean // the firehose is on
  readonly counters: MessageCounters
  readonly exchanges: ReadonlyMap<string, ExchangeView> // the default exchange has the name ''
  readonly queues: ReadonlyMap<string, QueueView>
  readonly policies: { get(kind: PolicyKind, name: string): Policy | undefined; all(kind: PolicyKind): Policy[] }
  bindings(): Iterable<BindingView> // the default exchange's implied bindings included
}

export interface ExchangeView {
  readonly name: string
  readonly type: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: Arguments
  readonly publishIn: number // messages published to it
  readonly publishOut: number // copies it routed to queues
  readonly policy: EffectivePolicy
  readonly delayedCount: number | null // messages it keeps until they are due; null: not what it does
}

export interface BindingView {
  readonly source: string
  readonly destination: string
  readonly destinationType: 'queue' | 'exchange'
  readonly routingKey: string
  readonly arguments: Arguments
}

/** How an unacked message comes back to its queue: as a failure (refused, or lost with its channel), given back by the client, or as
 *  if it had never been taken. */
export type Return = 'failed' | 'returned' | 'undone'

export interface QueueView {
  readonly id: number
  readonly name: string
  readonly vhostName: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly exclusive: boolean
  readonly ownerConnection: string | null // name of the connection that owns an exclusive queue
  readonly arguments: Arguments
  readonly readyCount: number
  readonly unackedCount: number
  readonly delayedCount: number // came back, and wait for their time
  readonly untakenCount: number // dead letters that nobody could take so far
  readonly readyBytes: number // bodies only
  readonly unackedBytes: number
  readonly consumers: readonly ConsumerView[]
  readonly activeConsumer: ConsumerView | null // the one that is served while others wait; null: all are
  readonly counters: MessageCounters
  readonly type: string // classic, quorum or stream
  readonly isPaused: boolean // hands out nothing until it is resumed
  readonly policy: EffectivePolicy
  readonly idleSinceMs: number // clock time of the last publish, delivery, get or consumer change
}

export interface ConsumerView {
  readonly tag: string
  readonly queueName: string
  readonly vhostName: string
  readonly connectionName: string
  readonly channelNumber: number
  readonly ackRequired: boolean
  readonly exclusive: boolean
  readonly prefetch: number
  readonly unackedCount: number
  readonly active: boolean // is served: all are, but for those that wait behind a single active one
  readonly isOnlyActive: boolean // the one that is served
  readonly timeoutMs: number // how long it may hold a message; 0: any time
  readonly arguments: Arguments
}

export interface ConnectionView {
  readonly name: string // 'peer:port -> host:port'
  readonly vhostName: string
  readonly user: string
  readonly state: 'starting' | 'running' | 'blocked' | 'closing'
  readonly host: string
  readonly port: number
  readonly peerHost: string
  readonly peerPort: number
  readonly connectedAtMs: number
  readonly channelMax: number
  readonly frameMax: number
  readonly heartbeatSeconds: number
  readonly authMechanism: string
  /** null: not encrypted. */
  readonly tls: { protocol: string; cipher: string } | null
  readonly clientProperties: FieldTable
  readonly receivedBytes: number
  readonly sentBytes: number
  readonly receivedFrames: number
  readonly sentFrames: number
  readonly pendingBytes: number // written but not yet taken by the peer
  readonly channels: ReadonlyMap<number, ChannelView>
  /** Connection.close 320 CONNECTION_FORCED with this reason, then the socket. */
  close(reason: string): void
}

export interface ChannelView {
  readonly number: number
  readonly confirm: boolean
  readonly transactional: boolean
  readonly prefetch: number // default of new consumers
  readonly globalPrefetch: number
  readonly consumerCount: number
  readonly unackedCount: number
  readonly unconfirmedCount: number
  readonly uncommittedCount: number // publishes held by tx
  readonly uncommittedAcks: number
  readonly counters: MessageCounters
  readonly idleSinceMs: number
}

/** Broker-wide churn, beside the message counters. */
export interface ChurnCounters {
  connectionsOpened: number
  connectionsClosed: number
  channelsOpened: number
  channelsClosed: number
  queuesDeclared: number
  queuesCreated: number
  queuesDeleted: number
  authAttempts: number
  authFailures: number
}

export interface UserView {
  readonly name: string
  readonly tags: readonly string[]
}

/** Result of a message taken through the admin API. */
export interface FetchedMessage {
  exchange: string
  routingKey: string
  redelivered: boolean
  properties: Buffer // flags and values as on the wire, protocol/properties reads them
  body: Buffer
  remaining: number
}

/** A message that an exchange keeps until it is due. */
export interface DelayedMessage {
  id: number // names it while it is kept
  dueMs: number
  routingKey: string
  properties: Buffer
  body: Buffer
}

export interface Listener {
  protocol: 'amqp' | 'amqp/ssl' | 'http'
  host: string
  port: number
}

/** What the admin API is given. Operations throw protocol ChannelError / ConnectionError with AMQP reply codes and texts; promises resolve
 *  when the change is durable. */
export interface Management {
  readonly version: string
  readonly nodeName: string
  readonly clusterName: string
  readonly startedAtMs: number
  readonly counters: MessageCounters
  readonly churn: ChurnCounters
  readonly vhosts: ReadonlyMap<string, VhostView>
  readonly connections: ReadonlyMap<string, ConnectionView>
  readonly exchangeTypes: ReadonlyMap<string, { readonly description: string }>
  readonly listeners: readonly Listener[]
  now(): number // the injected clock, ms
  /** Calls back once, by the same clock; does not keep the process alive. */
  after(ms: number, callback: () => void): { cancel(): void }
  memory(): { usedBytes: number; limitBytes: number; alarm: boolean; messageBytes: number }
  storage(): Promise<{ fileBytes: number; walBytes: number; entries: number; freeBytes: number }>
  readonly diskFreeLimit: number // bytes
  /** Makes a consistent copy of all that is on disk and resolves with its path; the caller deletes it. One at a time. null:
   *  nothing is on disk. */
  readonly backup: (() => Promise<string>) | null
  storageError(): string | null // why the log takes nothing just now, or null

  /** null: wrong name or password. Costs a hash (never on the message path). */
  authenticate(user: string, password: string, peerHost: string): UserView | null
  /** Throws ACCESS_REFUSED when `user` may not use `vhost` at all. */
  checkVhostAccess(user: string, vhost: string): void

  /** Turns the firehose of a vhost that is there on or off. */
  setTracing(vhost: string, isOn: boolean): void
  declareExchange(
    user: string,
    vhost: string,
    name: string,
    spec: { type: string; durable: boolean; autoDelete: boolean; internal: boolean; arguments: Arguments },
  ): Promise<'created' | 'same'>
  deleteExchange(user: string, vhost: string, name: string, ifUnused: boolean): Promise<void>
  declareQueue(
    user: string,
    vhost: string,
    name: string,
    spec: { durable: boolean; autoDelete: boolean; arguments: Arguments },
  ): Promise<'created' | 'same'>
  deleteQueue(user: string, vhost: string, name: string, ifUnused: boolean, ifEmpty: boolean): Promise<number>
  /** Throws 406 for what is no policy. Applied at once, to what exists and to what comes. */
  setPolicy(vhost: string, kind: PolicyKind, policy: Policy): Promise<void>
  /** false: there was none. */
  deletePolicy(vhost: string, kind: PolicyKind, name: string): Promise<boolean>
  userNames(): string[]
  /** Those that are set. */
  limits(kind: LimitKind, subject: string): LimitValues
  /** Throws 406 for a limit that does not exist. Holds for what comes. */
  setLimit(kind: LimitKind, subject: string, name: string, value: number): Promise<void>
  /** false: there was none. */
  clearLimit(kind: LimitKind, subject: string, name: string): Promise<boolean>
  /** Returns how many went: all that are ready, or `count` from the head. */
  purgeQueue(user: string, vhost: string, name: string, count?: number): Promise<number>
  /** A paused queue takes messages and hands out none; a durable one stays so over a restart. */
  setPaused(user: string, vhost: string, name: string, isPaused: boolean): Promise<void>
  bind(user: string, vhost: string, binding: BindingView): Promise<void>
  unbind(user: string, vhost: string, binding: BindingView): Promise<void>
  /** false: unroutable. `properties` as encodeProperties made them. Resolves when durable where it needs to be. */
  publish(
    user: string,
    vhost: string,
    exchange: string,
    routingKey: string,
    properties: Buffer,
    body: Buffer,
  ): Promise<boolean>
  /** Takes up to `count` messages from the head, and stops once their bodies come to `bytesMax`; they are settled (acked or rejected) or
   *  requeued before the promise resolves. */
  fetch(
    user: string,
    vhost: string,
    queue: string,
    count: number,
    bytesMax: number,
    settle: 'ack' | 'requeue' | 'reject',
  ): Promise<FetchedMessage[]>
  /** The first `count` messages that the exchange keeps, by the time they are due, or as many as come to `bytesMax`. */
  delayed(user: string, vhost: string, exchange: string, count: number, bytesMax: number): Promise<DelayedMessage[]>
  /** false: it is not kept, or not any more. */
  cancelDelayed(user: string, vhost: string, exchange: string, id: number): Promise<boolean>
}
