// What a publisher claims in properties and RabbitMQ verifies: that user-id is the user, that expiration is a number of
// milliseconds. Two flag bits say that there is nothing to check, which is the common case.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { decodeProperties, locateProperty } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'

const FLAG_EXPIRATION = 0x0100
const FLAG_USER_ID = 0x0010
/** Content header: class 2, weight 2, body size 8, then the properties. */
const PROPERTIES_AT = 12

/** Throws 406. On the per-message lane. */
export function checkClaims(m: IncomingMessage, user: string): void {
  const at = m.headerStart + PROPERTIES_AT
  const flags = (m.headerBuf[at] << 8) | m.headerBuf[at + 1]
  if ((flags & (FLAG_EXPIRATION | FLAG_USER_ID)) !== 0) check(m, user)
}

function check(m: IncomingMessage, user: string): void {
  const { userId, expiration } = decodeProperties(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd)
  if (userId !== undefined && userId !== user) {
    throw refused(`user_id property set to '${userId}' but authenticated user was '${user}'`)
  }
  if (expiration !== undefined) checkExpiration(expiration)
}

function checkExpiration(text: string): void {
  const [, digits = '', rest = ''] = /^([+-]?\d*)([\s\S]*)$/.exec(text) as RegExpExecArray
  if (!/\d/.test(digits)) throw refused(`invalid expiration '${text}': no_integer`)
  if (rest !== '') throw refused(`invalid expiration '${text}': {leftover_string,"${rest}"}`)
  if (Number(digits) < 0) throw refused(`invalid expiration '${text}': {value_negative,${Number(digits)}}`)
}

function refused(text: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}

const NO_EXPIRATION = -1
const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

/** The message's own TTL, ms; -1: it has none. On the per-message lane. */
export function expirationOf(m: IncomingMessage): number {
  const at = m.headerStart + PROPERTIES_AT
  if ((m.headerBuf[at] & (FLAG_EXPIRATION >> 8)) === 0) return NO_EXPIRATION
  locateProperty(m.headerBuf, at, m.headerEnd, FLAG_EXPIRATION, range)
  return Number(m.headerBuf.toString('latin1', range.start, range.end))
}
