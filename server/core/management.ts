// The admin side's way into the broker (core-api's Management): what is there to see, and the operations of a client done
// on behalf of a user of the HTTP API.
import { ChannelError, ConnectionError, ReplyCode } from '../../protocol'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { STORED_TAIL_BYTES, storedNamesEnd } from '../../storage/segment'
import type { Core } from './core'
import type {
  BindingView,
  ConnectionView,
  DelayedMessage,
  FetchedMessage,
  Listener,
  Management,
  QueueView,
  Ticket,
  UserView,
} from './core-api'
import { Declarations } from './declarations'
import type { Delay } from './delay'
import type { ExchangeSpec } from './exchange'
import { exchangeTypes } from './exchange-types'
import type { LimitKind } from './limits'
import { madeMessage } from './made-message'
import type { Policy, PolicyKind } from './policies'
import { checkClaims } from './publish-claims'
import { LOGGED, ROUTED } from './publishing'
import type { Queue, Taken } from './queue'
import { Session } from './session'
import type { Vhost } from './vhost'

export interface ManagementSurroundings {
  version: string
  nodeName: string
  clusterName: string
  startedAtMs: number
  connections: ReadonlyMap<string, ConnectionView>
  listeners: readonly Listener[]
  memoryLimit: number
  now(): number
  after: Management['after']
  storage(): ReturnType<Management['storage']>
  backup: Management['backup']
  whenLoaded(callback: () => void): void
}

const FRAME_OVERHEAD = 8
/** Messages dropped in one turn. */
const PURGE_SLICE = 5000
const PROPERTIES_AT = 12

export class CoreManagement implements Management {
  readonly version: string
  readonly nodeName: string
  readonly clusterName: string
  readonly startedAtMs: number
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(
    private readonly core: Core,
    private readonly around: ManagementSurroundings,
  ) {
    this.version = around.version
    this.nodeName = around.nodeName
    this.clusterName = around.clusterName
    this.startedAtMs = around.startedAtMs
  }

  // -- views ----------------------------------------------------------------------------------------------------------

  get counters() {
    return this.core.counters
  }
  get churn() {
    return this.core.churn
  }
  get vhosts() {
    return this.core.vhosts
  }
  get connections() {
    return this.around.connections
  }
  get exchangeTypes() {
    return exchangeTypes
  }
  get listeners() {
    return this.around.listeners
  }
  now(): number {
    return this.around.now()
  }
  after(ms: number, callback: () => void) {
    return this.around.after(ms, callback)
  }
  memory() {
    const usedBytes = process.memoryUsage.rss()
    return {
      usedBytes,
      limitBytes: this.around.memoryLimit,
      alarm: this.core.isOverLimit,
      messageBytes: this.core.journal.store.slabBytes,
    }
  }
  storage() {
    return this.around.storage()
  }
  get diskFreeLimit(): number {
    return this.core.diskFreeLimit
  }
  get backup() {
    return this.around.backup
  }
  storageError(): string | null {
    if (this.core.journal.error !== null) return this.core.journal.error.message
    return this.core.isDiskShort ? 'the disk has less free space than disk-free-limit asks for' : null
  }

  // -- who ------------------------------------------------------------------------------------------------------------

  authenticate(user: string, password: string, peerHost: string): UserView | null {
    this.core.churn.authAttempts++
    const found = this.core.users.authenticate(user, password, peerHost)
    if (found === null) this.core.churn.authFailures++
    return found
  }

  checkVhostAccess(user: string, vhost: string): void {
    this.as(user, vhost)
  }

  private as(userName: string, vhostName: string): { vhost: Vhost; session: Session; declarations: Declarations } {
    const vhost = this.vhost(vhostName)
    const user = this.core.users.all.get(userName)
    if (user === undefined || !user.permissions.has(vhostName)) {
      throw new ConnectionError(
        ReplyCode.ACCESS_REFUSED,
        `access to vhost '${vhostName}' refused for user '${userName}'`,
      )
    }
    const session = new Session('admin API', user, vhostName)
    return { vhost, session, declarations: new Declarations(vhost, session) }
  }

  // -- operations -----------------------------------------------------------------------------------------------------

  setTracing(vhostName: string, isOn: boolean): void {
    this.vhost(vhostName).tracing = isOn
  }

  async declareExchange(user: string, vhost: string, name: string, spec: ExchangeSpec): Promise<'created' | 'same'> {
    const created = this.as(user, vhost).declarations.declareExchange(name, spec)
    await this.core.journal.whenDurable()
    return created ? 'created' : 'same'
  }

  async deleteExchange(user: string, vhost: string, name: string, ifUnused: boolean): Promise<void> {
    const { declarations, vhost: where } = this.as(user, vhost)
    mustExist(where.exchanges, 'exchange', name, vhost)
    declarations.deleteExchange(name, ifUnused)
    await this.core.journal.whenDurable()
  }

  async declareQueue(
    user: string,
    vhost: string,
    name: string,
    spec: Pick<QueueView, 'durable' | 'autoDelete' | 'arguments'>,
  ): Promise<'created' | 'same'> {
    const { created } = this.as(user, vhost).declarations.declareQueue(name, { ...spec, exclusive: false })
    await this.core.journal.whenDurable()
    return created ? 'created' : 'same'
  }

  async deleteQueue(user: string, vhost: string, name: string, ifUnused: boolean, ifEmpty: boolean): Promise<number> {
    const { declarations, vhost: where } = this.as(user, vhost)
    mustExist(where.queues, 'queue', name, vhost)
    const count = declarations.deleteQueue(name, ifUnused, ifEmpty)
    await this.core.journal.whenDurable()
    return count
  }

  async setPolicy(vhostName: string, kind: PolicyKind, policy: Policy): Promise<void> {
    this.vhost(vhostName).setPolicy(kind, policy)
    await this.core.journal.whenDurable()
  }

  async deletePolicy(vhostName: string, kind: PolicyKind, name: string): Promise<boolean> {
    const wasThere = this.vhost(vhostName).deletePolicy(kind, name)
    await this.core.journal.whenDurable()
    return wasThere
  }

  private vhost(name: string): Vhost {
    const vhost = this.core.vhosts.get(name)
    if (vhost === undefined) throw new ChannelError(ReplyCode.NOT_FOUND, `no vhost '${name}'`)
    return vhost
  }

  userNames(): string[] {
    return [...this.core.users.all.keys()]
  }

  limits(kind: LimitKind, subject: string) {
    return this.core.limits.of(kind, subject)
  }

  async setLimit(kind: LimitKind, subject: string, name: string, value: number): Promise<void> {
    this.core.limits.set(kind, subject, name, value)
    this.core.systemEvents.emit(`${kind}.limits.set`, () => ({
      name: subject,
      limits: { ...this.limits(kind, subject) },
    }))
    await this.core.journal.whenDurable()
  }

  async clearLimit(kind: LimitKind, subject: string, name: string): Promise<boolean> {
    const wasThere = this.core.limits.clear(kind, subject, name)
    if (wasThere) this.core.systemEvents.emit(`${kind}.limits.cleared`, () => ({ name: subject, limit: name }))
    await this.core.journal.whenDurable()
    return wasThere
  }

  async purgeQueue(user: string, vhost: string, name: string, max = Number.POSITIVE_INFINITY): Promise<number> {
    const { declarations } = this.as(user, vhost)
    const isPart = max < (this.vhost(vhost).queues.get(name)?.readyCount ?? 0)
    const count = isPart ? await this.dropFromHead(declarations.takableQueue(name), max) : declarations.purgeQueue(name)
    await this.core.journal.whenDurable()
    return count
  }

  /** In slices: clients are served meanwhile. */
  private async dropFromHead(queue: Queue, max: number): Promise<number> {
    let count = 0
    while (count < max && !queue.isDeleted) {
      const outcome = queue.dropHead(this.range)
      if (outcome === 'empty') break
      if (outcome === 'loading') await new Promise<void>((resolve) => this.around.whenLoaded(resolve))
      else if (++count % PURGE_SLICE === 0) await new Promise(setImmediate)
    }
    return count
  }

  async setPaused(user: string, vhost: string, name: string, isPaused: boolean): Promise<void> {
    const { vhost: where, declarations, session } = this.as(user, vhost)
    session.authorize('configure', 'queue', name)
    where.setPaused(declarations.passiveQueue(name), isPaused)
    await this.core.journal.whenDurable()
  }

  async bind(user: string, vhost: string, b: BindingView): Promise<void> {
    const { declarations } = this.as(user, vhost)
    if (b.destinationType === 'queue') declarations.bindQueue(b.destination, b.source, b.routingKey, b.arguments)
    else declarations.bindExchange(b.destination, b.source, b.routingKey, b.arguments)
    await this.core.journal.whenDurable()
  }

  async unbind(user: string, vhost: string, b: BindingView): Promise<void> {
    const { declarations } = this.as(user, vhost)
    if (b.destinationType === 'queue') declarations.unbindQueue(b.destination, b.source, b.routingKey, b.arguments)
    else declarations.unbindExchange(b.destination, b.source, b.routingKey, b.arguments)
    await this.core.journal.whenDurable()
  }

  // -- messages -------------------------------------------------------------------------------------------------------

  async publish(
    user: string,
    vhost: string,
    exchange: string,
    routingKey: string,
    properties: Buffer,
    body: Buffer,
  ): Promise<boolean> {
    const { vhost: where, session } = this.as(user, vhost)
    const message = madeMessage(exchange, routingKey, properties, body)
    checkClaims(message, user)
    const outcome = where.publishing.publish(session, message)
    const isRouted = outcome === ROUTED || outcome === LOGGED
    if (!isRouted) this.core.counters.dropUnroutable++
    if (outcome >= LOGGED) await this.core.journal.whenDurable()
    return isRouted
  }

  async fetch(
    user: string,
    vhost: string,
    queueName: string,
    count: number,
    bytesMax: number,
    settle: 'ack' | 'requeue' | 'reject',
  ): Promise<FetchedMessage[]> {
    const queue = this.as(user, vhost).declarations.takableQueue(queueName)
    const messages: FetchedMessage[] = []
    const held: Taken[] = []
    let bytes = 0
    while (messages.length < count && bytes < bytesMax && !queue.isDeleted) {
      const taken = queue.take(false, this.range)
      if (taken === 'empty') break
      if (taken === 'loading') {
        await new Promise<void>((resolve) => this.around.whenLoaded(resolve))
        continue
      }
      messages.push(copied(this.range, taken, queue))
      held.push(taken)
      bytes += taken.bodyBytes
    }
    for (const { ticket, bodyBytes } of held) {
      if (settle === 'requeue') queue.requeue(ticket, bodyBytes, 'undone')
      else queue.settleUnacked(ticket, bodyBytes)
    }
    if (settle !== 'requeue') await this.core.journal.whenDurable()
    return messages
  }

  async delayed(user: string, vhost: string, name: string, count: number, bytesMax: number): Promise<DelayedMessage[]> {
    const delay = this.delayOf(user, vhost, name)
    const messages: DelayedMessage[] = []
    let bytes = 0
    for (const { due, ticket } of delay.first(count)) {
      const m = await this.loaded(ticket, () => delay.read(ticket, this.range))
      if (m === null) continue // it was due meanwhile
      const message = delayedMessage(m, ticket, due)
      messages.push(message)
      bytes += message.body.length
      if (bytes >= bytesMax) break
    }
    return messages
  }

  async cancelDelayed(user: string, vhost: string, name: string, id: number): Promise<boolean> {
    const isCancelled = this.delayOf(user, vhost, name).cancel(id)
    if (isCancelled) await this.core.journal.whenDurable()
    return isCancelled
  }

  /** As purging and getting from a queue, it asks for the right to read. */
  private delayOf(user: string, vhost: string, name: string): Delay {
    const { vhost: where, session } = this.as(user, vhost)
    session.authorize('read', 'exchange', name)
    const delay = where.exchanges.get(name)?.delay ?? null
    if (delay !== null) return delay
    throw new ChannelError(ReplyCode.NOT_FOUND, `no delayed message exchange '${name}' in vhost '${vhost}'`)
  }

  /** What `read` finds when the ticket's bytes are in memory; null: the message is gone. */
  private async loaded<T>(ticket: Ticket, read: () => T | null): Promise<T | null> {
    for (;;) {
      const found = read()
      if (found !== null || this.core.journal.store.segmentOf(ticket) === undefined) return found
      this.core.journal.load(ticket)
      await new Promise<void>((resolve) => this.around.whenLoaded(resolve))
    }
  }
}

function mustExist(among: ReadonlyMap<string, unknown>, kind: string, name: string, vhost: string): void {
  if (!among.has(name)) throw new ChannelError(ReplyCode.NOT_FOUND, `no ${kind} '${name}' in vhost '${vhost}'`)
}

function delayedMessage(m: IncomingMessage, id: Ticket, dueMs: number): DelayedMessage {
  return {
    id,
    dueMs,
    routingKey: m.namesBuf.toString('utf8', m.namesStart + 2 + m.namesBuf[m.namesStart], m.namesEnd),
    properties: Buffer.from(m.headerBuf.subarray(m.headerStart + PROPERTIES_AT, m.headerEnd)),
    body: Buffer.from(m.bodyBuf.subarray(m.bodyStart, m.bodyEnd)),
  }
}

function copied(range: ByteRange, taken: Taken, queue: Queue): FetchedMessage {
  const { buf, start, end } = range
  const namesEnd = storedNamesEnd(buf, start)
  const headerAt = namesEnd + STORED_TAIL_BYTES
  const headerEnd = headerAt + FRAME_OVERHEAD + buf.readUInt32BE(headerAt + 3)
  const exchangeEnd = start + 1 + buf[start]
  return {
    exchange: buf.toString('utf8', start + 1, exchangeEnd),
    routingKey: buf.toString('utf8', exchangeEnd + 1, namesEnd),
    redelivered: taken.redelivered,
    properties: Buffer.from(buf.subarray(headerAt + 7 + PROPERTIES_AT, headerEnd - 1)),
    body: headerEnd === end ? Buffer.alloc(0) : Buffer.from(buf.subarray(headerEnd + 7, end - 1)),
    remaining: queue.readyCount,
  }
}
