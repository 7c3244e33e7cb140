// From exchange and routing key to queues. What was found is remembered by the bytes of the two names, so that a
// publisher's next message costs a hash of them; any change of exchanges or bindings forgets everything remembered.
import { ChannelError, decodeProperties, ReplyCode } from '../../protocol'
import type { FieldTable } from '../../protocol/field-table'
import type { IncomingMessage } from '../../storage/message-store'
import type { Binding } from './binding'
import type { Exchange } from './exchange'
import type { Queue } from './queue'

const CACHE_SLOTS = 4096
/** Content header: class 2, weight 2, body size 8, then the properties. */
const PROPERTIES_AT = 12

export interface Route {
  exchange: Exchange
  queues: Queue[]
  /** The ids of those queues that log persistent messages. */
  logIds: number[]
}

interface CachedRoute extends Route {
  names: Buffer
  epoch: number
}

export class Router {
  private epoch = 0
  private readonly cache: (CachedRoute | null)[] = new Array(CACHE_SLOTS).fill(null)

  constructor(
    private readonly vhostName: string,
    private readonly exchanges: ReadonlyMap<string, Exchange>,
    private readonly queues: ReadonlyMap<string, Queue>,
  ) {}

  /** Call after any change of exchanges, queues or bindings. */
  forget(): void {
    this.epoch++
  }

  /** Throws 404 for an exchange that is not there. */
  route(m: IncomingMessage): Route {
    const { namesBuf: buf, namesStart: start, namesEnd: end } = m
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buf[i], 0x01000193)
    const slot = (hash ^ (hash >>> 15)) & (CACHE_SLOTS - 1)
    const cached = this.cache[slot]
    if (cached !== null && cached.epoch === this.epoch && isSame(cached.names, buf, start, end)) return cached
    return this.find(m, slot)
  }

  private find(m: IncomingMessage, slot: number): Route {
    const { namesBuf: buf, namesStart: start, namesEnd: end } = m
    const exchangeEnd = start + 1 + buf[start]
    const exchange = buf.toString('utf8', start + 1, exchangeEnd)
    const routingKey = buf.toString('utf8', exchangeEnd + 1, end)
    const names = Buffer.from(buf.subarray(start, end))
    const walk = new Walk(m)
    const from = this.exchanges.get(exchange)
    if (from === undefined) {
      throw new ChannelError(ReplyCode.NOT_FOUND, `no exchange '${exchange}' in vhost '${this.vhostName}'`)
    }
    if (exchange === '') walk.addQueue(this.queues.get(routingKey))
    else walk.visit(from, routingKey)
    const route = { exchange: from, queues: [...walk.queues], logIds: logIdsOf(walk.queues), names, epoch: this.epoch }
    if (!walk.lookedAtHeaders) this.cache[slot] = route
    return route
  }
}

/** One walk over exchanges and their bindings: each queue and each exchange once, whatever the cycles. */
class Walk {
  readonly queues = new Set<Queue>()
  lookedAtHeaders = false
  private readonly visited = new Set<Exchange>()
  private headers: FieldTable | null = null

  constructor(private readonly message: IncomingMessage) {}

  visit(from: Exchange, routingKey: string): void {
    const open = [from]
    this.visited.add(from)
    for (let exchange = open.pop(); exchange !== undefined; exchange = open.pop()) {
      this.lookedAtHeaders ||= exchange.looksAtHeaders
      exchange.match(routingKey, this.readHeaders, (binding) => this.follow(binding, open))
    }
  }

  addQueue(queue: Queue | undefined): void {
    if (queue !== undefined) this.queues.add(queue)
  }

  private follow(binding: Binding, open: Exchange[]): void {
    const { to } = binding
    if (to.kind === 'queue') this.queues.add(to)
    else if (!this.visited.has(to)) {
      this.visited.add(to)
      open.push(to)
    }
  }

  private readonly readHeaders = (): FieldTable => {
    const { headerBuf, headerStart, headerEnd } = this.message
    this.headers ??= decodeProperties(headerBuf, headerStart + PROPERTIES_AT, headerEnd).headers ?? {}
    return this.headers
  }
}

function logIdsOf(queues: Set<Queue>): number[] {
  const ids: number[] = []
  for (const queue of queues) if (queue.logId !== 0) ids.push(queue.logId)
  return ids
}

function isSame(names: Buffer, buf: Buffer, start: number, end: number): boolean {
  if (names.length !== end - start) return false
  for (let i = 0; i < names.length; i++) if (names[i] !== buf[start + i]) return false
  return true
}
