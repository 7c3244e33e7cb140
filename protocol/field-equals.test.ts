// When two values are one: as RabbitMQ compares arguments and headers.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { fieldValue } from './arbitraries.test.support'
import { type FieldValue, fieldEquals, Typed } from './field-table'

const bytes = (text: string) => Buffer.from(text, 'hex')

const same: [FieldValue, FieldValue][] = [
  [5, new Typed('l', 5)],
  [5, new Typed('B', 5)],
  [new Typed('s', -1), new Typed('L', -1)],
  [new Typed('l', 2n ** 60n), new Typed('L', 2n ** 60n)],
  [new Typed('l', 5n), 5],
  [new Typed('f', 0.5), new Typed('d', 0.5)],
  [1.5, new Typed('f', 1.5)],
  ['x', new Typed('S', Buffer.from('x'))],
  [new Typed('x', bytes('ff')), new Typed('x', bytes('ff'))],
  [new Typed('D', { scale: 1, unscaled: 2 }), new Typed('D', { scale: 1, unscaled: 2 })],
  [new Typed('T', 7), new Typed('T', 7)],
  [
    [1, { a: 2 }],
    [new Typed('l', 1), { a: new Typed('u', 2) }],
  ],
  [
    { a: 1, b: 2 },
    { b: 2, a: 1 },
  ],
  [null, null],
]
const different: [FieldValue, FieldValue][] = [
  [5, 6],
  [1, new Typed('d', 1)],
  [1, '1'],
  [1, true],
  [0, false],
  [0, null],
  ['', null],
  [7, new Typed('T', 7)],
  ['x', new Typed('x', Buffer.from('x'))],
  ['x:/w==', new Typed('x', bytes('ff'))],
  ['T:7', new Typed('T', 7)],
  [new Typed('x', bytes('ff')), new Typed('S', bytes('ff'))],
  [new Typed('l', 2n ** 60n), new Typed('l', 2n ** 60n + 1n)],
  [new Typed('D', { scale: 1, unscaled: 20 }), new Typed('D', { scale: 0, unscaled: 2 })],
  [[1], [1, 1]],
  [[1], { 0: 1 }],
  [{ a: 1 }, { b: 1 }],
  [{ a: 1 }, { a: 1, b: 2 }],
  [{ toString: 1 }, { a: 1 }],
]

describe('fieldEquals', () => {
  it.each(same)('%p is %p', (a, b) => {
    expect(fieldEquals(a, b)).toBe(true)
    expect(fieldEquals(b, a)).toBe(true)
  })

  it.each(different)('%p is not %p', (a, b) => {
    expect(fieldEquals(a, b)).toBe(false)
    expect(fieldEquals(b, a)).toBe(false)
  })

  it('holds of any value and itself', () => {
    fc.assert(fc.property(fieldValue, (value) => fieldEquals(value, value)))
  })
})
