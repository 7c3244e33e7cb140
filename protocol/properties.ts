// Content properties of class basic: a word of flags, then the values of those present, in order. 0-9-1 §4.2.6.1.
// Messages travel with these bytes untouched; on the per-message lane single properties are found by their flag bits.
import type { ByteRange } from './byte-range'
import { ReplyCode } from './constants'
import { ConnectionError } from './errors'
import { decodeTable, encodeTable, type FieldTable } from './field-table'
import { validateTable } from './field-walk'

export interface Properties {
  contentType?: string
  contentEncoding?: string
  headers?: FieldTable
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string
  timestamp?: number // seconds; rounded beyond 2^53
  type?: string
  userId?: string
  appId?: string
  clusterId?: string
}

type Kind = 'shortstr' | 'table' | 'octet' | 'timestamp'

/** In wire order; the first has flag bit 15. */
const LAYOUT: readonly (readonly [name: keyof Properties, kind: Kind])[] = [
  ['contentType', 'shortstr'],
  ['contentEncoding', 'shortstr'],
  ['headers', 'table'],
  ['deliveryMode', 'octet'],
  ['priority', 'octet'],
  ['correlationId', 'shortstr'],
  ['replyTo', 'shortstr'],
  ['expiration', 'shortstr'],
  ['messageId', 'shortstr'],
  ['timestamp', 'timestamp'],
  ['type', 'shortstr'],
  ['userId', 'shortstr'],
  ['appId', 'shortstr'],
  ['clusterId', 'shortstr'],
]

export const FLAG_CONTENT_TYPE = 0x8000
export const FLAG_CONTENT_ENCODING = 0x4000
export const FLAG_HEADERS = 0x2000
export const FLAG_DELIVERY_MODE = 0x1000
export const FLAG_PRIORITY = 0x0800
export const FLAG_CORRELATION_ID = 0x0400
export const FLAG_REPLY_TO = 0x0200
export const FLAG_EXPIRATION = 0x0100
export const FLAG_MESSAGE_ID = 0x0080
export const FLAG_TIMESTAMP = 0x0040
export const FLAG_TYPE = 0x0020
export const FLAG_USER_ID = 0x0010
export const FLAG_APP_ID = 0x0008
export const FLAG_CLUSTER_ID = 0x0004
/** Bit 0 says that more flags follow, which no property of class basic needs; bit 1 stands for nothing. */
const FLAGS_UNKNOWN = 0x0003
const FLAG_FIRST = FLAG_CONTENT_TYPE
const FLAGS_FIXED_SIZE = FLAG_DELIVERY_MODE | FLAG_PRIORITY | FLAG_TIMESTAMP

/** The flags at `start`: which properties are there. */
export function propertyFlags(buf: Buffer, start: number): number {
  return (buf[start] << 8) | buf[start + 1]
}

/** delivery-mode of the properties whose flags are at `start`; 0 when absent. The ranges are validated already. */
export function deliveryModeOf(buf: Buffer, start: number, _end: number): number {
  const flags = propertyFlags(buf, start)
  if ((flags & FLAG_DELIVERY_MODE) === 0) return 0
  return buf[behindHeaders(buf, start, flags)]
}

/** priority; 0 when absent. */
export function priorityOf(buf: Buffer, start: number, _end: number): number {
  const flags = propertyFlags(buf, start)
  if ((flags & FLAG_PRIORITY) === 0) return 0
  const at = behindHeaders(buf, start, flags)
  return buf[flags & FLAG_DELIVERY_MODE ? at + 1 : at]
}

/** Where `headers` stand, or would stand, among the properties whose flags are at `start`. */
export function headersAt(buf: Buffer, start: number): number {
  const flags = propertyFlags(buf, start)
  let at = start + 2
  if (flags & FLAG_CONTENT_TYPE) at += 1 + buf[at]
  if (flags & FLAG_CONTENT_ENCODING) at += 1 + buf[at]
  return at
}

/** Where the properties behind `headers` begin. */
function behindHeaders(buf: Buffer, start: number, flags: number): number {
  const at = headersAt(buf, start)
  return flags & FLAG_HEADERS ? at + 4 + buf.readUInt32BE(at) : at
}

/** Finds one property of validated ones by its flag: `range` spans the text without its length, the table with its length
 *  (as decodeTable takes it), the octet or the timestamp. false: not there. */
export function locateProperty(buf: Buffer, start: number, end: number, flag: number, range: ByteRange): boolean {
  const flags = propertyFlags(buf, start)
  if ((flags & flag) === 0) return false
  let at = start + 2
  for (let bit = FLAG_FIRST; bit !== flag; bit >>>= 1) {
    if ((flags & bit) !== 0) at = skip(buf, at, end, bit)
  }
  range.end = skip(buf, at, end, flag)
  range.start = isText(flag) ? at + 1 : at
  return true
}

function isText(flag: number): boolean {
  return (flag & (FLAGS_FIXED_SIZE | FLAG_HEADERS)) === 0
}

/** Throws 502 when a length lies, also within headers: the values must fill start..end exactly. Allocates nothing. Hot. */
export function validateProperties(buf: Buffer, start: number, end: number): void {
  const flags = propertyFlags(buf, start)
  let at = start + 2
  if (flags !== 0) at = behindProperties(buf, at, end, flags)
  if (at !== end) throw malformed(at > end ? 'cut short' : 'longer than its properties')
}

function behindProperties(buf: Buffer, at: number, end: number, flags: number): number {
  // Flags that do not fit are not looked at: they are of what lies behind.
  if ((flags & FLAGS_UNKNOWN) !== 0 && at <= end) throw malformed('unknown property flags')
  for (let bit = FLAG_FIRST, left = flags; left !== 0 && at <= end; bit >>>= 1) {
    if ((left & bit) === 0) continue
    left ^= bit
    const next = skip(buf, at, end, bit)
    if (bit === FLAG_HEADERS && next <= end) validateTable(buf, at, next)
    at = next
  }
  return at
}

function skip(buf: Buffer, at: number, end: number, bit: number): number {
  switch (bit) {
    case FLAG_DELIVERY_MODE:
    case FLAG_PRIORITY:
      return at + 1
    case FLAG_TIMESTAMP:
      return at + 8
    case FLAG_HEADERS:
      return at + 4 > end ? end + 1 : at + 4 + buf.readUInt32BE(at)
    default:
      return at >= end ? end + 1 : at + 1 + buf[at]
  }
}

/** Reads flags and values at start..end. Throws ConnectionError 502. */
export function decodeProperties(buf: Buffer, start: number, end: number): Properties {
  validateProperties(buf, start, end)
  const flags = propertyFlags(buf, start)
  const properties: Record<string, unknown> = {}
  let at = start + 2
  LAYOUT.forEach(([name, kind], i) => {
    const bit = 0x8000 >>> i
    if ((flags & bit) === 0) return
    const next = skip(buf, at, end, bit)
    properties[name] = readProperty(kind, buf, at, next)
    at = next
  })
  return properties
}

function readProperty(kind: Kind, buf: Buffer, at: number, next: number): unknown {
  switch (kind) {
    case 'octet':
      return buf[at]
    case 'timestamp':
      return Number(buf.readBigUInt64BE(at))
    case 'table':
      return decodeTable(buf, at, next)
    default:
      return buf.toString('utf8', at + 1, next)
  }
}

/** Flags and values, as they stand in a content header. Throws RangeError for a string over 255 bytes and a number
 *  beyond its type. */
export function encodeProperties(properties: Properties): Buffer {
  let flags = 0
  const parts: Buffer[] = []
  LAYOUT.forEach(([name, kind], i) => {
    const value = properties[name]
    if (value === undefined) return
    flags |= 0x8000 >>> i
    parts.push(propertyBytes(name, kind, value))
  })
  const head = Buffer.alloc(2)
  head.writeUInt16BE(flags)
  return Buffer.concat([head, ...parts])
}

function propertyBytes(name: string, kind: Kind, value: unknown): Buffer {
  if (kind === 'octet') return octet(value as number)
  if (kind === 'table') return encodeTable(value as FieldTable)
  if (kind === 'timestamp') return timestamp(value as number)
  const text = Buffer.from(value as string)
  if (text.length > 255) throw new RangeError(`${name} is over 255 bytes`)
  return Buffer.concat([Buffer.from([text.length]), text])
}

function octet(value: number): Buffer {
  const bytes = Buffer.alloc(1)
  bytes.writeUInt8(value)
  return bytes
}

const TIMESTAMP_MAX = 2n ** 64n - 1n

function timestamp(seconds: number): Buffer {
  const bytes = Buffer.alloc(8)
  const exact = BigInt(seconds)
  // The largest were rounded up to 2^64 when they were read.
  bytes.writeBigUInt64BE(exact > TIMESTAMP_MAX ? TIMESTAMP_MAX : exact)
  return bytes
}

function malformed(detail: string): ConnectionError {
  return new ConnectionError(ReplyCode.SYNTAX_ERROR, `malformed content properties: ${detail}`)
}
