// Bytes and names that mean harm, at every door: nothing but a ProtocolError comes out, and names are only names.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { scalars } from './arbitraries.test.support'
import { readAck, readNack, readPublish, readReject } from './basic-codec'
import { ProtocolError } from './errors'
import {
  decodeField,
  decodeTable,
  encodeTable,
  type FieldTable,
  fieldEquals,
  fieldType,
  findHeader,
  plainToTable,
  skipTable,
  Typed,
  tableFromJson,
  tableToJson,
  tableToPlain,
  validateTable,
} from './field-table'
import { decodeMethod } from './method-codec'
import {
  decodeProperties,
  deliveryModeOf,
  encodeProperties,
  FLAG_CLUSTER_ID,
  FLAG_CONTENT_TYPE,
  locateProperty,
  type Properties,
  priorityOf,
  validateProperties,
} from './properties'
import { M } from './spec'

type Reader = (buf: Buffer, start: number, end: number) => unknown

const range = () => ({ start: 0, end: 0 })
const publish = () => ({
  exchangeStart: 0,
  exchangeEnd: 0,
  routingKeyStart: 0,
  routingKeyEnd: 0,
  mandatory: false,
  immediate: false,
})
const settle = () => ({ deliveryTag: 0, multiple: false, requeue: false })
const NAME = Buffer.from('a')

const readers: [name: string, read: Reader][] = [
  ['decodeTable', decodeTable],
  ['decodeField', decodeField],
  ['skipTable', skipTable],
  ['validateTable', validateTable],
  ['findHeader', (buf, start, end) => findHeader(buf, start, end, NAME, range())],
  ['decodeProperties', decodeProperties],
  ['validateProperties', validateProperties],
  ['readPublish', (buf, start, end) => readPublish(buf, start, end, publish())],
  ['readAck', (buf, start, end) => readAck(buf, start, end, settle())],
  ['readNack', (buf, start, end) => readNack(buf, start, end, settle())],
  ['readReject', (buf, start, end) => readReject(buf, start, end, settle())],
  ['decodeMethod of queue.declare', (buf, start, end) => decodeMethod(M.queueDeclare, buf, start, end)],
  ['decodeMethod of connection.start-ok', (buf, start, end) => decodeMethod(M.connectionStartOk, buf, start, end)],
  ['decodeMethod of no method', (buf, start, end) => decodeMethod(0, buf, start, end)],
]

/** 'taken', or the text of its ProtocolError; anything else thrown fails the test. */
function outcome(read: Reader, buf: Buffer, start: number, end: number): string {
  try {
    read(buf, start, end)
    return 'taken'
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return error.text
  }
}

/** Random octets alone are refused at the first length; with small lengths and true types they get further in. */
const octets = fc.array(
  fc.oneof(fc.nat(255), fc.nat(4), fc.constantFrom(...Buffer.from('tbBsuIilLfdDSxATFVa')), fc.constant(0)),
  { maxLength: 80 },
)
const asTable = octets.map((array) => {
  const bytes = Buffer.alloc(4 + array.length)
  bytes.writeUInt32BE(array.length)
  bytes.set(array, 4)
  return bytes
})
const asHeaders = asTable.map((table) => Buffer.concat([Buffer.from([0x20, 0]), table]))
const anyBytes = fc.oneof(
  octets.map((array) => Buffer.from(array)),
  asTable,
  asHeaders,
)

describe('any bytes', () => {
  it.each(readers)('are taken or refused by %s, and nothing behind them counts', (_name, read) => {
    fc.assert(
      fc.property(anyBytes, fc.nat(6), fc.nat(255), (bytes, margin, filler) => {
        const alone = outcome(read, bytes, 0, bytes.length)
        const around = Buffer.alloc(margin, filler)
        const placed = Buffer.concat([around, bytes, around])
        expect(outcome(read, placed, margin, margin + bytes.length)).toBe(alone)
      }),
      { numRuns: 2000 },
    )
  })

  it('are the same table to whoever walks and whoever decodes', () => {
    fc.assert(
      fc.property(asTable, (bytes) => {
        const decoded = outcome(decodeTable, bytes, 0, bytes.length)
        expect(outcome(validateTable, bytes, 0, bytes.length)).toBe(decoded)
        // A name given twice is read once; whatever else was taken is written back as the same value.
        if (decoded !== 'taken') return
        const table = decodeTable(bytes, 0, bytes.length)
        const written = encodeTable(table)
        expect(decodeTable(written, 0, written.length)).toEqual(table)
      }),
      { numRuns: 5000 },
    )
  })

  it('that are valid properties can be asked for any of them', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const validated = outcome(validateProperties, bytes, 0, bytes.length)
        expect(outcome(decodeProperties, bytes, 0, bytes.length)).toBe(validated)
        if (validated !== 'taken') return
        deliveryModeOf(bytes, 0, bytes.length)
        priorityOf(bytes, 0, bytes.length)
        for (let flag = FLAG_CONTENT_TYPE; flag >= FLAG_CLUSTER_ID; flag >>>= 1) {
          const found = range()
          if (!locateProperty(bytes, 0, bytes.length, flag, found)) continue
          expect(found.start).toBeGreaterThanOrEqual(2)
          expect(found.end).toBeLessThanOrEqual(bytes.length)
        }
      }),
      { numRuns: 5000 },
    )
  })
})

describe('all properties at once', () => {
  const bytes = Buffer.from(
    [
      'fffc 01 61 01 62 00000004 01 6b 74 01 02 05 01 63 01 64 01 65 01 66', // content type to message id
      '0000000000000007 01 67 01 68 01 69 01 6a', // timestamp to cluster id
    ]
      .join('')
      .replace(/ /g, ''),
    'hex',
  )
  const all: Properties = {
    contentType: 'a',
    contentEncoding: 'b',
    headers: { k: true },
    deliveryMode: 2,
    priority: 5,
    correlationId: 'c',
    replyTo: 'd',
    expiration: 'e',
    messageId: 'f',
    timestamp: 7,
    type: 'g',
    userId: 'h',
    appId: 'i',
    clusterId: 'j',
  }

  it('in known bytes', () => {
    expect(decodeProperties(bytes, 0, bytes.length)).toEqual(all)
    expect(encodeProperties(all).equals(bytes)).toBe(true)
  })

  it.each([validateProperties, decodeProperties])('%p refuses them cut anywhere, whatever lies behind', (read) => {
    for (let end = 0; end < bytes.length; end++) {
      expect(outcome(read, bytes, 0, end)).toMatch(/^SYNTAX_ERROR - malformed/)
    }
  })
})

describe('names that objects have', () => {
  const names = [
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'valueOf',
    'hasOwnProperty',
    'toJSON',
    '__defineGetter__',
  ]
  const inner = (): FieldTable =>
    Object.fromEntries(names.map((name) => [name, { [name]: new Typed('l', 1), polluted: true }]))
  const table = inner()
  const read = () => {
    const bytes = encodeTable(table)
    return decodeTable(bytes, 0, bytes.length)
  }

  it('are names like others, to bytes and back', () => {
    expect(Object.keys(read())).toEqual(names)
    expect(encodeTable(read()).equals(encodeTable(table))).toBe(true)
  })

  it('are names like others, to lossless JSON and back', () => {
    const back = tableFromJson(tableToJson(read()))
    expect(Object.keys(back).sort()).toEqual([...names].sort())
    expect(fieldEquals(back, read())).toBe(true)
  })

  it('are names like others, to plain JSON and back', () => {
    const plain = JSON.parse(JSON.stringify(tableToPlain(read())))
    expect(Object.keys(plain)).toEqual(names)
    expect(fieldEquals(plainToTable(plain), read())).toBe(true)
  })

  it.each(names)('%s is not there where nobody put it', (name) => {
    const empty = decodeTable(Buffer.alloc(4), 0, 4)
    expect([empty[name], tableFromJson('{}')[name], plainToTable({})[name]]).toEqual([undefined, undefined, undefined])
    expect(fieldEquals({ [name]: 1 }, { other: 1 })).toBe(false)
  })

  it('change nothing for other objects', () => {
    read()
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})

describe('numbers that are none', () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%p travels, plain or typed', (number) => {
    const table: FieldTable = { plain: number, d: new Typed('d', number), f: new Typed('f', number) }
    expect(fieldType(number)).toBe('d')
    const bytes = encodeTable(table)
    const typed = { plain: new Typed('d', number), d: table.d, f: table.f }
    expect(decodeTable(bytes, 0, bytes.length)).toEqual(typed)
    expect(tableFromJson(tableToJson(table))).toEqual(typed)
    expect(() => JSON.parse(JSON.stringify(tableToPlain(table)))).not.toThrow()
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%p is equal to itself', (number) => {
    expect(fieldEquals(new Typed('d', number), new Typed('f', number))).toBe(true)
  })
})

describe('integers', () => {
  const widths = [scalars.b, scalars.B, scalars.s, scalars.u, scalars.I, scalars.i, scalars.l, scalars.L]
  const bare = (value: unknown) => BigInt((value instanceof Typed ? value.value : value) as number | bigint)

  it('are equal by value, whatever their widths', () => {
    fc.assert(
      fc.property(fc.oneof(...widths), fc.oneof(...widths), (a, b) => {
        expect(fieldEquals(a, b)).toBe(bare(a) === bare(b))
        for (const type of ['l', 'L'] as const) {
          expect(fieldEquals(a, new Typed(type, bare(a)))).toBe(true)
          expect(fieldEquals(a, new Typed(type, bare(a) + 1n))).toBe(false)
        }
      }),
    )
  })
})
