// Direct reply-to: a requester takes its answers under a name made for it, without a queue. It consumes from the pseudo-queue
// amq.rabbitmq.reply-to and publishes with that name as reply-to, which becomes its own; a publish to that own name through the
// default exchange goes straight to its channel. Nothing is stored. RabbitMQ docs "Direct Reply-to".
import { randomBytes } from 'node:crypto'
import { FLAG_REPLY_TO, locateProperty, propertyFlags } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { PROPERTIES_AT } from './routed-message'

export const REPLY_TO = 'amq.rabbitmq.reply-to'
const REPLY_TO_BYTES = Buffer.from(REPLY_TO)
const OWN_NAME = `${REPLY_TO}.`

/** Who waits for answers; a channel of server/net. */
export interface Requester {
  /** false: an answer would have nowhere to go, and counts as unroutable. */
  readonly isReachable: boolean
  /** Writes the answer out. Within a turn. Always false: nothing of it is logged. */
  onPublish(m: IncomingMessage): boolean
}

/** The requesters of a vhost, by the names made for them. */
export class Requesters {
  private readonly byName = new Map<string, Requester>()

  /** Returns the name: who knows it may answer, so it cannot be guessed. */
  add(requester: Requester): string {
    const name = OWN_NAME + randomBytes(18).toString('base64url')
    this.byName.set(name, requester)
    return name
  }

  remove(name: string): void {
    this.byName.delete(name)
  }

  isOwnName(key: string): boolean {
    return key.startsWith(OWN_NAME)
  }

  /** Whether a queue.declare of this name is about a requester, or about the pseudo-queue itself. */
  has(name: string): boolean {
    return name === REPLY_TO || this.byName.has(name)
  }

  reachable(name: string): Requester | undefined {
    const requester = this.byName.get(name)
    return requester?.isReachable ? requester : undefined
  }
}

/** The message asks for direct answers. On the per-message lane. */
export function asksForReplies(m: IncomingMessage): boolean {
  if ((propertyFlags(m.headerBuf, m.headerStart + PROPERTIES_AT) & FLAG_REPLY_TO) === 0) return false
  const range = replyToOf(m)
  return (
    range.end - range.start === REPLY_TO_BYTES.length &&
    m.headerBuf.compare(REPLY_TO_BYTES, 0, REPLY_TO_BYTES.length, range.start, range.end) === 0
  )
}

/** Puts the requester's own name where `asksForReplies` found the pseudo-queue's. */
export function setReplyTo(m: IncomingMessage, name: string): void {
  const range = replyToOf(m)
  const bytes = Buffer.from(name)
  m.headerBuf = Buffer.concat([
    m.headerBuf.subarray(m.headerStart, range.start - 1),
    Buffer.from([bytes.length]),
    bytes,
    m.headerBuf.subarray(range.end, m.headerEnd),
  ])
  m.headerStart = 0
  m.headerEnd = m.headerBuf.length
}

function replyToOf(m: IncomingMessage): ByteRange {
  const range: ByteRange = { buf: m.headerBuf, start: 0, end: 0 }
  locateProperty(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd, FLAG_REPLY_TO, range)
  return range
}
