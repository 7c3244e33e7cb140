// Stored messages onto the wire: basic.deliver, basic.get-ok, basic.return and the frames behind them. A stored message
// already has its names and frames as a delivery needs them (storage/segment.ts): they are copied and their channel numbers
// patched. Only a body over the receiver's frame-max is split anew. Hot.
import { writeDeliverPrefix, writeGetOkPrefix, writeReturnPrefix } from '../../protocol/basic-codec'
import { copyBytes, readWord } from '../../storage/bytes'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { STORED_TAIL_BYTES, storedNamesEnd } from '../../storage/segment'
import type { OutBuffer } from './out-buffer'

const FRAME_END = 0xce
const FRAME_OVERHEAD = 8
/** Stored frames up to so many bytes are copied in one piece, larger ones spread over blocks. */
const ONE_PIECE_BYTES_MAX = 32 * 1024
/** For one piece with its names. */
const ROOM_MAX = ONE_PIECE_BYTES_MAX + 1024
const METHOD_ROOM = 64 // frame, ids, tags and flags of any of the three methods; a consumer tag comes on top
const NO_ROUTE = 312
const NO_ROUTE_TEXT = Buffer.from('NO_ROUTE')

/** Returns the length of the body. */
export function writeDelivery(
  out: OutBuffer,
  channel: number,
  frameMax: number,
  consumerTag: Buffer,
  deliveryTag: number,
  redelivered: boolean,
  stored: ByteRange,
): number {
  const { buf, start, end } = stored
  const namesEnd = storedNamesEnd(buf, start)
  out.reserve(METHOD_ROOM + consumerTag.length + Math.min(end - start, ROOM_MAX))
  out.at = writeDeliverPrefix(out.buf, out.at, channel, consumerTag, deliveryTag, redelivered, namesEnd - start)
  out.copy(buf, start, namesEnd)
  out.buf[out.at++] = FRAME_END
  return writeContent(out, channel, frameMax, buf, namesEnd + STORED_TAIL_BYTES, end)
}

/** basic.get-ok; `remaining` is what the queue still holds ready. */
export function writeGetOk(
  out: OutBuffer,
  channel: number,
  frameMax: number,
  deliveryTag: number,
  redelivered: boolean,
  remaining: number,
  stored: ByteRange,
): number {
  const { buf, start, end } = stored
  const namesEnd = storedNamesEnd(buf, start)
  out.reserve(METHOD_ROOM + Math.min(end - start, ROOM_MAX))
  let at = writeGetOkPrefix(out.buf, out.at, channel, deliveryTag, redelivered, namesEnd - start + 4)
  at = copyBytes(buf, start, namesEnd, out.buf, at)
  at = out.buf.writeUInt32BE(remaining, at)
  out.buf[at] = FRAME_END
  out.at = at + 1
  return writeContent(out, channel, frameMax, buf, namesEnd + STORED_TAIL_BYTES, end)
}

/** basic.return 312 NO_ROUTE of a message that was not stored. */
export function writeReturn(out: OutBuffer, channel: number, frameMax: number, m: IncomingMessage): void {
  const names = m.namesEnd - m.namesStart
  out.reserve(METHOD_ROOM + names)
  out.at = writeReturnPrefix(out.buf, out.at, channel, NO_ROUTE, NO_ROUTE_TEXT, names)
  writeIncoming(out, channel, frameMax, m)
}

/** basic.deliver of a message that is not stored. */
export function writeUnstored(
  out: OutBuffer,
  channel: number,
  frameMax: number,
  consumerTag: Buffer,
  deliveryTag: number,
  m: IncomingMessage,
): void {
  const names = m.namesEnd - m.namesStart
  out.reserve(METHOD_ROOM + consumerTag.length + names)
  out.at = writeDeliverPrefix(out.buf, out.at, channel, consumerTag, deliveryTag, false, names)
  writeIncoming(out, channel, frameMax, m)
}

/** The names, which end a method, and the frames behind it. */
function writeIncoming(out: OutBuffer, channel: number, frameMax: number, m: IncomingMessage): void {
  out.reserve(m.namesEnd - m.namesStart + 1)
  const at = copyBytes(m.namesBuf, m.namesStart, m.namesEnd, out.buf, out.at)
  out.buf[at] = FRAME_END
  out.at = at + 1
  writeFrame(out, 2, channel, m.headerBuf, m.headerStart, m.headerEnd)
  writeBody(out, channel, frameMax, m.bodyBuf, m.bodyStart, m.bodyEnd)
}

/** Header frame and body frame as stored, at buf[headerAt, end). Returns the length of the body. */
function writeContent(
  out: OutBuffer,
  channel: number,
  frameMax: number,
  buf: Buffer,
  headerAt: number,
  end: number,
): number {
  const headerEnd = headerAt + FRAME_OVERHEAD + readWord(buf, headerAt + 3)
  const bodyLength = headerEnd === end ? 0 : end - headerEnd - FRAME_OVERHEAD
  if (bodyLength + FRAME_OVERHEAD > frameMax || end - headerAt > ONE_PIECE_BYTES_MAX) {
    writeFrame(out, 2, channel, buf, headerAt + 7, headerEnd - 1)
    writeBody(out, channel, frameMax, buf, headerEnd + 7, end - 1)
    return bodyLength
  }
  const at = out.at
  out.copy(buf, headerAt, end)
  patchChannel(out.buf, at, channel)
  if (bodyLength !== 0) patchChannel(out.buf, at + headerEnd - headerAt, channel)
  return bodyLength
}

function writeBody(out: OutBuffer, channel: number, frameMax: number, buf: Buffer, start: number, end: number): void {
  const payloadMax = frameMax - FRAME_OVERHEAD
  for (let from = start; from < end; from += payloadMax) {
    writeFrame(out, 3, channel, buf, from, Math.min(end, from + payloadMax))
  }
}

function writeFrame(out: OutBuffer, type: number, channel: number, buf: Buffer, start: number, end: number): void {
  out.reserve(7)
  out.buf[out.at] = type
  patchChannel(out.buf, out.at, channel)
  out.buf.writeUInt32BE(end - start, out.at + 3)
  out.at += 7
  out.spread(buf, start, end)
  out.reserve(1)
  out.buf[out.at++] = FRAME_END
}

function patchChannel(out: Buffer, frameAt: number, channel: number): void {
  out[frameAt + 1] = channel >>> 8
  out[frameAt + 2] = channel & 0xff
}
