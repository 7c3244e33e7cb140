// The methods of the per-message lane, by hand: read from a range into a reused object, written into a buffer at a
// position. They allocate nothing. basic-codec.test.ts proves that they agree with spec.ts.
import { isUtf8 } from 'node:buffer'
import { FRAME_END, FRAME_METHOD, ReplyCode } from './constants'
import { ConnectionError } from './errors'
import { M } from './spec'

export interface PublishArgs {
  exchangeStart: number // of the text; its length is the byte before
  exchangeEnd: number
  routingKeyStart: number
  routingKeyEnd: number
  mandatory: boolean
  immediate: boolean
}

/** reserved:u16 exchange:shortstr routing-key:shortstr bits(mandatory, immediate). Throws 502. */
export function readPublish(buf: Buffer, start: number, end: number, out: PublishArgs): void {
  const exchangeStart = start + 3
  if (exchangeStart > end) throw malformed('basic.publish', M.basicPublish)
  const exchangeEnd = exchangeStart + buf[start + 2]
  if (exchangeEnd >= end) throw malformed('basic.publish', M.basicPublish)
  const routingKeyStart = exchangeEnd + 1
  const routingKeyEnd = routingKeyStart + buf[exchangeEnd]
  if (routingKeyEnd + 1 !== end) throw malformed('basic.publish', M.basicPublish)
  if (!isText(buf, exchangeStart, routingKeyEnd))
    checkTexts(buf, exchangeStart, exchangeEnd, routingKeyStart, routingKeyEnd)
  const bits = buf[routingKeyEnd]
  out.exchangeStart = exchangeStart
  out.exchangeEnd = exchangeEnd
  out.routingKeyStart = routingKeyStart
  out.routingKeyEnd = routingKeyEnd
  out.mandatory = (bits & 1) !== 0
  out.immediate = (bits & 2) !== 0
}

/** ASCII throughout? The length between the two names may say no where they do not; a second look is cheap. */
function isText(buf: Buffer, start: number, end: number): boolean {
  let all = 0
  for (let i = start; i < end; i++) all |= buf[i]
  return all < 0x80
}

/** Names are text: two that differ in bytes that are none would be one name to the broker. */
function checkTexts(buf: Buffer, start: number, end: number, nextStart: number, nextEnd: number): void {
  if (isUtf8(buf.subarray(start, end)) && isUtf8(buf.subarray(nextStart, nextEnd))) return
  throw new ConnectionError(
    ReplyCode.SYNTAX_ERROR,
    'malformed basic.publish: a short string that is not UTF-8',
    M.basicPublish,
  )
}

export interface SettleArgs {
  deliveryTag: number
  multiple: boolean
  requeue: boolean
}

export function readAck(buf: Buffer, start: number, end: number, out: SettleArgs): void {
  if (end - start !== 9) throw malformed('basic.ack', M.basicAck)
  out.deliveryTag = readTag(buf, start)
  out.multiple = (buf[start + 8] & 1) !== 0
  out.requeue = false
}

export function readNack(buf: Buffer, start: number, end: number, out: SettleArgs): void {
  if (end - start !== 9) throw malformed('basic.nack', M.basicNack)
  out.deliveryTag = readTag(buf, start)
  out.multiple = (buf[start + 8] & 1) !== 0
  out.requeue = (buf[start + 8] & 2) !== 0
}

export function readReject(buf: Buffer, start: number, end: number, out: SettleArgs): void {
  if (end - start !== 9) throw malformed('basic.reject', M.basicReject)
  out.deliveryTag = readTag(buf, start)
  out.multiple = false
  out.requeue = (buf[start + 8] & 1) !== 0
}

/** A tag beyond 2^53 loses precision, and is no tag that was ever given out. */
function readTag(buf: Buffer, at: number): number {
  const high = ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]) >>> 0
  const low = ((buf[at + 4] << 24) | (buf[at + 5] << 16) | (buf[at + 6] << 8) | buf[at + 7]) >>> 0
  return high * 0x100000000 + low
}

/** A consumer tag is copied byte by byte: it is short. Then exchange and routing key (`namesLength` bytes with their lengths)
 *  and the frame end are the caller's to write. Returns the position behind what was written. */
export function writeDeliverPrefix(
  out: Buffer,
  at: number,
  channel: number,
  consumerTag: Buffer,
  deliveryTag: number,
  redelivered: boolean,
  namesLength: number,
): number {
  const tagLength = consumerTag.length
  at = writeHead(out, at, channel, 4 + 1 + tagLength + 9 + namesLength, M.basicDeliver)
  out[at++] = tagLength
  for (let i = 0; i < tagLength; i++) out[at++] = consumerTag[i]
  at = writeTag(out, at, deliveryTag)
  out[at] = redelivered ? 1 : 0
  return at + 1
}

/** As writeDeliverPrefix; `restLength` counts the names and the message-count behind them. */
export function writeGetOkPrefix(
  out: Buffer,
  at: number,
  channel: number,
  deliveryTag: number,
  redelivered: boolean,
  restLength: number,
): number {
  at = writeHead(out, at, channel, 4 + 9 + restLength, M.basicGetOk)
  at = writeTag(out, at, deliveryTag)
  out[at] = redelivered ? 1 : 0
  return at + 1
}

/** As writeDeliverPrefix. `replyText` is at most 255 bytes. */
export function writeReturnPrefix(
  out: Buffer,
  at: number,
  channel: number,
  replyCode: number,
  replyText: Buffer,
  namesLength: number,
): number {
  at = writeHead(out, at, channel, 4 + 2 + 1 + replyText.length + namesLength, M.basicReturn)
  out[at++] = replyCode >>> 8
  out[at++] = replyCode & 0xff
  out[at++] = replyText.length
  for (let i = 0; i < replyText.length; i++) out[at++] = replyText[i]
  return at
}

/** A whole frame of 21 bytes. */
export function writeAck(out: Buffer, at: number, channel: number, deliveryTag: number, multiple: boolean): number {
  at = writeTag(out, writeHead(out, at, channel, 13, M.basicAck), deliveryTag)
  out[at] = multiple ? 1 : 0
  out[at + 1] = FRAME_END
  return at + 2
}

/** A whole frame of 21 bytes; requeue is false, as a broker has nothing to requeue to a publisher. */
export function writeNack(out: Buffer, at: number, channel: number, deliveryTag: number, multiple: boolean): number {
  at = writeTag(out, writeHead(out, at, channel, 13, M.basicNack), deliveryTag)
  out[at] = multiple ? 1 : 0
  out[at + 1] = FRAME_END
  return at + 2
}

function writeHead(out: Buffer, at: number, channel: number, size: number, methodId: number): number {
  out[at] = FRAME_METHOD
  out[at + 1] = channel >>> 8
  out[at + 2] = channel & 0xff
  out[at + 3] = size >>> 24
  out[at + 4] = (size >>> 16) & 0xff
  out[at + 5] = (size >>> 8) & 0xff
  out[at + 6] = size & 0xff
  out[at + 7] = methodId >>> 24
  out[at + 8] = (methodId >>> 16) & 0xff
  out[at + 9] = (methodId >>> 8) & 0xff
  out[at + 10] = methodId & 0xff
  return at + 11
}

function writeTag(out: Buffer, at: number, tag: number): number {
  const high = Math.floor(tag / 0x100000000)
  const low = tag >>> 0
  out[at] = high >>> 24
  out[at + 1] = (high >>> 16) & 0xff
  out[at + 2] = (high >>> 8) & 0xff
  out[at + 3] = high & 0xff
  out[at + 4] = low >>> 24
  out[at + 5] = (low >>> 16) & 0xff
  out[at + 6] = (low >>> 8) & 0xff
  out[at + 7] = low & 0xff
  return at + 8
}

function malformed(name: string, id: number): ConnectionError {
  return new ConnectionError(ReplyCode.SYNTAX_ERROR, `malformed ${name}: its arguments do not fill the frame`, id)
}
