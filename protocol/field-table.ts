// Field tables: names with typed values, nested. 0-9-1 §4.2.5.5 as RabbitMQ and its clients read it (RabbitMQ "errata"):
//
//   t bool   b i8   B u8   s i16   u u16   I i32   i u32   l i64   L u64 (read as i64)   f f32   d f64   D decimal
//   S long string   x bytes   A array   T timestamp (u64 seconds)   F table   V void
//
// Cold: messages keep their header tables as bytes; only declares, handshakes and features that look inside decode them.
import { ReplyCode } from './constants'
import { ConnectionError } from './errors'

export type FieldType =
  | 't'
  | 'b'
  | 'B'
  | 's'
  | 'u'
  | 'I'
  | 'i'
  | 'l'
  | 'L'
  | 'f'
  | 'd'
  | 'D'
  | 'S'
  | 'x'
  | 'A'
  | 'T'
  | 'F'
  | 'V'

/** A value whose wire type plain JavaScript does not tell: everything but t, I, S (valid UTF-8), A, F and V. */
export class Typed {
  constructor(
    readonly type: FieldType,
    /** number; bigint for 64 bits beyond 2^53; Buffer for x, and for an S that is not UTF-8; Decimal for D. */
    readonly value: number | bigint | Buffer | Decimal,
  ) {}
}

export interface Decimal {
  scale: number // digits behind the point
  unscaled: number // signed 32 bits
}

/** A plain number is written as I where it fits in 32 bits, as l where it is whole, else as d. */
export type FieldValue = boolean | number | string | null | Typed | FieldValue[] | FieldTable
export interface FieldTable {
  [name: string]: FieldValue
}

const DEPTH_MAX = 32

// -- reading ----------------------------------------------------------------------------------------------------------

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Reader {
  constructor(
    readonly buf: Buffer,
    public at: number,
    readonly end: number,
  ) {}

  need(bytes: number): number {
    const at = this.at
    if (bytes > this.end - at) throw malformed('a length or value reaches past the end of the table')
    this.at = at + bytes
    return at
  }

  inner(): Reader {
    const length = this.buf.readUInt32BE(this.need(4))
    const at = this.need(length)
    return new Reader(this.buf, at, at + length)
  }
}

/** Reads the table whose 4-byte length is at `start`; it must end by `end`. Throws ConnectionError 502. */
export function decodeTable(buf: Buffer, start: number, end: number): FieldTable {
  return readTable(new Reader(buf, start, end).inner(), 0)
}

function readTable(r: Reader, depth: number): FieldTable {
  if (depth > DEPTH_MAX) throw malformed(`tables nested deeper than ${DEPTH_MAX}`)
  const table: FieldTable = Object.create(null)
  while (r.at < r.end) {
    const length = r.buf[r.need(1)]
    const at = r.need(length)
    const name = r.buf.toString('utf8', at, at + length)
    const value = readValue(r, depth)
    // RabbitMQ 4 keeps the first of two fields with one name.
    if (!(name in table)) table[name] = value
  }
  return table
}

function readArray(r: Reader, depth: number): FieldValue[] {
  if (depth > DEPTH_MAX) throw malformed(`arrays nested deeper than ${DEPTH_MAX}`)
  const values: FieldValue[] = []
  while (r.at < r.end) values.push(readValue(r, depth))
  return values
}

function readValue(r: Reader, depth: number): FieldValue {
  const { buf } = r
  const type = String.fromCharCode(buf[r.need(1)]) as FieldType
  switch (type) {
    case 't':
      return buf[r.need(1)] !== 0
    case 'I':
      return buf.readInt32BE(r.need(4))
    case 'S':
      return readLongString(r)
    case 'F':
      return readTable(r.inner(), depth + 1)
    case 'A':
      return readArray(r.inner(), depth + 1)
    case 'V':
      return null
    case 'x': {
      const { at, end } = r.inner()
      return new Typed('x', Buffer.from(buf.subarray(at, end)))
    }
    case 'D': {
      const at = r.need(5)
      return new Typed('D', { scale: buf[at], unscaled: buf.readInt32BE(at + 1) })
    }
    default:
      return new Typed(type, readNumber(r, type))
  }
}

function readNumber(r: Reader, type: FieldType): number | bigint {
  const { buf } = r
  switch (type) {
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
      throw malformed(`unknown field type ${JSON.stringify(type)}`)
  }
}

function readLongString(r: Reader): FieldValue {
  const { at, end } = r.inner()
  const bytes = r.buf.subarray(at, end)
  r.at = end
  try {
    return utf8.decode(bytes)
  } catch {
    return new Typed('S', Buffer.from(bytes))
  }
}

function narrowed(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function malformed(detail: string): ConnectionError {
  return new ConnectionError(ReplyCode.SYNTAX_ERROR, `malformed table: ${detail}`)
}

// -- writing ----------------------------------------------------------------------------------------------------------

/** With its 4-byte length in front. */
export function encodeTable(table: FieldTable): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of Object.entries(table)) {
    const bytes = Buffer.from(name)
    if (bytes.length > 255) throw new RangeError(`field name over 255 bytes: ${name.slice(0, 32)}...`)
    parts.push(Buffer.from([bytes.length]), bytes, encodeValue(value))
  }
  return withLength(Buffer.concat(parts))
}

function encodeValue(value: FieldValue): Buffer {
  if (value === null) return tagged('V', Buffer.alloc(0))
  if (typeof value === 'boolean') return tagged('t', Buffer.from([value ? 1 : 0]))
  if (typeof value === 'string') return tagged('S', withLength(Buffer.from(value)))
  if (typeof value === 'number') return encodeTyped(typedNumber(value))
  if (value instanceof Typed) return encodeTyped(value)
  if (Array.isArray(value)) return tagged('A', withLength(Buffer.concat(value.map(encodeValue))))
  return tagged('F', encodeTable(value))
}

function typedNumber(value: number): Typed {
  if (!Number.isInteger(value)) return new Typed('d', value)
  return new Typed(value === (value | 0) ? 'I' : 'l', value)
}

function encodeTyped({ type, value }: Typed): Buffer {
  const bytes = Buffer.alloc(8)
  switch (type) {
    case 'b':
      return tagged(type, bytes.subarray(0, bytes.writeInt8(value as number)))
    case 'B':
      return tagged(type, bytes.subarray(0, bytes.writeUInt8(value as number)))
    case 's':
      return tagged(type, bytes.subarray(0, bytes.writeInt16BE(value as number)))
    case 'u':
      return tagged(type, bytes.subarray(0, bytes.writeUInt16BE(value as number)))
    case 'I':
      return tagged(type, bytes.subarray(0, bytes.writeInt32BE(value as number)))
    case 'i':
      return tagged(type, bytes.subarray(0, bytes.writeUInt32BE(value as number)))
    case 'l':
    case 'L':
      return tagged(type, bytes.subarray(0, bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(value as number)))))
    case 'T':
      return tagged(type, bytes.subarray(0, bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value as number)))))
    case 'f':
      return tagged(type, bytes.subarray(0, bytes.writeFloatBE(value as number)))
    case 'd':
      return tagged(type, bytes.subarray(0, bytes.writeDoubleBE(value as number)))
    case 'D': {
      const { scale, unscaled } = value as Decimal
      bytes[0] = scale
      return tagged(type, bytes.subarray(0, bytes.writeInt32BE(unscaled, 1)))
    }
    case 'S':
    case 'x':
      return tagged(type, withLength(value as Buffer))
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

// -- comparing and naming ---------------------------------------------------------------------------------------------

/** Numbers are equal by value whatever their width; all else by type and value. */
export function fieldEquals(a: FieldValue, b: FieldValue): boolean {
  const [x, y] = [comparable(a), comparable(b)]
  if (Array.isArray(x) && Array.isArray(y)) return x.length === y.length && x.every((v, i) => fieldEquals(v, y[i]))
  if (isTable(x) && isTable(y)) {
    const names = Object.keys(x)
    return names.length === Object.keys(y).length && names.every((n) => n in y && fieldEquals(x[n], y[n]))
  }
  return x === y
}

function comparable(value: FieldValue): FieldValue | bigint {
  if (!(value instanceof Typed)) return value
  if (Buffer.isBuffer(value.value)) return `${value.type}:${value.value.toString('base64')}`
  if (typeof value.value === 'object') return `D:${value.value.scale}:${value.value.unscaled}`
  return value.type === 'T' ? `T:${value.value}` : value.value
}

function isTable(value: unknown): value is FieldTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Typed)
}

const TYPE_NAMES: Record<FieldType, string> = {
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  L: 'long',
  f: 'float',
  d: 'double',
  D: 'decimal',
  S: 'longstr',
  x: 'binary',
  A: 'array',
  T: 'timestamp',
  F: 'table',
  V: 'void',
}

/** RabbitMQ's name for the type, as its 406 texts give it. */
export function fieldTypeName(value: FieldValue): string {
  return TYPE_NAMES[fieldType(value)]
}

export function fieldType(value: FieldValue): FieldType {
  if (value === null) return 'V'
  if (typeof value === 'boolean') return 't'
  if (typeof value === 'string') return 'S'
  if (typeof value === 'number') return typedNumber(value).type
  if (value instanceof Typed) return value.type
  return Array.isArray(value) ? 'A' : 'F'
}

/** The value as a person reads it in an error text. */
export function fieldValueText(value: FieldValue): string {
  const plain = valueToPlain(value)
  return typeof plain === 'object' ? JSON.stringify(plain) : String(plain)
}

// -- JSON -------------------------------------------------------------------------------------------------------------

/** For people and the admin API: types are lost where JSON has none. Bytes that are not UTF-8 become base64. */
export function tableToPlain(table: FieldTable): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, valueToPlain(value)]))
}

function valueToPlain(value: FieldValue): unknown {
  if (value instanceof Typed) {
    if (Buffer.isBuffer(value.value)) return value.value.toString(isUtf8(value.value) ? 'utf8' : 'base64')
    if (typeof value.value === 'bigint') return value.value.toString()
    if (typeof value.value === 'object') return value.value.unscaled / 10 ** value.value.scale
    return value.value
  }
  if (Array.isArray(value)) return value.map(valueToPlain)
  return isTable(value) ? tableToPlain(value) : value
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes)
}

/** From the admin API's JSON. Throws TypeError for a value that JSON cannot hold. */
export function plainToTable(plain: Record<string, unknown>): FieldTable {
  const table: FieldTable = Object.create(null)
  for (const [name, value] of Object.entries(plain)) table[name] = plainToValue(value)
  return table
}

function plainToValue(plain: unknown): FieldValue {
  if (plain === null || typeof plain === 'boolean' || typeof plain === 'string' || typeof plain === 'number')
    return plain
  if (Array.isArray(plain)) return plain.map(plainToValue)
  if (typeof plain === 'object') return plainToTable(plain as Record<string, unknown>)
  throw new TypeError(`${typeof plain} is no field value`)
}

/** Text that a person can read and `tableFromJson` turns into the same table, types kept. Names are sorted, so equal tables
 *  give equal texts. A typed value is {"!l": 5}; a table field whose only name starts with "!" is wrapped once more. */
export function tableToJson(table: FieldTable): string {
  return JSON.stringify(jsonTable(table))
}

export function tableFromJson(text: string): FieldTable {
  return fromJsonTable(JSON.parse(text))
}

function jsonTable(table: FieldTable): Record<string, unknown> {
  const names = Object.keys(table).sort()
  return Object.fromEntries(names.map((name) => [name, jsonValue(table[name])]))
}

function jsonValue(value: FieldValue): unknown {
  if (value instanceof Typed) return { [`!${value.type}`]: jsonTyped(value) }
  if (typeof value === 'number' && !Number.isFinite(value)) return { '!d': String(value) }
  if (Object.is(value, -0)) return { '!d': '-0' }
  if (Array.isArray(value)) return value.map(jsonValue)
  if (!isTable(value)) return value
  const json = jsonTable(value)
  const names = Object.keys(json)
  return names.length === 1 && names[0].startsWith('!') ? { '!F': json } : json
}

function jsonTyped({ value }: Typed): unknown {
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (typeof value === 'object') return value
  return typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0) ? value : String(value)
}

function fromJsonTable(json: Record<string, unknown>): FieldTable {
  const table: FieldTable = Object.create(null)
  for (const [name, value] of Object.entries(json)) table[name] = fromJsonValue(value)
  return table
}

function fromJsonValue(json: unknown): FieldValue {
  if (Array.isArray(json)) return json.map(fromJsonValue)
  if (typeof json !== 'object' || json === null) return json as FieldValue
  const names = Object.keys(json)
  if (names.length !== 1 || !names[0].startsWith('!')) return fromJsonTable(json as Record<string, unknown>)
  return fromJsonTyped(names[0].slice(1) as FieldType, (json as Record<string, unknown>)[names[0]])
}

function fromJsonTyped(type: FieldType, json: unknown): FieldValue {
  if (type === 'F') return fromJsonTable(json as Record<string, unknown>)
  if (type === 'S' || type === 'x') return new Typed(type, Buffer.from(json as string, 'base64'))
  if (type === 'D') return new Typed(type, json as Decimal)
  if (typeof json === 'number') return new Typed(type, json)
  const isInteger = type === 'l' || type === 'L' || type === 'T'
  return new Typed(type, isInteger ? narrowed(BigInt(json as string)) : Number(json))
}
