// Tables as JSON: what people see, what they may send, and the text that keeps every type.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { fieldTable } from './arbitraries.test.support'
import {
  decodeTable,
  encodeTable,
  FIELD_DEPTH_MAX,
  type FieldTable,
  type FieldValue,
  fieldType,
  fieldValueText,
  plainToTable,
  Typed,
  tableFromJson,
  tableToJson,
  tableToPlain,
} from './field-table'

describe('plain', () => {
  it.each<{ value: FieldValue; plain: unknown }>([
    { value: true, plain: true },
    { value: 5, plain: 5 },
    { value: 'text', plain: 'text' },
    { value: null, plain: null },
    { value: [1, 'a', [null]], plain: [1, 'a', [null]] },
    { value: { b: { c: 1 } }, plain: { b: { c: 1 } } },
    { value: new Typed('l', 60000), plain: 60000 },
    { value: new Typed('l', 2n ** 60n), plain: '1152921504606846976' },
    { value: new Typed('T', 1700000000), plain: 1700000000 },
    { value: new Typed('d', 1.5), plain: 1.5 },
    { value: new Typed('D', { scale: 2, unscaled: 314 }), plain: 3.14 },
    { value: new Typed('x', Buffer.from('text')), plain: 'text' },
    { value: new Typed('x', Buffer.from([0xff, 0])), plain: '/wA=' },
    { value: new Typed('S', Buffer.from([0xff])), plain: '/w==' },
  ])('$value', ({ value, plain }) => expect(tableToPlain({ a: value })).toEqual({ a: plain }))

  it('is JSON, whatever the table', () => {
    fc.assert(fc.property(fieldTable, (table) => void JSON.parse(JSON.stringify(tableToPlain(table)))))
  })

  it('keeps names that objects have', () => {
    const table = decodeTable(Buffer.from('0000000c095f5f70726f746f5f5f7401', 'hex'), 0, 16)
    expect(JSON.stringify(tableToPlain(table))).toBe('{"__proto__":true}')
  })
})

describe('from plain', () => {
  it.each([
    [1, 'I'],
    [2 ** 31, 'l'],
    [-(2 ** 40), 'l'],
    [1.5, 'd'],
    [1e300, 'd'],
    ['s', 'S'],
    [true, 't'],
    [null, 'V'],
    [[1], 'A'],
    [{}, 'F'],
  ])('%p is of type %s', (plain, type) => expect(fieldType(plainToTable({ a: plain }).a)).toBe(type))

  it('names that objects have are only names', () => {
    const table = plainToTable(JSON.parse('{"__proto__": {"x": 1}, "toString": 2}'))
    expect(Object.keys(table)).toEqual(['__proto__', 'toString'])
    expect(table.x).toBeUndefined()
  })

  it.each([undefined, () => {}, 1n, Symbol('s')])('%p is refused', (value) => {
    expect(() => plainToTable({ a: value })).toThrow(TypeError)
  })

  it.each([FIELD_DEPTH_MAX + 1, 100_000])('%i levels are refused, not a stack overflow', (levels) => {
    const text = `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`
    expect(() => plainToTable(JSON.parse(text))).toThrow(TypeError)
  })

  it('as deep as allowed can be written', () => {
    const text = `{"a":${'['.repeat(FIELD_DEPTH_MAX)}${']'.repeat(FIELD_DEPTH_MAX)}}`
    encodeTable(plainToTable(JSON.parse(text)))
  })
})

describe('lossless text', () => {
  it.each<{ table: FieldTable; text: string }>([
    { table: {}, text: '{}' },
    { table: { b: 1, a: 'x' }, text: '{"a":"x","b":1}' },
    { table: { a: new Typed('l', 60000) }, text: '{"a":{"!l":60000}}' },
    { table: { a: new Typed('T', 2n ** 64n - 1n) }, text: '{"a":{"!T":"18446744073709551615"}}' },
    { table: { a: new Typed('x', Buffer.from([0xff])) }, text: '{"a":{"!x":"/w=="}}' },
    { table: { a: { '!l': 5 } }, text: '{"a":{"!F":{"!l":5}}}' },
    { table: { a: { '!F': { '!x': 'no' } } }, text: '{"a":{"!F":{"!F":{"!F":{"!x":"no"}}}}}' },
    { table: { '!l': 5 }, text: '{"!l":5}' },
    { table: { a: -0, b: new Typed('d', -0) }, text: '{"a":{"!d":"-0"},"b":{"!d":"-0"}}' },
    { table: { a: new Typed('d', Number.NaN) }, text: '{"a":{"!d":"NaN"}}' },
  ])('$text', ({ table, text }) => {
    expect(tableToJson(table)).toBe(text)
    expect(tableToJson(tableFromJson(text))).toBe(text)
  })

  it('gives any table back', () => {
    fc.assert(
      fc.property(fieldTable, (table) => expect(tableFromJson(tableToJson(table))).toEqual(table)),
      { numRuns: 500 },
    )
  })

  it('does not depend on the order of names', () => {
    expect(tableToJson({ a: 1, b: { d: 1, c: 2 } })).toBe(tableToJson({ b: { c: 2, d: 1 }, a: 1 }))
  })

  it('keeps names that are no UTF-8', () => {
    const bytes = Buffer.from('00000004 01ff7401'.replace(' ', ''), 'hex')
    expect(encodeTable(tableFromJson(tableToJson(decodeTable(bytes, 0, 8)))).equals(bytes)).toBe(true)
  })
})

it.each<[FieldValue, string]>([
  [60000, '60000'],
  ['x', 'x'],
  [new Typed('l', 2n ** 60n), '1152921504606846976'],
  [null, 'null'],
  [{ a: [1] }, '{"a":[1]}'],
])('the text of %p', (value, text) => expect(fieldValueText(value)).toBe(text))
