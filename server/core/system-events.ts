// What happens in the broker, and what it logs, as messages for whoever binds a queue: the exchanges amq.rabbitmq.event (keys as
// "queue.created", all that is known in the headers, no body) and amq.rabbitmq.log (key: the level) of the default vhost. While
// nothing is bound, an event costs a look at that. RabbitMQ docs "Event Exchange Plugin", "Logging to System Topics".
//
// Events leave at the end of the turn: what they are about is done by then, and their own way through bindings and queues cannot
// get into its way. Called by vhost.ts, declarations.ts, server/net and the logger that broker.ts builds.
import { type FieldTable, Typed } from '../../protocol/field-table'
import { encodeProperties } from '../../protocol/properties'
import type { IncomingMessage } from '../../storage/message-store'
import { madeMessage } from './made-message'
import type { Vhost } from './vhost'

export const EVENT_EXCHANGE = 'amq.rabbitmq.event'
export const LOG_EXCHANGE = 'amq.rabbitmq.log'

/** Who acts when no user does, in RabbitMQ's words. */
const INTERNAL_USER = 'rmq-internal'
const PERSISTENT = 2
/** Of one turn; what is beyond is not told. A broker that logs a failing disk must not fill its memory with it. */
const PENDING_MAX = 10_000

interface EventSurroundings {
  readonly nodeName: string
  now(): number
  /** The vhost whose exchanges tell of events; undefined while the broker starts. */
  vhost(): Vhost | undefined
  requestTurn(): void
}

export class SystemEvents {
  private pending: { exchange: string; message: IncomingMessage }[] = []
  private actor = INTERNAL_USER
  /** What publishing events brings about is not told: it would never end. */
  private isPublishing = false

  constructor(private readonly around: EventSurroundings) {}

  /** Events of `work` name this user. */
  as<T>(user: string, work: () => T): T {
    const before = this.actor
    this.actor = user
    try {
      return work()
    } finally {
      this.actor = before
    }
  }

  /** `describe` is called only when somebody listens. */
  emit(key: string, describe: () => FieldTable): void {
    if (!this.isHeard(EVENT_EXCHANGE)) return
    const ms = this.around.now()
    const headers = {
      ...describe(),
      user_who_performed_action: this.actor,
      timestamp_in_ms: new Typed('l', ms),
    }
    const properties = { headers, deliveryMode: PERSISTENT, timestamp: Math.floor(ms / 1000) }
    this.add(EVENT_EXCHANGE, key, encodeProperties(properties), Buffer.alloc(0))
  }

  /** A line of the log, without its time and level. */
  log(level: string, text: () => string): void {
    if (!this.isHeard(LOG_EXCHANGE)) return
    const timestamp = Math.floor(this.around.now() / 1000)
    const properties = { contentType: 'text/plain', headers: { node: this.around.nodeName }, timestamp }
    this.add(LOG_EXCHANGE, level, encodeProperties(properties), Buffer.from(text()))
  }

  private isHeard(exchange: string): boolean {
    if (this.isPublishing) return false
    const vhost = this.around.vhost()
    if (vhost === undefined || vhost.journal.isRestoring) return false
    return (vhost.exchanges.get(exchange)?.bindings.size ?? 0) > 0
  }

  private add(exchange: string, key: string, properties: Buffer, body: Buffer): void {
    if (this.pending.length >= PENDING_MAX) return
    this.pending.push({ exchange, message: madeMessage(exchange, key, properties, body) })
    this.around.requestTurn()
  }

  /** At the end of a turn. */
  publish(): void {
    if (this.pending.length === 0) return
    const { pending } = this
    this.pending = []
    this.isPublishing = true
    try {
      for (const { exchange, message } of pending) this.around.vhost()?.publishing.publishOwn(exchange, message)
    } finally {
      this.isPublishing = false
    }
  }
}
