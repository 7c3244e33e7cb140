// Methods by their rows: known bytes, any arguments of any method there and back, and arguments that lie.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { argumentsOf } from './arbitraries.test.support'
import { ConnectionError } from './errors'
import { FrameParser, type FrameSink } from './frame-parser'
import {
  type DecodedMethod,
  decodeMethod,
  encodeBodyFrames,
  encodeContentHeader,
  encodeMethod,
  frame,
} from './method-codec'
import { METHOD_BY_NAME, type MethodName } from './spec'

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
const names = [...METHOD_BY_NAME.keys()]
/** By name: jest runs tests in a realm of their own, Node's errors are of another. */
const rangeError = expect.objectContaining({ name: 'RangeError' })

/** What a peer would get out of these bytes: one method. */
function read(bytes: Buffer): { channel: number; method: DecodedMethod } {
  const seen: { channel: number; method: DecodedMethod }[] = []
  const none = () => {
    throw new Error('not a method')
  }
  const onMethod: FrameSink['onMethod'] = (channel, id, buf, start, end) =>
    seen.push({ channel, method: decodeMethod(id, buf, start, end) })
  new FrameParser({ onMethod, onHeader: none, onBody: none, onHeartbeat: none }, 0xffffffff).push(bytes)
  expect(seen).toHaveLength(1)
  return seen[0]
}

describe('known bytes', () => {
  it.each<{ name: MethodName; args: Record<string, unknown>; bytes: string }>([
    { name: 'channel.close-ok', args: {}, bytes: '01 0001 00000004 0014 0029 ce' },
    {
      name: 'connection.tune',
      args: { channelMax: 2047, frameMax: 131072, heartbeat: 60 },
      bytes: '01 0001 0000000c 000a 001e 07ff 00020000 003c ce',
    },
    {
      name: 'queue.declare',
      args: { queue: 'q', durable: true, autoDelete: true, arguments: { x: 1 } },
      bytes: '01 0001 00000014 0032 000a 0000 01 71 0a 00000007 01 78 49 00000001 ce',
    },
    {
      name: 'exchange.declare',
      args: { exchange: 'e', type: 'fanout', noWait: true },
      bytes: '01 0001 00000014 0028 000a 0000 01 65 06 66616e6f7574 10 00000000 ce',
    },
    {
      name: 'basic.nack',
      args: { deliveryTag: 2 ** 32 + 5, requeue: true },
      bytes: '01 0001 0000000d 003c 0078 0000000100000005 02 ce',
    },
    { name: 'connection.secure', args: { challenge: 'hi' }, bytes: '01 0001 0000000a 000a 0014 00000002 6869 ce' },
    {
      name: 'basic.get-ok',
      args: { deliveryTag: 1, redelivered: true, exchange: '', routingKey: 'é', messageCount: 3 },
      bytes: '01 0001 00000015 003c 0047 0000000000000001 01 00 02 c3a9 00000003 ce',
    },
  ])('$name', ({ name, args, bytes }) => {
    expect(encodeMethod(name, 1, args).toString('hex')).toBe(hex(bytes).toString('hex'))
    const { channel, method } = read(hex(bytes))
    expect([channel, method.name]).toEqual([1, name])
    const sent = Object.entries(args).map(([key, value]) => [key, key === 'challenge' ? Buffer.from('hi') : value])
    expect(method.args).toMatchObject(Object.fromEntries(sent))
  })

  it('what is not given is nothing', () => {
    expect(read(encodeMethod('basic.consume', 3, {})).method.args).toEqual({
      reserved1: 0,
      queue: '',
      consumerTag: '',
      noLocal: false,
      noAck: false,
      exclusive: false,
      noWait: false,
      arguments: {},
    })
  })
})

describe('any arguments', () => {
  it.each(names)('of %s are written and read back the same', (name) => {
    fc.assert(
      fc.property(fc.nat(65535), argumentsOf(name), (channel, args) => {
        const { method, ...rest } = read(encodeMethod(name, channel, args))
        expect([rest.channel, method.name, method.id]).toEqual([channel, name, METHOD_BY_NAME.get(name)?.id])
        expect(method.args).toEqual(args)
      }),
      { numRuns: 40 },
    )
  })
})

describe('arguments that lie', () => {
  const decode = (name: MethodName, bytes: Buffer) => {
    const id = METHOD_BY_NAME.get(name)?.id as number
    // Within a larger buffer, as in a chunk.
    return decodeMethod(id, Buffer.concat([bytes, Buffer.alloc(300, 1)]), 0, bytes.length)
  }
  const refusal = (act: () => unknown): ConnectionError => {
    try {
      act()
    } catch (error) {
      expect(error).toBeInstanceOf(ConnectionError)
      return error as ConnectionError
    }
    throw new Error('not refused')
  }

  it.each(names)('%s cut anywhere, or with a byte too many: 502, with its id', (name) => {
    const whole = encodeMethod(name, 1, {}).subarray(11, -1)
    for (let length = 0; length < whole.length; length++) {
      const error = refusal(() => decode(name, whole.subarray(0, length)))
      expect(error).toMatchObject({ replyCode: 502, methodId: METHOD_BY_NAME.get(name)?.id })
      expect(error.text).toMatch(/^SYNTAX_ERROR - malformed /)
    }
    const error = refusal(() => decode(name, Buffer.concat([whole, hex('00')])))
    expect(error).toMatchObject({
      replyCode: 502,
      text: `SYNTAX_ERROR - malformed ${name}: 1 bytes behind its arguments`,
    })
  })

  it.each<{ what: string; name: MethodName; bytes: string; text: string }>([
    {
      what: 'a name longer than its frame',
      name: 'queue.declare',
      bytes: '0000 c8 6162',
      text: 'malformed queue.declare: cut short',
    },
    {
      what: 'a name that is no UTF-8',
      name: 'queue.delete',
      bytes: '0000 02 fffe 00',
      text: 'malformed queue.delete: a short string that is not UTF-8',
    },
    {
      what: 'a name that is half a character',
      name: 'queue.delete',
      bytes: '0000 01 c3 00',
      text: 'malformed queue.delete: a short string that is not UTF-8',
    },
    {
      what: 'a long string of the largest length',
      name: 'connection.secure-ok',
      bytes: 'ffffffff 61',
      text: 'malformed connection.secure-ok: cut short',
    },
    {
      what: 'a table longer than its frame',
      name: 'queue.unbind',
      bytes: '0000 00 00 00 00000009',
      text: 'malformed queue.unbind: cut short',
    },
    {
      what: 'a table that lies within',
      name: 'queue.unbind',
      bytes: '0000 00 00 00 00000002 09 61',
      text: 'malformed table: a length or value reaches past the end',
    },
    {
      what: 'a tag beyond 2^53',
      name: 'basic.deliver',
      bytes: '00 0020000000000000 00 00 00',
      text: 'malformed basic.deliver: a 64-bit number beyond 2^53',
    },
  ])('$what: 502', ({ name, bytes, text }) => {
    const error = refusal(() => decode(name, hex(bytes)))
    expect(error).toMatchObject({
      replyCode: 502,
      text: `SYNTAX_ERROR - ${text}`,
      methodId: METHOD_BY_NAME.get(name)?.id,
    })
  })

  it.each([
    [77, 10],
    [60, 999],
    [0, 0],
    [65535, 65535],
  ])('method %i.%i is unknown: 503', (classId, methodId) => {
    const error = refusal(() => decodeMethod((classId << 16) | methodId, Buffer.alloc(0), 0, 0))
    expect(error).toMatchObject({ replyCode: 503, text: `COMMAND_INVALID - unknown method ${classId}.${methodId}` })
  })

  it('any bytes for any method: 502 at worst', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.uint8Array({ maxLength: 60 }), (name, bytes) => {
        try {
          decode(name, Buffer.from(bytes))
        } catch (error) {
          expect(error).toMatchObject({ replyCode: 502 })
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('what cannot be written', () => {
  it.each<[MethodName, Record<string, unknown>]>([
    ['queue.declare', { queue: 'x'.repeat(256) }],
    ['queue.declare', { queue: 'é'.repeat(128) }],
    ['connection.tune', { channelMax: 65536 }],
    ['connection.tune', { frameMax: -1 }],
    ['basic.ack', { deliveryTag: -1 }],
    ['basic.ack', { deliveryTag: 1.5 }],
  ])('%s %p', (name, args) => expect(() => encodeMethod(name, 1, args)).toThrow(rangeError))
})

describe('content', () => {
  it('has its size and properties in the header', () => {
    expect(encodeContentHeader(1, 2 ** 32 + 3, hex('1000 02')).toString('hex')).toBe(
      hex('02 0001 0000000f 003c 0000 0000000100000003 1000 02 ce').toString('hex'),
    )
  })

  it.each([
    { length: 0, frameMax: 4096, frames: [] },
    { length: 1, frameMax: 4096, frames: [1] },
    { length: 4088, frameMax: 4096, frames: [4088] },
    { length: 4089, frameMax: 4096, frames: [4088, 1] },
    { length: 10, frameMax: 12, frames: [4, 4, 2] },
    { length: 3, frameMax: 9, frames: [1, 1, 1] },
    { length: 200_000, frameMax: 0, frames: [200_000] },
    { length: 0, frameMax: 0, frames: [] },
  ])('of $length bytes at frame-max $frameMax', ({ length, frameMax, frames }) => {
    const body = Buffer.from(Array.from({ length }, (_, i) => i & 0xff))
    const expected: Buffer[] = []
    let at = 0
    for (const size of frames) {
      expected.push(frame(3, 5, body.subarray(at, at + size)))
      at += size
    }
    expect(encodeBodyFrames(5, body, frameMax).equals(Buffer.concat(expected))).toBe(true)
  })

  it.each([-1, 1, 8])('does not fit frames of %i bytes', (frameMax) => {
    expect(() => encodeBodyFrames(1, Buffer.from('x'), frameMax)).toThrow(RangeError)
  })
})
