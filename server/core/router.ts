// From exchange and routing key to queues. What was found is remembered by the bytes of the two names, so that a
// publisher's next message costs a hash of them; any change of exchanges or bindings forgets everything remembered. What
// depends on more than the two names, or goes to further keys by CC and BCC, is found anew for each message.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import type { IncomingMessage } from '../../storage/message-store'
import type { AnyQueue } from './any-queue'
import type { Binding } from './binding'
import { CameBack } from './came-back'
import { Copies } from './copies'
import type { Requester, Requesters } from './direct-reply'
import type { Exchange } from './exchange'
import type { Gate } from './gate'
import type { Queue } from './queue'
import { RoutedMessage } from './routed-message'
import { Stream } from './stream'

/** Of remembered routes: so many slots at first, and so many when keys that come again push each other out. */
const CACHE_SLOTS = 4096
const CACHE_SLOTS_MAX = 65_536
/** All remembered routes together: a fanout to many thousands of queues must not be kept once for each routing key. */
const REMEMBERED_QUEUES_MAX = 500_000

const NONE: readonly string[] = []
const NOTHING = Buffer.alloc(0)
const NO_MESSAGE = new RoutedMessage([], {
  namesBuf: NOTHING,
  namesStart: 0,
  namesEnd: 0,
  headerBuf: NOTHING,
  headerStart: 0,
  headerEnd: 0,
  bodyBuf: NOTHING,
  bodyStart: 0,
  bodyEnd: 0,
})

export interface Route {
  exchange: Exchange
  queues: Queue[]
  /** The ids of those queues that log persistent messages. */
  logIds: number[]
  /** Those of CC and BCC. */
  furtherKeys: readonly string[]
  /** What the exchanges on the way do with the message besides, and what they look at; null: nothing. */
  gated: Gated | null
}

export interface Gated {
  gates: readonly (Gate | Requester | Stream)[]
  /** The last of the gates: streams, which take the message as queues do. */
  streams: readonly Stream[]
  message: RoutedMessage
  /** One of them has taken it, so it is not unroutable. */
  isTaken: boolean
}

interface CachedRoute extends Route {
  names: Buffer
  epoch: number
}

export class Router {
  private epoch = 0
  private cache: (CachedRoute | null)[] = new Array(CACHE_SLOTS).fill(null)
  /** The one that was asked for last: publishers tend to stay with theirs. */
  private last: CachedRoute | null = null
  private cameBack: CameBack | null = null
  /** In all remembered routes, each counted as often as it is there. */
  rememberedQueues = 0
  private readonly copies = new Copies()

  constructor(
    private readonly vhostName: string,
    private readonly exchanges: ReadonlyMap<string, Exchange>,
    private readonly queues: ReadonlyMap<string, AnyQueue>,
    private readonly requesters: Requesters,
  ) {}

  /** Call after any change of exchanges, queues or bindings. */
  forget(): void {
    this.epoch++
    this.last = null
  }

  /** Throws 404 for an exchange that is not there, 406 for a malformed CC or BCC. Takes BCC out of the message. */
  route(m: IncomingMessage): Route {
    if (this.copies.hasHeaders(m)) {
      const copies = this.copiesOf(m)
      if (copies !== null) return this.findCopied(m, copies)
    }
    const { namesBuf: buf, namesStart: start, namesEnd: end } = m
    const { last } = this
    if (last !== null && last.epoch === this.epoch && isSame(last.names, buf, start, end)) return last
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buf[i], 0x01000193)
    hash ^= hash >>> 15
    const cached = this.cache[hash & (this.cache.length - 1)]
    if (cached !== null && cached.epoch === this.epoch && isSame(cached.names, buf, start, end)) {
      this.last = cached
      return cached
    }
    const { route, isRepeatable } = this.find(this.exchangeOf(m), m, [routingKeyOf(m)])
    if (isRepeatable) {
      const names = Buffer.from(buf.subarray(start, end))
      this.remember(hash, { ...route, names, epoch: this.epoch })
    }
    return route
  }

  /** The exchange, where `route` would not throw. */
  check(m: IncomingMessage): Exchange {
    if (this.copies.hasHeaders(m)) this.copiesOf(m)
    return this.exchangeOf(m)
  }

  /** That the exchange is not there is said first. */
  private copiesOf(m: IncomingMessage): string[] | null {
    try {
      return this.copies.keysOf(m)
    } catch (error) {
      this.exchangeOf(m)
      throw error
    }
  }

  private findCopied(m: IncomingMessage, copies: string[]): Route {
    this.copies.removeBcc(m)
    const keys = new Set([routingKeyOf(m), ...copies])
    return this.find(this.exchangeOf(m), m, [...keys]).route
  }

  private exchangeOf(m: IncomingMessage): Exchange {
    const name = m.namesBuf.toString('utf8', m.namesStart + 1, m.namesStart + 1 + m.namesBuf[m.namesStart])
    const exchange = this.exchanges.get(name)
    if (exchange !== undefined) return exchange
    throw new ChannelError(ReplyCode.NOT_FOUND, `no exchange '${name}' in vhost '${this.vhostName}'`)
  }

  private find(
    from: Exchange,
    m: IncomingMessage,
    keys: string[],
    admitted: Exchange | null = null,
  ): { route: Route; isRepeatable: boolean } {
    const message = new RoutedMessage(keys, m)
    const walk = new Walk(this.exchanges, message, admitted)
    if (from.name === '') for (const key of keys) this.matchDefault(key, walk)
    else walk.visit(from)
    const queues = [...walk.queues]
    const { isRepeatable } = walk
    const gated = walk.gated()
    const furtherKeys = keys.length === 1 ? NONE : keys.slice(1)
    return { route: { exchange: from, queues, logIds: logIdsOf(queues), furtherKeys, gated }, isRepeatable }
  }

  private matchDefault(key: string, walk: Walk): void {
    const queue = this.queues.get(key)
    if (queue !== undefined) walk.addQueue(queue)
    else if (this.requesters.isOwnName(key)) walk.addRequester(this.requesters.reachable(key))
  }

  /** Where a message goes that `from` gets from an exchange which had kept it. */
  routeFrom(from: Exchange, m: IncomingMessage): Route {
    const copies = this.copies.hasHeaders(m) ? (this.copies.keysOf(m) ?? []) : []
    return this.find(from, m, [routingKeyOf(m), ...copies]).route
  }

  /** Where a message goes that `from` itself had kept: its gates are behind it. */
  routeReleased(from: Exchange, m: IncomingMessage, furtherKeys: readonly string[]): Route {
    return this.find(from, m, [routingKeyOf(m), ...furtherKeys], from).route
  }

  private remember(hash: number, route: CachedRoute): void {
    const before = this.cache[hash & (this.cache.length - 1)]
    if (before?.epoch === this.epoch && this.cache.length < CACHE_SLOTS_MAX) this.onPushedOut(hash)
    const slot = hash & (this.cache.length - 1)
    this.rememberedQueues += sizeOf(route) - sizeOf(this.cache[slot])
    this.cache[slot] = route
    if (this.rememberedQueues > REMEMBERED_QUEUES_MAX) this.empty(this.cache.length)
  }

  private onPushedOut(hash: number): void {
    this.cameBack ??= new CameBack()
    if (!this.cameBack.onPushedOut(hash)) return
    this.cameBack = null
    this.empty(CACHE_SLOTS_MAX)
  }

  private empty(slots: number): void {
    this.cache = new Array(slots).fill(null)
    this.rememberedQueues = 0
  }
}

/** One walk over exchanges and their bindings: each queue and each exchange once, whatever the cycles. */
class Walk {
  readonly queues = new Set<Queue>()
  isRepeatable = true
  private readonly streams = new Set<Stream>()
  private readonly gates: (Gate | Requester)[] = []
  private isTaken = false
  private readonly visited = new Set<Exchange>()
  private readonly open: Exchange[] = []
  private hasMatched = false

  constructor(
    private readonly exchanges: ReadonlyMap<string, Exchange>,
    private readonly message: RoutedMessage,
    private readonly admitted: Exchange | null,
  ) {}

  visit(from: Exchange): void {
    this.enter(from)
    for (let exchange = this.open.pop(); exchange !== undefined; exchange = this.open.pop()) {
      this.isRepeatable &&= exchange.isRepeatable
      if (exchange.gates.length === 0 || exchange === this.admitted || this.passes(exchange.gates)) this.match(exchange)
    }
  }

  private match(exchange: Exchange): void {
    this.hasMatched = false
    exchange.match(this.message, this.follow)
    // A binding to an exchange that leads nowhere counts as well, as in RabbitMQ.
    if (!this.hasMatched && exchange.alternate !== null) this.enter(this.exchanges.get(exchange.alternate))
  }

  private passes(gates: readonly Gate[]): boolean {
    for (const gate of gates) {
      this.gates.push(gate)
      if (gate.admits(this.message)) continue
      this.isTaken = true
      return false
    }
    return true
  }

  /** Names of requesters come and go, too many to be remembered. */
  addRequester(requester: Requester | undefined): void {
    this.isRepeatable = false
    if (requester === undefined) return
    this.gates.push(requester)
    this.isTaken = true
  }

  addQueue(queue: AnyQueue): void {
    const { gate } = queue
    if (gate !== null) {
      this.isRepeatable = false
      if (this.gates.includes(gate) || !this.passes([gate])) return
    }
    if (queue instanceof Stream) this.streams.add(queue)
    else this.queues.add(queue)
  }

  gated(): Gated | null {
    if (this.streams.size === 0 && this.gates.length === 0) return null
    const streams = [...this.streams]
    // A route to streams may be remembered: they look at no other message than the one they are given.
    const message = this.gates.length === 0 ? NO_MESSAGE : this.message
    return { gates: [...this.gates, ...streams], streams, message, isTaken: this.isTaken || streams.length > 0 }
  }

  private readonly follow = ({ to }: Binding): void => {
    this.hasMatched = true
    if (to.kind === 'queue') this.addQueue(to)
    else this.enter(to)
  }

  private enter(exchange: Exchange | undefined): void {
    if (exchange === undefined || this.visited.has(exchange)) return
    this.visited.add(exchange)
    this.open.push(exchange)
  }
}

function sizeOf(route: Route | null): number {
  return route === null ? 0 : route.queues.length + (route.gated?.streams.length ?? 0)
}

function routingKeyOf({ namesBuf, namesStart, namesEnd }: IncomingMessage): string {
  return namesBuf.toString('utf8', namesStart + 2 + namesBuf[namesStart], namesEnd)
}

export function logIdsOf(queues: readonly Queue[]): number[] {
  const ids: number[] = []
  for (const queue of queues) if (queue.logId !== 0) ids.push(queue.logId)
  return ids
}

function isSame(names: Buffer, buf: Buffer, start: number, end: number): boolean {
  if (names.length !== end - start) return false
  // From the end: keys that differ mostly do so there.
  for (let i = names.length - 1; i >= 0; i--) if (names[i] !== buf[start + i]) return false
  return true
}
