// The methods read and written by hand agree with their rows in spec.ts: encoded by the table, read by hand, and the reverse.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { argumentsOf, shortString } from './arbitraries.test.support'
import {
  type PublishArgs,
  readAck,
  readNack,
  readPublish,
  readReject,
  type SettleArgs,
  writeAck,
  writeDeliverPrefix,
  writeGetOkPrefix,
  writeNack,
  writeReturnPrefix,
} from './basic-codec'
import { ConnectionError } from './errors'
import { encodeMethod } from './method-codec'
import { M, type MethodArgs } from './spec'

const HEAD = 11 // frame head and method id
const MARGIN = 5 // of other bytes around
const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')

type Read<Out> = (buf: Buffer, start: number, end: number, out: Out) => void

/** The arguments of a frame, read within a larger buffer as in a chunk. */
function readFrame<Out>(read: Read<Out>, bytes: Buffer, out: Out): Buffer {
  const buf = Buffer.concat([Buffer.alloc(MARGIN, 0xff), bytes, Buffer.alloc(MARGIN, 0xff)])
  read(buf, MARGIN + HEAD, MARGIN + bytes.length - 1, out)
  return buf
}

const publishArgs = (): PublishArgs => ({
  exchangeStart: 0,
  exchangeEnd: 0,
  routingKeyStart: 0,
  routingKeyEnd: 0,
  mandatory: false,
  immediate: false,
})
const settleArgs = (): SettleArgs => ({ deliveryTag: 0, multiple: false, requeue: false })

describe('basic.publish', () => {
  it('read by hand is what was written by the table', () => {
    fc.assert(
      fc.property(argumentsOf('basic.publish'), (args) => {
        const out = publishArgs()
        const buf = readFrame(readPublish, encodeMethod('basic.publish', 1, args), out)
        expect({
          reserved1: args.reserved1,
          exchange: buf.toString('utf8', out.exchangeStart, out.exchangeEnd),
          routingKey: buf.toString('utf8', out.routingKeyStart, out.routingKeyEnd),
          mandatory: out.mandatory,
          immediate: out.immediate,
        }).toEqual(args)
        expect(buf[out.exchangeStart - 1]).toBe(out.exchangeEnd - out.exchangeStart)
        expect(out.routingKeyStart).toBe(out.exchangeEnd + 1)
      }),
    )
  })

  it.each([
    { what: 'nothing', bytes: '' },
    { what: 'no names', bytes: '0000' },
    { what: 'an exchange and no more', bytes: '0000 01 65' },
    { what: 'an exchange longer than all', bytes: '0000 ff 65 01 72 00' },
    { what: 'a routing key longer than all', bytes: '0000 01 65 02 72 00' },
    { what: 'no bits', bytes: '0000 01 65 01 72' },
    { what: 'a byte too many', bytes: '0000 01 65 01 72 00 00' },
    { what: 'an exchange that is no UTF-8', bytes: '0000 01 ff 01 72 00' },
    { what: 'a routing key that is no UTF-8', bytes: '0000 01 65 02 c328 00' },
    { what: 'a character begun in one name and ended in the other', bytes: '0000 01 c3 01 a9 00' },
  ])('$what: 502', ({ bytes }) => {
    expect(refusal(() => readFrame(readPublish, framed(hex(bytes)), publishArgs()))).toMatchObject({
      replyCode: 502,
      methodId: M.basicPublish,
    })
  })

  it('cut anywhere: 502', () => {
    const whole = encodeMethod('basic.publish', 1, { exchange: 'orders', routingKey: 'é' }).subarray(HEAD, -1)
    for (let length = 0; length < whole.length; length++) {
      const error = refusal(() => readFrame(readPublish, framed(whole.subarray(0, length)), publishArgs()))
      expect(error).toMatchObject({ replyCode: 502 })
    }
  })

  it('names of 128 and more bytes, whose length is no ASCII, are text', () => {
    const out = publishArgs()
    readFrame(readPublish, encodeMethod('basic.publish', 1, { routingKey: 'k'.repeat(200) }), out)
    expect(out.routingKeyEnd - out.routingKeyStart).toBe(200)
  })
})

describe('settling', () => {
  it('read by hand is what was written by the table', () => {
    fc.assert(
      fc.property(argumentsOf('basic.nack'), (any) => {
        const { deliveryTag, multiple, requeue } = any as MethodArgs<'basic.nack'>
        const out = settleArgs()
        readFrame(readAck, encodeMethod('basic.ack', 1, { deliveryTag, multiple }), out)
        expect(out).toEqual({ deliveryTag, multiple, requeue: false })
        readFrame(readNack, encodeMethod('basic.nack', 1, { deliveryTag, multiple, requeue }), out)
        expect(out).toEqual({ deliveryTag, multiple, requeue })
        readFrame(readReject, encodeMethod('basic.reject', 1, { deliveryTag, requeue }), out)
        expect(out).toEqual({ deliveryTag, multiple: false, requeue })
      }),
    )
  })

  it.each([readAck, readNack, readReject])('%p takes neither less nor more than its arguments', (read) => {
    for (const length of [0, 1, 8, 10]) {
      const error = refusal(() => readFrame(read, framed(Buffer.alloc(length)), settleArgs()))
      expect(error).toMatchObject({ replyCode: 502 })
    }
  })

  it('a tag beyond 2^53 is no tag that was given out', () => {
    const out = settleArgs()
    readFrame(readAck, framed(hex('ffffffffffffffff 00')), out)
    expect(out.deliveryTag).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
  })

  it('written by hand is what the table writes', () => {
    fc.assert(
      fc.property(fc.nat(65535), fc.maxSafeNat(), fc.boolean(), (channel, deliveryTag, multiple) => {
        const out = Buffer.alloc(21 + 2 * MARGIN, 0xff)
        expect(writeAck(out, MARGIN, channel, deliveryTag, multiple)).toBe(MARGIN + 21)
        expect(inside(out)).toBe(encodeMethod('basic.ack', channel, { deliveryTag, multiple }).toString('hex'))
        expect(writeNack(out, MARGIN, channel, deliveryTag, multiple)).toBe(MARGIN + 21)
        expect(inside(out)).toBe(encodeMethod('basic.nack', channel, { deliveryTag, multiple }).toString('hex'))
      }),
    )
  })
})

describe('messages to a client', () => {
  const channel = fc.nat(65535)
  const names = fc.record({ exchange: shortString, routingKey: shortString })
  type Names = { exchange: string; routingKey: string }
  const rawNames = ({ exchange, routingKey }: Names) =>
    // What a publish holds between its reserved short and its bits.
    encodeMethod('basic.publish', 0, { exchange, routingKey }).subarray(HEAD + 2, -2)

  /** The prefix by hand, then what the broker adds. */
  function written(expected: Buffer, prefix: (out: Buffer, at: number) => number, ...rest: Buffer[]): string {
    const out = Buffer.alloc(expected.length + 2 * MARGIN, 0xff)
    let at = prefix(out, MARGIN)
    for (const part of [...rest, hex('ce')]) at += part.copy(out, at)
    expect(at).toBe(MARGIN + expected.length)
    return inside(out)
  }

  it('basic.deliver', () => {
    fc.assert(
      fc.property(
        channel,
        shortString,
        fc.maxSafeNat(),
        fc.boolean(),
        names,
        (c, consumerTag, deliveryTag, redelivered, n) => {
          const expected = encodeMethod('basic.deliver', c, { consumerTag, deliveryTag, redelivered, ...n })
          const raw = rawNames(n)
          const tag = Buffer.from(consumerTag)
          const bytes = written(
            expected,
            (out, at) => writeDeliverPrefix(out, at, c, tag, deliveryTag, redelivered, raw.length),
            raw,
          )
          expect(bytes).toBe(expected.toString('hex'))
        },
      ),
    )
  })

  it('basic.get-ok', () => {
    fc.assert(
      fc.property(
        channel,
        fc.maxSafeNat(),
        fc.boolean(),
        names,
        fc.nat(0xffffffff),
        (c, deliveryTag, redelivered, n, messageCount) => {
          const expected = encodeMethod('basic.get-ok', c, { deliveryTag, redelivered, ...n, messageCount })
          const raw = rawNames(n)
          const count = Buffer.alloc(4)
          count.writeUInt32BE(messageCount)
          const bytes = written(
            expected,
            (out, at) => writeGetOkPrefix(out, at, c, deliveryTag, redelivered, raw.length + 4),
            raw,
            count,
          )
          expect(bytes).toBe(expected.toString('hex'))
        },
      ),
    )
  })

  it('basic.return', () => {
    fc.assert(
      fc.property(channel, fc.nat(65535), shortString, names, (c, replyCode, replyText, n) => {
        const expected = encodeMethod('basic.return', c, { replyCode, replyText, ...n })
        const raw = rawNames(n)
        const text = Buffer.from(replyText)
        const bytes = written(expected, (out, at) => writeReturnPrefix(out, at, c, replyCode, text, raw.length), raw)
        expect(bytes).toBe(expected.toString('hex'))
      }),
    )
  })
})

function framed(args: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(HEAD), args, hex('ce')])
}

/** What was written; the margins are untouched. */
function inside(out: Buffer): string {
  const margin = Buffer.alloc(MARGIN, 0xff)
  expect(out.subarray(0, MARGIN).equals(margin) && out.subarray(-MARGIN).equals(margin)).toBe(true)
  return out.toString('hex', MARGIN, out.length - MARGIN)
}

function refusal(act: () => unknown): ConnectionError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionError)
    return error as ConnectionError
  }
  throw new Error('not refused')
}
