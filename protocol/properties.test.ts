// Content properties by their flags: decoded, found in place, and lengths that lie.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { properties as anyProperties, shortString } from './arbitraries.test.support'
import { ConnectionError } from './errors'
import { decodeTable } from './field-table'
import {
  decodeProperties,
  deliveryModeOf,
  encodeProperties,
  FLAG_APP_ID,
  FLAG_CLUSTER_ID,
  FLAG_CONTENT_ENCODING,
  FLAG_CONTENT_TYPE,
  FLAG_CORRELATION_ID,
  FLAG_DELIVERY_MODE,
  FLAG_EXPIRATION,
  FLAG_HEADERS,
  FLAG_MESSAGE_ID,
  FLAG_PRIORITY,
  FLAG_REPLY_TO,
  FLAG_TIMESTAMP,
  FLAG_TYPE,
  FLAG_USER_ID,
  locateProperty,
  type Properties,
  priorityOf,
  propertyFlags,
  validateProperties,
} from './properties'

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
/** By name: jest runs tests in a realm of their own, Node's errors are of another. */
const rangeError = expect.objectContaining({ name: 'RangeError' })

const FLAGS: Record<keyof Properties, number> = {
  contentType: FLAG_CONTENT_TYPE,
  contentEncoding: FLAG_CONTENT_ENCODING,
  headers: FLAG_HEADERS,
  deliveryMode: FLAG_DELIVERY_MODE,
  priority: FLAG_PRIORITY,
  correlationId: FLAG_CORRELATION_ID,
  replyTo: FLAG_REPLY_TO,
  expiration: FLAG_EXPIRATION,
  messageId: FLAG_MESSAGE_ID,
  timestamp: FLAG_TIMESTAMP,
  type: FLAG_TYPE,
  userId: FLAG_USER_ID,
  appId: FLAG_APP_ID,
  clusterId: FLAG_CLUSTER_ID,
}

const rows: { bytes: string; value: Properties }[] = [
  { bytes: '0000', value: {} },
  { bytes: '8000 03 612f62', value: { contentType: 'a/b' } },
  { bytes: '4000 00', value: { contentEncoding: '' } },
  { bytes: '2000 00000000', value: { headers: {} } },
  { bytes: '2000 00000004 01 61 74 01', value: { headers: { a: true } } },
  { bytes: '1000 02', value: { deliveryMode: 2 } },
  { bytes: '0800 09', value: { priority: 9 } },
  { bytes: '0400 01 63', value: { correlationId: 'c' } },
  { bytes: '0200 01 72', value: { replyTo: 'r' } },
  { bytes: '0100 05 3630303030', value: { expiration: '60000' } },
  { bytes: '0080 01 6d', value: { messageId: 'm' } },
  { bytes: '0040 000000006553f100', value: { timestamp: 1700000000 } },
  { bytes: '0020 01 74', value: { type: 't' } },
  { bytes: '0010 01 75', value: { userId: 'u' } },
  { bytes: '0008 01 61', value: { appId: 'a' } },
  { bytes: '0004 01 6b', value: { clusterId: 'k' } },
  { bytes: '9880 01 61 01 05 02 6964', value: { contentType: 'a', deliveryMode: 1, priority: 5, messageId: 'id' } },
]

const lying = [
  { what: 'no flags', bytes: '' },
  { what: 'half the flags', bytes: '80' },
  { what: 'more flags to follow', bytes: '0001 0000' },
  { what: 'the flag that stands for nothing', bytes: '0002' },
  { what: 'more flags to follow, and a byte that would fit', bytes: '0001 00' },
  { what: 'the flag that stands for nothing, and a byte that would fit', bytes: '0002 00' },
  { what: 'bytes and no flags', bytes: '0000 00' },
  { what: 'a text that is not there', bytes: '8000' },
  { what: 'a text cut short', bytes: '8000 02 61' },
  { what: 'bytes behind a text', bytes: '8000 01 61 00' },
  { what: 'an octet that is not there', bytes: '1000' },
  { what: 'two octets of which one is there', bytes: '1800 01' },
  { what: 'bytes behind an octet', bytes: '1000 01 01' },
  { what: 'half a timestamp', bytes: '0040 00000000' },
  { what: 'half the length of headers', bytes: '2000 0000' },
  { what: 'headers longer than all', bytes: '2000 00000002 00' },
  { what: 'headers of the largest length', bytes: '2000 ffffffff 00' },
  { what: 'headers with a lie within', bytes: '2000 00000008 01 61 53 00000009 78' },
  { what: 'headers of an unknown type', bytes: '2000 00000003 01 61 5a' },
  { what: 'all flags and no values', bytes: 'fffc' },
]

describe('properties', () => {
  it.each(rows)('$bytes', ({ bytes, value }) => {
    const encoded = hex(bytes)
    expect(decodeProperties(encoded, 0, encoded.length)).toEqual(value)
    expect(encodeProperties(value).toString('hex')).toBe(encoded.toString('hex'))
    expect(() => validateProperties(encoded, 0, encoded.length)).not.toThrow()
  })

  it.each(lying)('$what: 502', ({ bytes }) => {
    // Within a larger buffer, as in a chunk: what lies behind must not be taken for theirs.
    const encoded = Buffer.concat([hex(bytes), Buffer.alloc(300, 1)])
    for (const read of [validateProperties, decodeProperties]) {
      try {
        read(encoded, 0, hex(bytes).length)
      } catch (error) {
        expect(error).toBeInstanceOf(ConnectionError)
        expect(error).toMatchObject({ replyCode: 502 })
        continue
      }
      throw new Error(`${read.name} took it`)
    }
  })

  it('any are written and read back the same', () => {
    fc.assert(
      fc.property(anyProperties, fc.nat(5), (value, margin) => {
        const bytes = encodeProperties(value)
        const placed = Buffer.concat([Buffer.alloc(margin, 0xff), bytes, Buffer.alloc(margin, 0xff)])
        expect(decodeProperties(placed, margin, margin + bytes.length)).toEqual(value)
      }),
    )
  })

  it('cut anywhere, or with any octet changed, are at worst 502', () => {
    fc.assert(
      fc.property(anyProperties, fc.nat(), fc.nat(), fc.nat(255), (value, cut, where, octet) => {
        const bytes = encodeProperties(value)
        bytes[where % bytes.length] = octet
        try {
          decodeProperties(bytes, 0, cut % (bytes.length + 1))
        } catch (error) {
          expect(error).toMatchObject({ replyCode: 502 })
        }
      }),
      { numRuns: 500 },
    )
  })

  it.each<Properties>([
    { contentType: 'é'.repeat(128) },
    { deliveryMode: 256 },
    { priority: -1 },
    { timestamp: -1 },
    { timestamp: 1.5 },
  ])('%p are not written', (value) => expect(() => encodeProperties(value)).toThrow(rangeError))

  it('a timestamp of all ones comes back as it was', () => {
    const bytes = hex('0040 ffffffffffffffff')
    expect(encodeProperties(decodeProperties(bytes, 0, 10)).equals(bytes)).toBe(true)
  })

  it('a text that is no UTF-8 is no error: it is not looked at', () => {
    expect(() => validateProperties(hex('8000 01 ff'), 0, 4)).not.toThrow()
  })
})

describe('one property in place', () => {
  it('is what decoding gives', () => {
    fc.assert(
      fc.property(anyProperties, fc.nat(5), (value, margin) => {
        const bytes = encodeProperties(value)
        const buf = Buffer.concat([Buffer.alloc(margin, 0xff), bytes, Buffer.alloc(margin, 0xff)])
        const end = margin + bytes.length
        expect(deliveryModeOf(buf, margin, end)).toBe(value.deliveryMode ?? 0)
        expect(priorityOf(buf, margin, end)).toBe(value.priority ?? 0)
        for (const name of Object.keys(FLAGS) as (keyof Properties)[]) {
          expect((propertyFlags(buf, margin) & FLAGS[name]) !== 0).toBe(value[name] !== undefined)
          expect(located(buf, margin, end, name)).toEqual(value[name])
        }
      }),
    )
  })

  it('behind long texts is found', () => {
    fc.assert(
      fc.property(shortString, shortString, (contentType, contentEncoding) => {
        const bytes = encodeProperties({ contentType, contentEncoding, deliveryMode: 2, priority: 7 })
        expect([deliveryModeOf(bytes, 0, bytes.length), priorityOf(bytes, 0, bytes.length)]).toEqual([2, 7])
      }),
    )
  })
})

function located(buf: Buffer, start: number, end: number, name: keyof Properties): unknown {
  const range = { start: -1, end: -1 }
  if (!locateProperty(buf, start, end, FLAGS[name], range)) return undefined
  switch (name) {
    case 'headers':
      return decodeTable(buf, range.start, range.end)
    case 'deliveryMode':
    case 'priority':
      expect(range.end - range.start).toBe(1)
      return buf[range.start]
    case 'timestamp':
      return Number(buf.readBigUInt64BE(range.start))
    default:
      return buf.toString('utf8', range.start, range.end)
  }
}
