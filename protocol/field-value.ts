// What a field table holds, in JavaScript: plain values where they tell the wire type, Typed where they do not.
// Only shapes and names; field-table.ts reads and writes them.

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
  unscaled: number // 32 bits, unsigned as in the grammar of 0-9-1 §4.2.1
}

/** A plain number is written as I where it fits in 32 bits, as l where it is whole and exact, else as d. */
export type FieldValue = boolean | number | string | null | Typed | FieldValue[] | FieldTable
export interface FieldTable {
  [name: string]: FieldValue
}

/** Tables and arrays may stand this deep in the outermost table. Deeper is refused, read or written: it is only ever hostile,
 *  and every walk over a table is recursive. */
export const FIELD_DEPTH_MAX = 32

export const FIELD_NAME_BYTES_MAX = 255

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

/** The type a value has on the wire. */
export function fieldType(value: FieldValue): FieldType {
  if (value === null) return 'V'
  if (typeof value === 'boolean') return 't'
  if (typeof value === 'string') return 'S'
  if (typeof value === 'number') return numberType(value)
  if (value instanceof Typed) return value.type
  return Array.isArray(value) ? 'A' : 'F'
}

/** -0, and what is too large to be exact, are doubles. */
function numberType(value: number): 'I' | 'l' | 'd' {
  if (Object.is(value, -0) || !Number.isSafeInteger(value)) return 'd'
  return value === (value | 0) ? 'I' : 'l'
}

export function isTable(value: unknown): value is FieldTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Typed)
}

/** A 64-bit integer as a number where that is exact. */
export function narrowed(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
