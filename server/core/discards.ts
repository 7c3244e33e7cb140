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
import type { VhostContext } from './vhost'
import type { Waiting } from './waiting'

/** Messages given up in one turn for one reason. */
const PER_TURN = 1024

export class Discards {
  /** What comes in concerns us. */
  isWatching = false
  /** Of messages with a TTL; null: there never was one. */
  expiry: Expiry | null = null
  /** For the dead-letter exchange. */
  private rejected: Ticket[] = []
  private current = NO_SETTINGS
  private limitsLength = false

  constructor(
    private readonly queue: Queue,
    private readonly waiting: Waiting,
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

  /** An unacked message was refused for good. */
  reject(ticket: Ticket): void {
    if (this.current.deadLetterExchange === null || this.queue.isDeleted) return this.settle(ticket)
    this.rejected.push(ticket)
    this.queue.markDirty()
  }

  /** After everything was handed out that could be. */
  endTurn(range: ByteRange): void {
    this.expire(range, this.context.now)
    if (this.limitsLength) this.dropOverflow(range)
    if (this.rejected.length > 0) this.sendRejected(range)
  }

  /** Gives up those whose time has come. Their bytes may have to come back first: another turn goes on then. */
  expire(range: ByteRange, now: number): void {
    const { expiry, queue } = this
    if (expiry === null) return
    for (let count = 0; ; count++) {
      const ticket = expiry.firstDue(now)
      if (ticket === null) break
      if (count === PER_TURN) return queue.markDirty()
      if (!this.locate(ticket, range)) return
      this.waiting.remove(ticket)
      this.giveUp(ticket, 'expired', range)
    }
    expiry.tidy(queue.readyCount + queue.unackedCount)
    expiry.arm()
  }

  private get isOverfull(): boolean {
    return this.queue.readyCount > this.current.maxLength || this.queue.readyBytes > this.current.maxBytes
  }

  /** Takes no more, and says so to publishers. */
  refuses(bodyBytes: number): boolean {
    const { overflow, maxLength, maxBytes } = this.current
    if (overflow === 'drop-head') return false
    return this.queue.readyCount >= maxLength || this.queue.readyBytes + bodyBytes > maxBytes
  }

  /** Gives up the oldest until what waits is within the limits. */
  dropOverflow(range: ByteRange): void {
    if (this.current.overflow !== 'drop-head') return
    for (let count = 0; this.waiting.length > 0 && this.isOverfull; count++) {
      if (count === PER_TURN) return this.queue.markDirty()
      const ticket = this.waiting.head
      if (!this.locate(ticket, range)) return
      this.waiting.shift()
      this.giveUp(ticket, 'maxlen', range)
    }
  }

  private sendRejected(range: ByteRange): void {
    const { rejected } = this
    let next = 0
    while (next < rejected.length && next < PER_TURN && this.locate(rejected[next], range)) {
      this.sendOn(rejected[next++], 'rejected', range)
    }
    this.rejected = rejected.slice(next)
    if (next === PER_TURN) this.queue.markDirty()
  }

  /** false: the bytes are on their way, and the queue's turn comes again when they are there. */
  private locate(ticket: Ticket, range: ByteRange): boolean {
    if (this.context.journal.store.locate(ticket, range)) return true
    this.context.awaitLoad(this.queue, ticket)
    return false
  }

  /** One that waited; its bytes are in `range`. */
  private giveUp(ticket: Ticket, reason: DeathReason, range: ByteRange): void {
    this.queue.readyBytes -= storedBodyLength(range.buf, range.start)
    this.sendOn(ticket, reason, range)
  }

  private sendOn(ticket: Ticket, reason: DeathReason, range: ByteRange): void {
    if (this.current.deadLetterExchange === null) return this.settle(ticket)
    this.context.publishing.deadLetter(this.queue, asIncoming(range), reason)
    this.context.journal.settleMoved(ticket, this.queue.logId)
  }

  private settle(ticket: Ticket): void {
    this.context.journal.settle(ticket, this.queue.logId)
  }

  /** The queue is deleted: nobody waits for dead letters of it any more. */
  close(): void {
    for (const ticket of this.rejected.splice(0)) this.settle(ticket)
    this.stop()
  }

  stop(): void {
    this.expiry?.stop()
  }

  get heldBytes(): number {
    return (this.expiry?.heldBytes ?? 0) + this.rejected.length * 8
  }
}
