// When two field values are the same: for redeclared arguments and the headers exchange. As RabbitMQ compares: integers by
// value whatever their width, floats likewise, but an integer is never a float; all else by its own type.
import { type Decimal, type FieldTable, type FieldValue, fieldType, Typed } from './field-value'

const INTEGER_TYPES = 'bBsuIilL'
const FLOAT_TYPES = 'fd'

export function fieldEquals(a: FieldValue, b: FieldValue): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  const kind = kindOf(a)
  if (kind !== kindOf(b)) return false
  switch (kind) {
    case 'integer':
      return integersEqual(bare(a) as number | bigint, bare(b) as number | bigint)
    case 'float':
      return floatsEqual(bare(a) as number, bare(b) as number)
    case 'S':
    case 'x':
      return bytesOf(a).equals(bytesOf(b))
    case 'D':
      return decimalsEqual(bare(a) as Decimal, bare(b) as Decimal)
    case 'A':
      return arraysEqual(a as FieldValue[], b as FieldValue[])
    case 'F':
      return tablesEqual(a as FieldTable, b as FieldTable)
    default:
      return bare(a) === bare(b)
  }
}

function kindOf(value: FieldValue): string {
  const type = fieldType(value)
  if (INTEGER_TYPES.includes(type)) return 'integer'
  return FLOAT_TYPES.includes(type) ? 'float' : type
}

function bare(value: FieldValue): unknown {
  return value instanceof Typed ? value.value : value
}

/** A bigint may be small when somebody made it by hand. */
function integersEqual(a: number | bigint, b: number | bigint): boolean {
  return a === b || (typeof a !== typeof b && BigInt(a) === BigInt(b))
}

/** NaN is equal to NaN, or a queue declared with it could not be declared again. */
function floatsEqual(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}

function bytesOf(value: FieldValue): Buffer {
  return Buffer.from(bare(value) as string)
}

function decimalsEqual(a: Decimal, b: Decimal): boolean {
  return a.scale === b.scale && a.unscaled === b.unscaled
}

function arraysEqual(a: FieldValue[], b: FieldValue[]): boolean {
  return a.length === b.length && a.every((value, i) => fieldEquals(value, b[i]))
}

function tablesEqual(a: FieldTable, b: FieldTable): boolean {
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && fieldEquals(a[name], b[name]))
  )
}
