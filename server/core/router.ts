// From exchange and routing key to queues. What was found is remembered (route-cache.ts), so that a
// publisher's next message costs a hash of the two names; any change of exchanges or bindings forgets everything remembered. What
// depends on more than the two names, or goes to further keys by CC and BCC, is found anew for each message.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import type { IncomingMessage } from '../../storage/message-store'
import type { AnyQueue } from './any-queue'
import type { Binding } from './binding'
import { Copies } from './copies'
import type { Requester, Requesters } from './direct-reply'
import type { Exchange } from './exchange'
import type { Gate } from './gate'
import type { Queue } from './queue'
import { RouteCache } from './route-cache'
import { RoutedMessage } from './routed-message'
import { Stream } from './stream'

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

/** A class, so that all have one shape: with several, each access on the per-message lane would look for the property anew. */
export class Route {
  /** Where it is remembered: by which bytes, and until when. See route-cache.ts. */
  names: Buffer = NOTHING
  epoch = -1

  constructor(
    readonly exchange: Exchange,
    readonly queues: Queue[],
    /** The ids of those queues that log persistent messages. */
    readonly logIds: number[],
    /** Those of CC and BCC. */
    readonly furtherKeys: readonly string[],
    /** What the exchanges on the way do with the message besides, and what they look at; null: nothing. */
    readonly gated: Gated | null,
  ) {}
}

export interface Gated {
  gates: readonly (Gate | Requester | Stream)[]
  /** The last of the gates: streams, which take the message as queues do. */
  streams: readonly Stream[]
  message: RoutedMessage
  /** One of them has taken it, so it is not unroutable. */
  isTaken: boolean
}

export class Router {
  private readonly cache = new RouteCache()
  private readonly copies = new Copies()

  constructor(
    private readonly vhostName: string,
    private readonly exchanges: ReadonlyMap<string, Exchange>,
    private readonly queues: ReadonlyMap<string, AnyQueue>,
    private readonly requesters: Requesters,
  ) {}

  /** In all remembered routes, each counted as often as it is there. */
  get rememberedQueues(): number {
    return this.cache.rememberedQueues
  }

  /** Call after any change of exchanges, queues or bindings. */
  forget(): void {
    this.cache.forget()
  }

  /** Throws 404 for an exchange that is not there, 406 for a malformed CC or BCC. Takes BCC out of the message. */
  route(m: IncomingMessage): Route {
    if (this.copies.hasHeaders(m)) {
      const copies = this.copiesOf(m)
      if (copies !== null) return this.findCopied(m, copies)
    }
    const cached = this.cache.find(m.namesBuf, m.namesStart, m.namesEnd)
    if (cached !== null) return cached
    const { route, isRepeatable } = this.find(this.exchangeOf(m), m, [routingKeyOf(m)])
    if (isRepeatable) this.cache.remember(route, Buffer.from(m.namesBuf.subarray(m.namesStart, m.namesEnd)))
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
    return { route: new Route(from, queues, logIdsOf(queues), furtherKeys, gated), isRepeatable }
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

function routingKeyOf({ namesBuf, namesStart, namesEnd }: IncomingMessage): string {
  return namesBuf.toString('utf8', namesStart + 2 + namesBuf[namesStart], namesEnd)
}

export function logIdsOf(queues: readonly Queue[]): number[] {
  const ids: number[] = []
  for (const queue of queues) if (queue.logId !== 0) ids.push(queue.logId)
  return ids
}
