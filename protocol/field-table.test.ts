// Field tables from bytes and back: every type, every lying length.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { fieldTable, scalars } from './arbitraries.test.support'
import { ConnectionError } from './errors'
import {
  decodeField,
  decodeTable,
  encodeTable,
  FIELD_DEPTH_MAX,
  type FieldTable,
  type FieldType,
  type FieldValue,
  fieldType,
  fieldTypeName,
  findHeader,
  skipTable,
  Typed,
  validateTable,
} from './field-table'
import { hasEither } from './field-walk'

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
const sized = (bytes: Buffer) => Buffer.concat([u32(bytes.length), bytes])
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
/** A table with one field 'a'. */
const tableOf = (type: string, value: Buffer) =>
  sized(Buffer.concat([hex('01'), Buffer.from(`a${type}`, 'latin1'), value]))
const decode = (bytes: Buffer) => decodeTable(bytes, 0, bytes.length)

/** Refused alike by the decoder and by both walkers. */
function refusal(bytes: Buffer): ConnectionError {
  const errors = [decodeTable, skipTable, validateTable].map((read) => {
    try {
      read(bytes, 0, bytes.length)
    } catch (error) {
      return error as ConnectionError
    }
    throw new Error(`${read.name} took it`)
  })
  for (const error of errors) {
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ replyCode: 502, text: errors[0].text })
  }
  return errors[0]
}

const rows: { type: FieldType; bytes: string; value: FieldValue; name: string }[] = [
  { type: 't', bytes: '01', value: true, name: 'bool' },
  { type: 't', bytes: '00', value: false, name: 'bool' },
  { type: 'b', bytes: '80', value: new Typed('b', -128), name: 'byte' },
  { type: 'B', bytes: 'ff', value: new Typed('B', 255), name: 'unsignedbyte' },
  { type: 's', bytes: '8000', value: new Typed('s', -32768), name: 'short' },
  { type: 'u', bytes: 'ffff', value: new Typed('u', 65535), name: 'unsignedshort' },
  { type: 'I', bytes: '80000000', value: -2147483648, name: 'signedint' },
  { type: 'I', bytes: '0000ea60', value: 60000, name: 'signedint' },
  { type: 'i', bytes: 'ffffffff', value: new Typed('i', 4294967295), name: 'unsignedint' },
  { type: 'l', bytes: '00000000 00000005', value: new Typed('l', 5), name: 'long' },
  { type: 'l', bytes: '001fffff ffffffff', value: new Typed('l', 2 ** 53 - 1), name: 'long' },
  { type: 'l', bytes: '80000000 00000000', value: new Typed('l', -(2n ** 63n)), name: 'long' },
  { type: 'L', bytes: 'ffffffff ffffffff', value: new Typed('L', -1), name: 'long' },
  { type: 'f', bytes: '3f000000', value: new Typed('f', 0.5), name: 'float' },
  { type: 'd', bytes: '80000000 00000000', value: new Typed('d', -0), name: 'double' },
  { type: 'd', bytes: '7ff00000 00000000', value: new Typed('d', Infinity), name: 'double' },
  { type: 'D', bytes: '02 ffffffff', value: new Typed('D', { scale: 2, unscaled: 4294967295 }), name: 'decimal' },
  { type: 'S', bytes: '00000000', value: '', name: 'longstr' },
  { type: 'S', bytes: '00000006 efbbbf c3a9 00', value: '\ufeffé\0', name: 'longstr' },
  { type: 'S', bytes: '00000002 fffe', value: new Typed('S', hex('fffe')), name: 'longstr' },
  { type: 'x', bytes: '00000002 00ff', value: new Typed('x', hex('00ff')), name: 'binary' },
  { type: 'A', bytes: '00000000', value: [], name: 'array' },
  { type: 'A', bytes: '00000007 56 49 00000007 56', value: [null, 7, null], name: 'array' },
  { type: 'T', bytes: '00000000 6553f100', value: new Typed('T', 1700000000), name: 'timestamp' },
  { type: 'T', bytes: 'ffffffff ffffffff', value: new Typed('T', 2n ** 64n - 1n), name: 'timestamp' },
  { type: 'F', bytes: '00000000', value: table({}), name: 'table' },
  { type: 'F', bytes: '00000004 01 62 74 01', value: table({ b: true }), name: 'table' },
  { type: 'V', bytes: '', value: null, name: 'void' },
]

function table(fields: FieldTable): FieldTable {
  return Object.assign(Object.create(null), fields)
}

describe('one field', () => {
  it.each(rows)('$type $bytes', ({ type, bytes, value, name }) => {
    const encoded = tableOf(type, hex(bytes))
    expect(decode(encoded)).toEqual({ a: value })
    expect(encodeTable({ a: value }).toString('hex')).toBe(encoded.toString('hex'))
    expect(skipTable(encoded, 0, encoded.length)).toBe(encoded.length)
    expect(fieldType(value)).toBe(type)
    expect(fieldTypeName(value)).toBe(name)
  })

  it('any octet but 0 is true', () => expect(decode(tableOf('t', hex('02')))).toEqual({ a: true }))
})

describe('plain numbers', () => {
  it.each([
    [0, 'I'],
    [2147483647, 'I'],
    [2147483648, 'l'],
    [-2147483649, 'l'],
    [2 ** 53 - 1, 'l'],
    [2 ** 53, 'd'],
    [1e300, 'd'],
    [-0, 'd'],
    [1.5, 'd'],
    [Number.POSITIVE_INFINITY, 'd'],
  ])('%p is written as %s', (number, type) => {
    expect(fieldType(number)).toBe(type)
    const read = decode(encodeTable({ a: number })).a
    expect(read instanceof Typed ? read.value : read).toBe(number)
  })
})

describe('names', () => {
  const named = (name: Buffer) => sized(Buffer.concat([Buffer.from([name.length]), name, Buffer.from('V')]))

  it.each([
    { what: 'empty', bytes: Buffer.alloc(0) },
    { what: 'of 255 bytes', bytes: Buffer.alloc(255, 'x') },
    { what: 'with what JavaScript objects have', bytes: Buffer.from('__proto__') },
    { what: 'of a method of objects', bytes: Buffer.from('toString') },
    { what: 'no UTF-8', bytes: hex('61ff80fe') },
    { what: 'half UTF-8', bytes: hex('c3a9ff') },
  ])('$what', ({ bytes }) => {
    const decoded = decode(named(bytes))
    expect(Object.values(decoded)).toEqual([null])
    expect(encodeTable(decoded).toString('hex')).toBe(named(bytes).toString('hex'))
  })

  it('that are no UTF-8 and differ stay different', () => {
    const two = sized(Buffer.concat([named(hex('ff')).subarray(4), named(hex('fe')).subarray(4)]))
    expect(Object.keys(decode(two))).toHaveLength(2)
  })

  it('given twice: the first counts', () => {
    expect(decode(sized(hex('01 61 74 01 01 61 74 00')))).toEqual({ a: true })
  })

  it('of 256 bytes are not written', () => {
    expect(() => encodeTable({ ['é'.repeat(128)]: 1 })).toThrow(RangeError)
  })
})

describe('what lies', () => {
  const past = 'SYNTAX_ERROR - malformed table: a length or value reaches past the end'

  it.each([
    { what: 'nothing at all', bytes: '' },
    { what: 'half a length', bytes: '0000' },
    { what: 'a table longer than its range', bytes: '00000001' },
    { what: 'a table of the largest length', bytes: 'ffffffff 0161' },
    { what: 'a name longer than its table', bytes: '00000002 09 61' },
    { what: 'a name and no type', bytes: '00000002 01 61' },
    { what: 'a string longer than its table', bytes: '00000008 01 61 53 00000002 78' },
    { what: 'a string of the largest length', bytes: '00000008 01 61 53 ffffffff 78' },
    { what: 'a string whose length is cut', bytes: '00000005 01 61 53 0000' },
    { what: 'an inner table longer than its table', bytes: '00000008 01 61 46 00000002 00' },
    { what: 'a field longer than its inner table', bytes: '0000000c 01 61 46 00000003 01 62 49 00 00' },
    { what: 'an array longer than its table', bytes: '00000008 01 61 41 00000002 56' },
    { what: 'a value longer than its array', bytes: '0000000b 01 61 41 00000002 49 00 00 00' },
  ])('$what', ({ bytes }) => expect(refusal(hex(bytes)).text).toBe(past))

  it.each([...'btBsuIiflLdDT'])('a cut %s', (type) => {
    const bytes = type === 't' || type === 'b' || type === 'B' ? '' : '00'
    expect(refusal(tableOf(type, hex(bytes))).text).toBe(past)
  })

  it('every octet that is no type', () => {
    for (let type = 0; type < 256; type++) {
      if ('tbBsuIilLfdDSxATFV'.includes(String.fromCharCode(type))) continue
      const bytes = tableOf(String.fromCharCode(type), Buffer.alloc(16))
      expect(refusal(bytes).text).toBe(`SYNTAX_ERROR - malformed table: unknown field type ${type}`)
    }
  })

  it('never more than 502, the same by every reader, for any damage', () => {
    fc.assert(
      fc.property(fieldTable, fc.nat(), fc.nat(255), (value, where, octet) => {
        const bytes = encodeTable(value)
        bytes[where % bytes.length] = octet
        const outcomes = [decodeTable, skipTable].map((read) => {
          try {
            read(bytes, 0, bytes.length)
            return 'taken'
          } catch (error) {
            expect(error).toBeInstanceOf(ConnectionError)
            return (error as ConnectionError).text
          }
        })
        expect(outcomes[1]).toBe(outcomes[0])
      }),
      { numRuns: 500 },
    )
  })

  it('bytes behind the table are not read, and not taken for part of it', () => {
    const bytes = Buffer.concat([encodeTable({ a: 1 }), hex('ff')])
    expect(decodeTable(bytes, 0, bytes.length)).toEqual({ a: 1 })
    expect(() => validateTable(bytes, 0, bytes.length)).toThrow(ConnectionError)
  })
})

describe('depth', () => {
  const inTables = (levels: number) => {
    let bytes = sized(Buffer.alloc(0))
    for (let i = 0; i < levels; i++) bytes = tableOf('F', bytes)
    return bytes
  }
  const inArrays = (levels: number) => {
    let bytes = sized(Buffer.alloc(0))
    for (let i = 1; i < levels; i++) bytes = sized(Buffer.concat([Buffer.from('A'), bytes]))
    return tableOf('A', bytes)
  }

  it.each([inTables, inArrays])('of %p up to the limit is read and written', (nested) => {
    const bytes = nested(FIELD_DEPTH_MAX)
    expect(encodeTable(decode(bytes)).equals(bytes)).toBe(true)
    expect(skipTable(bytes, 0, bytes.length)).toBe(bytes.length)
  })

  it.each([inTables, inArrays])('of %p over it is refused', (nested) => {
    for (const levels of [FIELD_DEPTH_MAX + 1, 20_000]) {
      expect(refusal(nested(levels)).text).toBe('SYNTAX_ERROR - malformed table: nested deeper than 32')
    }
  })

  it('over it is not written', () => {
    let value: FieldValue = []
    for (let i = 0; i < FIELD_DEPTH_MAX; i++) value = [value]
    expect(() => encodeTable({ a: value })).toThrow(RangeError)
  })
})

describe('any table', () => {
  it('is written and read back the same, to the byte', () => {
    fc.assert(
      fc.property(fieldTable, (value) => {
        const bytes = encodeTable(value)
        const read = decode(bytes)
        expect(read).toEqual(value)
        expect(encodeTable(read).equals(bytes)).toBe(true)
        expect(skipTable(bytes, 0, bytes.length)).toBe(bytes.length)
      }),
      { numRuns: 500 },
    )
  })

  it.each(Object.entries(scalars))('of type %s alone', (_type, values) => {
    fc.assert(fc.property(values, (value) => expect(decode(encodeTable({ a: value }))).toEqual({ a: value })))
  })
})

describe('a field found by its name', () => {
  it('is what decoding gives, wherever it stands', () => {
    fc.assert(
      fc.property(fieldTable, fc.nat(9), (value, margin) => {
        const bytes = Buffer.concat([Buffer.alloc(margin, 0xff), encodeTable(value), Buffer.alloc(margin, 0xff)])
        const end = bytes.length - margin
        const range = { start: 0, end: 0 }
        for (const [name, expected] of Object.entries(value)) {
          expect(findHeader(bytes, margin, end, Buffer.from(name), range)).toBe(true)
          expect(decodeField(bytes, range.start, range.end)).toEqual(expected)
        }
        expect(findHeader(bytes, margin, end, Buffer.alloc(256, 'x'), range)).toBe(false)
      }),
    )
  })

  it('is noticed among others', () => {
    const names = fc.constantFrom('CC', 'BCC', 'C', 'CB', 'XCC', '')
    fc.assert(
      fc.property(fieldTable, fc.nat(9), names, names, (value, margin, one, other) => {
        const bytes = Buffer.concat([Buffer.alloc(margin), encodeTable(value), Buffer.alloc(margin)])
        const isThere = (name: string) => Object.hasOwn(value, name)
        const all = [one, other, ...Object.keys(value)]
        for (const name of all) {
          const [a, b] = [Buffer.from(name), Buffer.from(other)]
          expect(hasEither(bytes, margin, bytes.length - margin, a, b)).toBe(isThere(name) || isThere(other))
          expect(hasEither(bytes, margin, bytes.length - margin, b, a)).toBe(isThere(name) || isThere(other))
        }
      }),
    )
  })

  const find = (bytes: Buffer, name: string) => {
    const range = { start: 0, end: 0 }
    return findHeader(bytes, 0, bytes.length, Buffer.from(name), range) ? range : null
  }

  it('is the first of that name', () => {
    const bytes = sized(hex('01 61 74 01 01 61 74 00'))
    expect(find(bytes, 'a')).toEqual({ start: 6, end: 8 })
  })

  it('is not one whose name only begins alike, nor one within another table', () => {
    const bytes = encodeTable({ ab: 1, b: { a: 2 } })
    expect(find(bytes, 'a')).toBeNull()
  })

  it('behind a lie is not found', () => {
    expect(() => find(hex('0000000a 01 62 53 00000009 01 61 56'), 'a')).toThrow(ConnectionError)
    expect(() => find(hex('00000002 01 61'), 'a')).toThrow(ConnectionError)
    expect(() => find(hex('00000009 01 61'), 'a')).toThrow(ConnectionError)
  })
})
