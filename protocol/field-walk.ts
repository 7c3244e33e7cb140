// Walks over a field table without decoding it: are its lengths true, and where is one name? Allocates nothing, so each
// publish with headers can afford it. Accepts exactly what decodeTable accepts.
//
//   table:  length:u32 ( name-length:u8 name type:u8 value )*
//   array:  length:u32 ( type:u8 value )*
import type { ByteRange } from './byte-range'
import { ReplyCode } from './constants'
import { ConnectionError } from './errors'
import { FIELD_DEPTH_MAX } from './field-value'

const UNKNOWN = 255
const SIZED = 254 // a 4-byte length, then bytes
const TABLE = 'F'.charCodeAt(0)
const ARRAY = 'A'.charCodeAt(0)

/** Bytes of a value by its type octet. */
const VALUE_BYTES = new Uint8Array(256).fill(UNKNOWN)
for (const [types, bytes] of [
  ['V', 0],
  ['tbB', 1],
  ['su', 2],
  ['Iif', 4],
  ['D', 5],
  ['lLdT', 8],
  ['SxFA', SIZED],
] as const) {
  for (const type of types) VALUE_BYTES[type.charCodeAt(0)] = bytes
}

/** Where the table whose length is at `start` ends, at most `end`. Throws ConnectionError 502 when something in it lies. */
export function skipTable(buf: Buffer, start: number, end: number): number {
  const tableEnd = endOfSized(buf, start, end)
  walkTable(buf, start + 4, tableEnd, 0)
  return tableEnd
}

/** Throws what decodeTable would, also when the table does not fill start..end. */
export function validateTable(buf: Buffer, start: number, end: number): void {
  if (skipTable(buf, start, end) !== end) throw malformedTable('its length is not its size')
}

/** Finds the first field of that name: `range` spans its type octet and value, as decodeField takes them. Looks no further than
 *  the field found. Throws ConnectionError 502 for what lies before it. */
export function findHeader(buf: Buffer, start: number, end: number, name: Buffer, range: ByteRange): boolean {
  const tableEnd = endOfSized(buf, start, end)
  let at = start + 4
  while (at < tableEnd) {
    const nameAt = at + 1
    const typeAt = nameAt + buf[at]
    const isIt = buf[at] === name.length && isNamed(buf, nameAt, name)
    at = skipValue(buf, typeAt, tableEnd, 0)
    if (!isIt) continue
    range.start = typeAt
    range.end = at
    return true
  }
  return false
}

/** Every field of the table, in order: where it begins, where its type octet stands, where it ends. For a table that was
 *  validated. */
export function eachField(
  buf: Buffer,
  start: number,
  end: number,
  onField: (at: number, typeAt: number, end: number) => void,
): void {
  let at = start + 4
  while (at < end) {
    const typeAt = at + 1 + buf[at]
    const next = skipValue(buf, typeAt, end, 0)
    onField(at, typeAt, next)
    at = next
  }
}

/** Whether a field of the table itself has one of two names. For a table that was validated; one walk, on the per-message lane. */
export function hasEither(buf: Buffer, start: number, end: number, one: Buffer, other: Buffer): boolean {
  const lengthOne = one.length
  const lengthOther = other.length
  let at = start + 4
  while (at < end) {
    const length = buf[at]
    if (length === lengthOne && isNamed(buf, at + 1, one)) return true
    if (length === lengthOther && isNamed(buf, at + 1, other)) return true
    at += 1 + length
    const bytes = VALUE_BYTES[buf[at]]
    if (bytes !== SIZED) at += 1 + bytes
    else at += 5 + ((buf[at + 1] << 24) | (buf[at + 2] << 16) | (buf[at + 3] << 8) | buf[at + 4])
  }
  return false
}

function isNamed(buf: Buffer, at: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if (buf[at + i] !== name[i]) return false
  return true
}

function walkTable(buf: Buffer, at: number, end: number, depth: number): void {
  while (at < end) at = skipValue(buf, at + 1 + buf[at], end, depth)
}

function walkArray(buf: Buffer, at: number, end: number, depth: number): void {
  while (at < end) at = skipValue(buf, at, end, depth)
}

/** `at` is the type octet. */
function skipValue(buf: Buffer, at: number, end: number, depth: number): number {
  if (at >= end) throw pastTheEnd()
  const type = buf[at++]
  const bytes = VALUE_BYTES[type]
  if (bytes === UNKNOWN) throw unknownType(type)
  const next = bytes === SIZED ? endOfSized(buf, at, end) : at + bytes
  if (next > end) throw pastTheEnd()
  if (type === TABLE || type === ARRAY) {
    if (depth === FIELD_DEPTH_MAX) throw tooDeep()
    if (type === TABLE) walkTable(buf, at + 4, next, depth + 1)
    else walkArray(buf, at + 4, next, depth + 1)
  }
  return next
}

function endOfSized(buf: Buffer, at: number, end: number): number {
  if (at + 4 > end) throw pastTheEnd()
  const length = ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]) >>> 0
  if (length > end - at - 4) throw pastTheEnd()
  return at + 4 + length
}

export function pastTheEnd(): ConnectionError {
  return malformedTable('a length or value reaches past the end')
}

export function unknownType(type: number): ConnectionError {
  return malformedTable(`unknown field type ${type}`)
}

export function tooDeep(): ConnectionError {
  return malformedTable(`nested deeper than ${FIELD_DEPTH_MAX}`)
}

function malformedTable(detail: string): ConnectionError {
  return new ConnectionError(ReplyCode.SYNTAX_ERROR, `malformed table: ${detail}`)
}
