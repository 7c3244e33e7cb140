// fast-check arbitraries for what travels in AMQP: field tables, properties, arguments of any method. For tests alone.
import * as fc from 'fast-check'
import { type FieldTable, type FieldValue, narrowed, Typed } from './field-value'
import type { Properties } from './properties'
import { type ArgumentType, METHOD_BY_NAME, type MethodName } from './spec'

const isShort = (text: string) => Buffer.byteLength(text) <= 255

/** Any valid UTF-8 of at most 255 bytes. */
export const shortString = fc.string({ unit: 'binary', maxLength: 90 }).filter(isShort)
const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const isInvalidUtf8 = (b: Buffer) => !Buffer.from(b.toString('utf8')).equals(b)
const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(narrowed)
const uint64 = fc.bigInt(0n, 2n ** 64n - 1n).map(narrowed)
const uint32 = fc.nat(0xffffffff)
const plainInt = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((n) => n | 0) // | 0: no -0

function typed(type: Typed['type'], values: fc.Arbitrary<Typed['value']>): fc.Arbitrary<FieldValue> {
  return values.map((value) => new Typed(type, value))
}

/** One arbitrary per wire type, but for A and F; in the form that decoding gives. */
export const scalars = {
  t: fc.boolean(),
  b: typed('b', fc.integer({ min: -128, max: 127 })),
  B: typed('B', fc.nat(255)),
  s: typed('s', fc.integer({ min: -32768, max: 32767 })),
  u: typed('u', fc.nat(65535)),
  I: plainInt,
  i: typed('i', uint32),
  l: typed('l', int64),
  L: typed('L', int64),
  f: typed('f', fc.float({ noNaN: true })),
  d: typed('d', fc.double({ noNaN: true })),
  D: typed('D', fc.record({ scale: fc.nat(255), unscaled: uint32 })),
  S: fc.string({ unit: 'binary', maxLength: 40 }),
  'S, not UTF-8': typed('S', bytes.filter(isInvalidUtf8)),
  x: typed('x', bytes),
  T: typed('T', uint64),
  V: fc.constant(null),
}

/** Not like an array index: JavaScript would move it to the front. */
export const fieldName = shortString.filter((name) => !/^\d+$/.test(name))

const nested = fc.letrec<{ value: FieldValue; table: FieldTable }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    ...Object.values(scalars),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('table'),
  ),
  table: fc
    .uniqueArray(fc.tuple(fieldName, tie('value')), { maxLength: 5, selector: ([name]) => name })
    .map((fields) => Object.assign(Object.create(null), Object.fromEntries(fields))),
}))

export const fieldTable: fc.Arbitrary<FieldTable> = nested.table
export const fieldValue: fc.Arbitrary<FieldValue> = nested.value

const argument: Record<ArgumentType, fc.Arbitrary<unknown>> = {
  bit: fc.boolean(),
  octet: fc.nat(255),
  short: fc.nat(65535),
  long: uint32,
  longlong: fc.maxSafeNat(),
  shortstr: shortString,
  longstr: bytes,
  table: fieldTable,
}

/** The arguments of a method, as its row says. */
export function argumentsOf(name: MethodName): fc.Arbitrary<Record<string, unknown>> {
  const { args } = METHOD_BY_NAME.get(name) ?? { args: [] }
  return fc.record(Object.fromEntries(args.map(([argumentName, type]) => [argumentName, argument[type]])))
}

export const properties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: shortString,
    contentEncoding: shortString,
    headers: fieldTable,
    deliveryMode: fc.nat(255),
    priority: fc.nat(255),
    correlationId: shortString,
    replyTo: shortString,
    expiration: shortString,
    messageId: shortString,
    timestamp: fc.maxSafeNat(),
    type: shortString,
    userId: shortString,
    appId: shortString,
    clusterId: shortString,
  },
  { requiredKeys: [] },
)
