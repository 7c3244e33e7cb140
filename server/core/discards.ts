// What a queue gives up of its own accord: messages whose time has come, that are too many, or that were refused for good. They
// go to the dead-letter exchange where there is one, as many in a turn as does no harm to others. Owned by one queue.
import type { ByteRange } from '../../storage/message-store'
import { storedBodyLength } from '../../storage/segment'
import type { Ticket } from './core-api'
import type { DeathReason } from './dead-letter'
import { Expiry } from './expiry'
import type { Queue } from './queue'
import { NO_SETTINGS, type QueueSettings } from './queue-settings'
import { asIncoming } from './shelf'
import { UntakenLetters } from './untaken'
import type { VhostContext } from './vhost'
import type { WaitingMessages } from './waiting'

/** Messages sent on, or dropped, in one turn. */
const PER_TURN = 1024
/** With more that have expired and are not sent on yet, the queue hands out nothing: the next might have expired as well. */
const LEAVING_MAX = 16_384

/** A message that is no longer the queue's to hand out. */
interface Leaving {
  ticket: Ticket
  reason: DeathReason
  /** Its bytes are in `readyBytes`: how many is known when they are in memory. */
  isCounted: boolean
}

export class Discards {
  /** What comes in concerns us. */
  isWatching = false
  /** Of messages with a TTL; null: there never was one. */
  expiry: Expiry | null = null
  private leaving: Leaving[] = []
  /** null: there never was one. */
  private untaken: UntakenLetters | null = null
  private current = NO_SETTINGS
  private limitsLength = false

  constructor(
    private readonly queue: Queue,
    private readonly waiting: WaitingMessages,
    private readonly context: VhostContext,
  ) {}

  get settings(): QueueSettings {
    return this.current
  }

  set settings(settings: QueueSettings) {
    this.current = settings
    const { maxLength, maxBytes, messageTtl } = settings
    this.limitsLength = maxLength !== Number.POSITIVE_INFINITY || maxBytes !== Number.POSITIVE_INFINITY
    this.isWatching = this.limitsLength || messageTtl !== -1
    if (settings.overflow !== 'drop-head') this.context.publishing.askQueues()
    if (this.isOverfull) this.queue.markDirty()
  }

  /** A message came; `expiration` is its own, ms, -1: none. */
  onPush(ticket: Ticket, expiration: number): void {
    this.setDue(ticket, this.context.clock.now(), expiration)
    // With consumers, the end of the turn drops what they could not take.
    if (this.queue.consumers.length === 0 && this.isOverfull) this.context.publishing.onOverfull(this)
  }

  setDue(ticket: Ticket, publishedMs: number, expiration: number): void {
    const { messageTtl } = this.current
    const isLower = messageTtl !== -1 && (expiration === -1 || messageTtl < expiration)
    const ttl = isLower ? messageTtl : expiration
    if (ttl === -1) return
    this.expiry ??= new Expiry(this.context.clock, this.waiting, () => this.queue.markDirty())
    this.expiry.add(publishedMs + ttl, ticket)
  }

  get hasLeaving(): boolean {
    return this.leaving.length > 0
  }

  /** A message that was unacked is not handed out again. */
  refuse(ticket: Ticket, reason: DeathReason): void {
    if (this.current.deadLetterExchange === null || this.queue.isDeleted) return this.settle(ticket)
    this.leaving.push({ ticket, reason, isCounted: false })
    this.queue.markDirty()
  }

  /** Dead letters that nobody could take so far. */
  get untakenCount(): number {
    return this.untaken?.count ?? 0
  }

  private retryUntaken(): void {
    for (const { ticket, reason } of this.untaken?.take(PER_TURN) ?? []) {
      this.leaving.push({ ticket, reason, isCounted: false })
    }
    this.untaken?.retryLater()
    this.queue.markDirty()
  }

  /** After everything was handed out that could be. */
  endTurn(range: ByteRange): void {
    this.expire(this.context.now)
    if (this.limitsLength) this.dropOverflow(range)
    if (this.leaving.length > 0) this.sendLeaving(range)
  }

  /** Those whose time has come wait no longer, and are sent on at the end of a turn. false: there are more, with `most` already
   *  leaving. */
  expire(now: number, most = LEAVING_MAX): boolean {
    const { expiry, queue, leaving } = this
    if (expiry === null) return true
    for (let ticket = expiry.firstDue(now); ticket !== null; ticket = expiry.firstDue(now)) {
      if (leaving.length >= most) return false
      this.waiting.remove(ticket)
      leaving.push({ ticket, reason: 'expired', isCounted: true })
    }
    expiry.tidy(queue.readyCount + queue.unackedCount)
    expiry.arm()
    return true
  }

  private get isOverfull(): boolean {
    return this.queue.readyCount > this.current.maxLength || this.queue.readyBytes > this.current.maxBytes
  }

  /** Takes no more, and says so to publishers. */
  refuses(bodyBytes: number): boolean {
    const { overflow, maxLength, maxBytes } = this.current
    if (overflow === 'drop-head') return false
    const bytes = this.queue.readyBytes + (this.untaken?.bodyBytes ?? 0)
    return this.queue.readyCount + this.untakenCount >= maxLength || bytes + bodyBytes > maxBytes
  }

  /** Gives up the oldest until what waits is within the limits. */
  dropOverflow(range: ByteRange): void {
    if (this.current.overflow !== 'drop-head') return
    for (let count = 0; this.waiting.length > 0 && this.isOverfull; count++) {
      if (count === PER_TURN) return this.queue.markDirty()
      const ticket = this.waiting.least
      if (!this.locate(ticket, range)) return
      this.waiting.shiftLeast()
      this.sendOn({ ticket, reason: 'maxlen', isCounted: true }, range)
    }
  }

  private sendLeaving(range: ByteRange): void {
    const { leaving } = this
    let next = 0
    while (next < leaving.length && next < PER_TURN && this.locate(leaving[next].ticket, range)) {
      this.sendOn(leaving[next++], range)
    }
    leaving.splice(0, next)
    if (next === PER_TURN) this.queue.markDirty()
  }

  /** false: the bytes are on their way, and the queue's turn comes again when they are there. */
  private locate(ticket: Ticket, range: ByteRange): boolean {
    if (this.context.journal.store.locate(ticket, range)) return true
    this.context.awaitLoad(this.queue, ticket)
    return false
  }

  /** Its bytes are in `range`. */
  private sendOn({ ticket, reason, isCounted }: Leaving, range: ByteRange): void {
    const bodyBytes = storedBodyLength(range.buf, range.start)
    if (isCounted) this.queue.readyBytes -= bodyBytes
    if (this.current.deadLetterExchange === null) return this.settle(ticket)
    if (!this.context.publishing.deadLetter(this.queue, asIncoming(range), reason)) {
      this.untaken ??= new UntakenLetters(this.context.clock, () => this.retryUntaken())
      this.untaken.add({ ticket, reason, bodyBytes })
      return
    }
    this.context.journal.settleMoved(ticket, this.queue.logId)
  }

  private settle(ticket: Ticket): void {
    this.context.journal.settle(ticket, this.queue.logId)
  }

  /** What the queue's `readyBytes` counted of ours is counted no more. */
  onPurged(): void {
    for (const message of this.leaving) message.isCounted = false
  }

  /** The queue is deleted: nobody waits for dead letters of it any more. */
  close(): void {
    for (const { ticket } of this.leaving.splice(0)) this.settle(ticket)
    for (const { ticket } of this.untaken?.take(Number.POSITIVE_INFINITY) ?? []) this.settle(ticket)
    this.stop()
  }

  stop(): void {
    this.expiry?.stop()
    this.untaken?.stop()
  }

  get heldBytes(): number {
    return (this.expiry?.heldBytes ?? 0) + this.leaving.length * 40 + (this.untaken?.heldBytes ?? 0)
  }
}
