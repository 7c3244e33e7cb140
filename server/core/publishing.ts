// The way of messages through a vhost: routed, offered to the gates they pass, stored once, their tickets pushed to the queues.
// A client's publish comes this way, and so does what an exchange had kept and what a queue gives up. One per vhost.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { deliveryModeOf } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import type { Destination } from './binding'
import { type DeathReason, deadLetterOf, isCycle } from './dead-letter'
import type { Discards } from './discards'
import type { Exchange } from './exchange'
import { Firehose, TRACE_EXCHANGE } from './firehose'
import { expirationOf } from './publish-claims'
import type { Queue } from './queue'
import { PROPERTIES_AT } from './routed-message'
import { type Gated, logIdsOf, type Route } from './router'
import type { Session } from './session'
import { Stream } from './stream'
import type { Vhost } from './vhost'

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

export class Publishing {
  /** On while somebody traces the vhost's messages. */
  firehose: Firehose | null = null
  /** Since some queue got a limit at which it refuses messages; then each message asks its queues. */
  private mayRefuse = false
  /** Their turn to drop messages comes when the message that was too much is stored. */
  private readonly overfull: Discards[] = []
  private isDropping = false
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(private readonly vhost: Vhost) {}

  // -- per message ----------------------------------------------------------------------------------------------------

  /** Throws 403 or 404 as ChannelError. `session` null: the broker itself publishes. */
  publish(session: Session | null, m: IncomingMessage, channelNumber = 0): Outcome {
    const { vhost } = this
    const route = vhost.router.route(m)
    const { exchange, queues, logIds } = route
    if (session !== null) this.check(session, exchange)
    vhost.counters.publish++
    vhost.surroundings.counters.publish++
    exchange.publishIn++
    if (this.firehose !== null) this.tell(this.firehose, session, channelNumber, m, route)
    if (route.gated !== null) return this.publishGated(route, route.gated, m)
    const count = queues.length
    if (count === 0) return UNROUTABLE
    exchange.publishOut += count
    return this.store(m, queues, logIds)
  }

  /** The message into the queues: ROUTED, LOGGED or REFUSED. */
  private store(m: IncomingMessage, queues: readonly Queue[], logIds: readonly number[]): Outcome {
    if (this.mayRefuse && this.isRefused(m, queues)) return this.storeWhereRoom(m, queues)
    return this.storeIn(m, queues, logIds)
  }

  private storeIn(m: IncomingMessage, queues: readonly Queue[], logIds: readonly number[]): Outcome {
    const count = queues.length
    const { journal } = this.vhost
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
    return isLogged ? LOGGED : ROUTED
  }

  private publishGated({ exchange, queues, logIds }: Route, gated: Gated, m: IncomingMessage): Outcome {
    const isTaken = queues.length > 0 || gated.isTaken
    let isLogged = false
    for (const gate of gated.gates) if (gate.onPublish(m, gated.message, isTaken)) isLogged = true
    exchange.publishOut += queues.length + gated.streams.length
    const outcome = queues.length > 0 ? this.store(m, queues, logIds) : ROUTED
    if (outcome === REFUSED) return REFUSED
    if (outcome === LOGGED) isLogged = true
    if (!isTaken) return isLogged ? UNROUTABLE_LOGGED : UNROUTABLE
    return isLogged ? LOGGED : ROUTED
  }

  private check(session: Session, exchange: Exchange): void {
    session.authorizePublish(exchange.name)
    if (!exchange.internal) return
    const text = `cannot publish to internal exchange '${exchange.name}' in vhost '${this.vhost.name}'`
    throw new ChannelError(ReplyCode.ACCESS_REFUSED, text)
  }

  /** Refuses as `publish` would, for a transaction that publishes at its commit. */
  refuse(session: Session, m: IncomingMessage): void {
    this.check(session, this.vhost.router.check(m))
  }

  // -- what was kept --------------------------------------------------------------------------------------------------

  /** Routes what an exchange had kept on to a queue, or through another exchange. */
  deliver(m: IncomingMessage, to: Destination): void {
    if (to instanceof Stream) to.onPublish(m)
    else if (to.kind === 'queue') this.store(m, [to], to.logId === 0 ? [] : [to.logId])
    else this.storeRouted(this.vhost.router.routeFrom(to, m), m)
  }

  /** Routes what the exchange had kept, as if it had just come. */
  release(m: IncomingMessage, exchange: string, furtherKeys: readonly string[]): void {
    const from = this.vhost.exchanges.get(exchange)
    if (from === undefined) return
    const route = this.vhost.router.routeReleased(from, m, furtherKeys)
    from.publishOut += route.queues.length + (route.gated?.streams.length ?? 0)
    this.storeRouted(route, m)
  }

  private storeRouted({ queues, logIds, gated }: Route, m: IncomingMessage): void {
    const isTaken = queues.length > 0 || gated?.isTaken === true
    if (gated !== null) for (const gate of gated.gates) gate.onPublish(m, gated.message, isTaken)
    if (queues.length > 0) this.store(m, queues, logIds)
    else if (!isTaken) {
      this.vhost.counters.dropUnroutable++
      this.vhost.surroundings.counters.dropUnroutable++
    }
  }

  // -- what is too much -----------------------------------------------------------------------------------------------

  /** A queue has got a limit at which it refuses messages. */
  askQueues(): void {
    this.mayRefuse = true
  }

  private isRefused(m: IncomingMessage, queues: readonly Queue[]): boolean {
    const bodyBytes = m.bodyEnd - m.bodyStart
    for (let i = 0; i < queues.length; i++) {
      const { discards } = queues[i]
      if (!discards.refuses(bodyBytes)) continue
      // What came before it in this turn may still be waiting for the turn's end, and consumers for it.
      queues[i].handOutEarly(this.range)
      if (discards.refuses(bodyBytes)) return true
    }
    return false
  }

  /** Into those queues that are not full. */
  private storeWhereRoom(m: IncomingMessage, queues: readonly Queue[]): Outcome {
    const full = queues.filter((queue) => this.isRefused(m, [queue]))
    for (const queue of full) if (queue.settings.overflow === 'reject-publish-dlx') this.deadLetter(queue, m, 'maxlen')
    const takers = queues.filter((queue) => !full.includes(queue))
    if (takers.length > 0) this.storeIn(m, takers, logIdsOf(takers))
    return REFUSED
  }

  /** The queue holds more than it may. */
  onOverfull(discards: Discards): void {
    this.overfull.push(discards)
  }

  /** One after the other: what one drops may fill the next. */
  private dropOverflow(): void {
    if (this.isDropping) return
    this.isDropping = true
    for (let next = this.overfull.pop(); next !== undefined; next = this.overfull.pop()) next.dropOverflow(this.range)
    this.isDropping = false
  }

  /** Sends a message that the queue gives up to where its settings say; the caller settles it then. false: nobody can take it now, and
   *  it is to be kept. */
  deadLetter({ name, settings }: Queue, m: IncomingMessage, reason: DeathReason): boolean {
    const { deadLetterExchange, deadLetterKey: routingKey, keepsDeadLetters } = settings
    const exchange = this.vhost.exchanges.get(deadLetterExchange ?? '')
    if (deadLetterExchange === null) return true
    if (exchange === undefined) return !keepsDeadLetters
    const nowMs = this.vhost.clock.now()
    const { message, deaths } = deadLetterOf(m, {
      queue: name,
      reason,
      nowMs,
      exchange: deadLetterExchange,
      routingKey,
    })
    const route = this.vhost.router.routeFrom(exchange, message)
    const queues = route.queues.filter((queue) => !isCycle(queue.name, deaths))
    const isCycleOnly = queues.length === 0 && route.queues.length > 0
    if (keepsDeadLetters && !isCycleOnly && !canBeTaken(message, queues, route.gated)) return false
    exchange.publishIn++
    exchange.publishOut += queues.length
    this.storeRouted({ ...route, queues, logIds: logIdsOf(queues) }, message)
    return true
  }

  // -- what the broker itself has to say ------------------------------------------------------------------------------

  trace(isOn: boolean): void {
    const { surroundings, name } = this.vhost
    const publish = (copy: IncomingMessage) => this.publishOwn(TRACE_EXCHANGE, copy)
    this.firehose = isOn ? new Firehose(surroundings.nodeName, name, publish) : null
  }

  private tell(firehose: Firehose, session: Session | null, channelNumber: number, m: IncomingMessage, route: Route) {
    const peer = { connectionName: session?.connectionName ?? '', user: session?.user.name ?? '', channelNumber }
    firehose.onPublish(peer, m, route.furtherKeys, [...route.queues, ...(route.gated?.streams ?? [])])
  }

  /** Not counted, nor traced, nor looked at by gates. */
  publishOwn(exchange: string, m: IncomingMessage): void {
    const from = this.vhost.exchanges.get(exchange)
    if (from === undefined || from.bindings.size === 0) return
    const { queues, logIds, gated } = this.vhost.router.routeFrom(from, m)
    for (const stream of gated?.streams ?? []) stream.onPublish(m)
    if (queues.length > 0) this.store(m, queues, logIds)
  }
}

function canBeTaken(m: IncomingMessage, queues: readonly Queue[], gated: Gated | null): boolean {
  const bodyBytes = m.bodyEnd - m.bodyStart
  return gated?.isTaken === true || queues.some((queue) => !queue.discards.refuses(bodyBytes))
}
