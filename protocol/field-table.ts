// Field tables: names with typed values, nested. 0-9-1 §4.2.5.5 as RabbitMQ and its clients read it (RabbitMQ "errata"):
//
//   t bool   b i8   B u8   s i16   u u16   I i32   i u32   l i64   L u64 (read as i64)   f f32   d f64   D decimal
//   S long string   x bytes   A array   T timestamp (u64 seconds)   F table   V void
//
// Cold: messages keep their header tables as bytes; only declares, handshakes and features that look inside decode them.
// What is decoded is written back with the same types and values. Only the redundant is lost: the order of names that look
// like array indexes, a name given twice, a true that is not 1, the bits of a NaN.
import { isUtf8 } from 'node:buffer'
import {
  type Decimal,
  FIELD_DEPTH_MAX,
  FIELD_NAME_BYTES_MAX,
  type FieldTable,
  type FieldType,
  type FieldValue,
  fieldType,
  narrowed,
  Typed,
} from './field-value'
import { pastTheEnd, tooDeep, unknownType } from './field-walk'

export * from './field-equals'
export * from './field-json'
export * from './field-value'
export { findHeader, skipTable, validateTable } from './field-walk'

// -- reading ----------------------------------------------------------------------------------------------------------

/** Reads the table whose 4-byte length is at `start`; it must end by `end`. Throws ConnectionError 502. */
export function decodeTable(buf: Buffer, start: number, end: number): FieldTable {
  return readTable(new Reader(buf, start, end).inner(), 0)
}

/** Reads one value, its type octet at `start`, as findHeader finds it. */
export function decodeField(buf: Buffer, start: number, end: number): FieldValue {
  return readValue(new Reader(buf, start, end), 0)
}

class Reader {
  constructor(
    readonly buf: Buffer,
    public at: number,
    readonly end: number,
  ) {}

  need(bytes: number): number {
    const at = this.at
    if (bytes > this.end - at) throw pastTheEnd()
    this.at = at + bytes
    return at
  }

  inner(): Reader {
    const length = this.buf.readUInt32BE(this.need(4))
    const at = this.need(length)
    return new Reader(this.buf, at, at + length)
  }

  sizedBytes(): Buffer {
    const { at, end } = this.inner()
    return this.buf.subarray(at, end)
  }
}

function readTable(r: Reader, depth: number): FieldTable {
  const table: FieldTable = Object.create(null)
  while (r.at < r.end) {
    const length = r.buf[r.need(1)]
    const at = r.need(length)
    const name = nameOf(r.buf.subarray(at, at + length))
    const value = readValue(r, depth)
    // RabbitMQ 4 keeps the first of two fields with one name.
    if (!(name in table)) table[name] = value
  }
  return table
}

function readArray(r: Reader, depth: number): FieldValue[] {
  const values: FieldValue[] = []
  while (r.at < r.end) values.push(readValue(r, depth))
  return values
}

function readValue(r: Reader, depth: number): FieldValue {
  const { buf } = r
  const octet = buf[r.need(1)]
  const type = String.fromCharCode(octet) as FieldType
  switch (type) {
    case 't':
      return buf[r.need(1)] !== 0
    case 'I':
      return buf.readInt32BE(r.need(4))
    case 'S':
      return readLongString(r)
    case 'F':
      return readTable(r.inner(), deeper(depth))
    case 'A':
      return readArray(r.inner(), deeper(depth))
    case 'V':
      return null
    case 'x':
      return new Typed('x', Buffer.from(r.sizedBytes()))
    case 'D': {
      const at = r.need(5)
      return new Typed('D', { scale: buf[at], unscaled: buf.readUInt32BE(at + 1) })
    }
    default:
      return new Typed(type, readNumber(r, octet))
  }
}

function deeper(depth: number): number {
  if (depth === FIELD_DEPTH_MAX) throw tooDeep()
  return depth + 1
}

function readNumber(r: Reader, octet: number): number | bigint {
  const { buf } = r
  switch (String.fromCharCode(octet)) {
    case 'b':
      return buf.readInt8(r.need(1))
    case 'B':
      return buf[r.need(1)]
    case 's':
      return buf.readInt16BE(r.need(2))
    case 'u':
      return buf.readUInt16BE(r.need(2))
    case 'i':
      return buf.readUInt32BE(r.need(4))
    case 'l':
    case 'L':
      return narrowed(buf.readBigInt64BE(r.need(8)))
    case 'T':
      return narrowed(buf.readBigUInt64BE(r.need(8)))
    case 'f':
      return buf.readFloatBE(r.need(4))
    case 'd':
      return buf.readDoubleBE(r.need(8))
    default:
      throw unknownType(octet)
  }
}

function readLongString(r: Reader): FieldValue {
  const bytes = r.sizedBytes()
  return isUtf8(bytes) ? bytes.toString('utf8') : new Typed('S', Buffer.from(bytes))
}

// -- writing ----------------------------------------------------------------------------------------------------------

/** With its 4-byte length in front. Throws RangeError for what no table can hold: a name over 255 bytes, a number beyond its
 *  type, more than FIELD_DEPTH_MAX levels. */
export function encodeTable(table: FieldTable): Buffer {
  return tableBytes(table, 0)
}

function tableBytes(table: FieldTable, depth: number): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of Object.entries(table)) {
    const bytes = nameBytes(name)
    if (bytes.length > FIELD_NAME_BYTES_MAX) throw new RangeError(`field name over 255 bytes: ${name.slice(0, 32)}...`)
    parts.push(Buffer.from([bytes.length]), bytes, valueBytes(value, depth))
  }
  return withLength(Buffer.concat(parts))
}

function valueBytes(value: FieldValue, depth: number): Buffer {
  const type = fieldType(value)
  if (type !== 'A' && type !== 'F') return tagged(type, scalarBytes(type, value instanceof Typed ? value.value : value))
  if (depth === FIELD_DEPTH_MAX) throw new RangeError(`field table nested deeper than ${FIELD_DEPTH_MAX}`)
  if (type === 'F') return tagged(type, tableBytes(value as FieldTable, depth + 1))
  return tagged(type, withLength(Buffer.concat((value as FieldValue[]).map((v) => valueBytes(v, depth + 1)))))
}

function scalarBytes(type: FieldType, value: unknown): Buffer {
  const bytes = Buffer.alloc(8)
  const number = value as number
  switch (type) {
    case 'V':
      return bytes.subarray(0, 0)
    case 't':
      return bytes.subarray(0, bytes.writeUInt8(value ? 1 : 0))
    case 'b':
      return bytes.subarray(0, bytes.writeInt8(number))
    case 'B':
      return bytes.subarray(0, bytes.writeUInt8(number))
    case 's':
      return bytes.subarray(0, bytes.writeInt16BE(number))
    case 'u':
      return bytes.subarray(0, bytes.writeUInt16BE(number))
    case 'I':
      return bytes.subarray(0, bytes.writeInt32BE(number))
    case 'i':
      return bytes.subarray(0, bytes.writeUInt32BE(number))
    case 'l':
    case 'L':
      return bytes.subarray(0, bytes.writeBigInt64BE(BigInt(number)))
    case 'T':
      return bytes.subarray(0, bytes.writeBigUInt64BE(BigInt(number)))
    case 'f':
      return bytes.subarray(0, bytes.writeFloatBE(number))
    case 'd':
      return bytes.subarray(0, bytes.writeDoubleBE(number))
    case 'D': {
      const { scale, unscaled } = value as Decimal
      bytes.writeUInt8(scale)
      return bytes.subarray(0, bytes.writeUInt32BE(unscaled, 1))
    }
    case 'S':
    case 'x':
      return withLength(Buffer.from(value as string | Buffer))
    default:
      throw new TypeError(`field type ${type} is not written this way`)
  }
}

function tagged(type: FieldType, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type, 'latin1'), bytes])
}

function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

// -- names ------------------------------------------------------------------------------------------------------------

/** A name that is not UTF-8 is legal. Each of its bytes above 127 becomes a lone surrogate U+DC80..U+DCFF, which no UTF-8
 *  yields: so names that differ stay different, and are written back as they came. */
function nameOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  return String.fromCharCode(...Array.from(bytes, (byte) => (byte < 0x80 ? byte : 0xdc00 + byte)))
}

const ESCAPED_BYTE = /[\udc80-\udcff]/u

function nameBytes(name: string): Buffer {
  if (!ESCAPED_BYTE.test(name)) return Buffer.from(name)
  return Buffer.concat(
    Array.from(name, (char) =>
      ESCAPED_BYTE.test(char) ? Buffer.from([char.charCodeAt(0) & 0xff]) : Buffer.from(char),
    ),
  )
}
