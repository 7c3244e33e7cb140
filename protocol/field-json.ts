// Field tables as JSON, twice: plain, for people and the admin API, where types are lost; and lossless, for keeping arguments
// as text that a person can read in a database.
import { isUtf8 } from 'node:buffer'
import {
  type Decimal,
  FIELD_DEPTH_MAX,
  type FieldTable,
  type FieldType,
  type FieldValue,
  isTable,
  narrowed,
  Typed,
} from './field-value'

// -- plain ------------------------------------------------------------------------------------------------------------

/** A timestamp is its seconds, bytes that are not UTF-8 become base64, integers beyond 2^53 their digits. */
export function tableToPlain(table: FieldTable): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, valueToPlain(value)]))
}

function valueToPlain(value: FieldValue): unknown {
  if (value instanceof Typed) return typedToPlain(value)
  if (Array.isArray(value)) return value.map(valueToPlain)
  return isTable(value) ? tableToPlain(value) : value
}

function typedToPlain({ value }: Typed): unknown {
  if (Buffer.isBuffer(value)) return value.toString(isUtf8(value) ? 'utf8' : 'base64')
  if (typeof value === 'bigint') return value.toString()
  return typeof value === 'object' ? value.unscaled / 10 ** value.scale : value
}

/** The value as a person reads it in an error text. */
export function fieldValueText(value: FieldValue): string {
  const plain = valueToPlain(value)
  return typeof plain === 'object' ? JSON.stringify(plain) : String(plain)
}

/** From the admin API's JSON. Throws TypeError for a value that JSON cannot hold or that is nested too deeply for a table. */
export function plainToTable(plain: Record<string, unknown>): FieldTable {
  return plainTable(plain, 0)
}

function plainTable(plain: Record<string, unknown>, depth: number): FieldTable {
  const table: FieldTable = Object.create(null)
  for (const [name, value] of Object.entries(plain)) table[name] = plainToValue(value, depth)
  return table
}

function plainToValue(plain: unknown, depth: number): FieldValue {
  if (plain === null || typeof plain === 'boolean' || typeof plain === 'string' || typeof plain === 'number') {
    return plain
  }
  if (typeof plain !== 'object') throw new TypeError(`${typeof plain} is no field value`)
  if (depth === FIELD_DEPTH_MAX) throw new TypeError(`nested deeper than ${FIELD_DEPTH_MAX}`)
  if (Array.isArray(plain)) return plain.map((value) => plainToValue(value, depth + 1))
  return plainTable(plain as Record<string, unknown>, depth + 1)
}

// -- lossless ---------------------------------------------------------------------------------------------------------

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
  if (typeof value === 'number' && !isJsonNumber(value)) return { '!d': String(Object.is(value, -0) ? '-0' : value) }
  if (Array.isArray(value)) return value.map(jsonValue)
  if (!isTable(value)) return value
  const json = jsonTable(value)
  const names = Object.keys(json)
  return names.length === 1 && names[0].startsWith('!') ? { '!F': json } : json
}

function jsonTyped({ value }: Typed): unknown {
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (typeof value === 'object') return value
  if (typeof value === 'number' && isJsonNumber(value)) return value
  return Object.is(value, -0) ? '-0' : String(value)
}

function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0)
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
