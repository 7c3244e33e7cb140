// A message's way through the connection: gathered from frames however they are cut, stored, written out again.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import {
  decodeMethod,
  encodeBodyFrames,
  encodeContentHeader,
  encodeMethod,
  encodeProperties,
  FrameParser,
  type FrameSink,
} from '../../protocol'
import { Arena } from '../../storage/arena'
import { BufferPool } from '../../storage/buffer-pool'
import { type ByteRange, type IncomingMessage, MessageStore } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { writeDelivery, writeGetOk, writeReturn } from './message-writer'
import { type Block, BlockPool, OutBuffer } from './out-buffer'
import { PublishAssembly } from './publish-assembly'
import { Transaction } from './transaction'
import { Unacked } from './unacked'

interface Message {
  exchange: string
  routingKey: string
  properties: Buffer
  body: Buffer
}

const BODY_SIZE_MAX = 1024 * 1024
const properties = encodeProperties({ contentType: 'text/plain', headers: { a: 1 }, deliveryMode: 2 })
const message = (body: Buffer | string, exchange = 'amq.topic', routingKey = 'a.b'): Message => ({
  exchange,
  routingKey,
  properties,
  body: Buffer.from(body),
})

function publishFrames(m: Message, frameMax = 4096): Buffer {
  const { exchange, routingKey } = m
  return Buffer.concat([
    encodeMethod('basic.publish', 1, { exchange, routingKey, mandatory: true }),
    encodeContentHeader(1, m.body.length, m.properties),
    encodeBodyFrames(1, m.body, frameMax),
  ])
}

function shown(m: IncomingMessage): Message {
  const exchangeEnd = m.namesStart + 1 + m.namesBuf[m.namesStart]
  return {
    exchange: m.namesBuf.toString('utf8', m.namesStart + 1, exchangeEnd),
    routingKey: m.namesBuf.toString('utf8', exchangeEnd + 1, m.namesEnd),
    properties: Buffer.from(m.headerBuf.subarray(m.headerStart + 12, m.headerEnd)),
    body: Buffer.from(m.bodyBuf.subarray(m.bodyStart, m.bodyEnd)),
  }
}

/** What comes out when the frames arrive in these chunks, each of which is overwritten once it was taken. */
function gathered(stream: Buffer, cuts: readonly number[]): Message[] {
  const assembly = new PublishAssembly(BODY_SIZE_MAX, { bytes: 0 }, new BufferPool())
  const messages: Message[] = []
  const parser = new FrameParser(
    {
      onMethod: (_channel, _id, buf, start, end) => assembly.onMethod(buf, start, end),
      onHeader: (_channel, buf, start, end) => assembly.onHeader(buf, start, end) && messages.push(shown(assembly)),
      onBody: (_channel, buf, start, end) => assembly.onBody(buf, start, end) && messages.push(shown(assembly)),
      onHeartbeat() {},
    },
    131072,
  )
  const ends = [...cuts, stream.length].sort((a, b) => a - b)
  let from = 0
  for (const to of ends) {
    const chunk = Buffer.from(stream.subarray(from, to))
    parser.push(chunk)
    assembly.keep()
    chunk.fill(0xff)
    from = to
  }
  expect(assembly.isOpen).toBe(false)
  return messages
}

describe('a publish', () => {
  const two = [message('x'.repeat(30)), message('', '', 'q')]
  const stream = Buffer.concat(two.map((m) => publishFrames(m, 20)))

  it('is the same wherever the stream is cut', () => {
    for (let cut = 0; cut <= stream.length; cut++) expect(gathered(stream, [cut])).toEqual(two)
    expect(gathered(stream, Array.from(stream.keys()))).toEqual(two)
  })

  it('is the same cut at any several places', () => {
    const cuts = fc.array(fc.nat({ max: stream.length }), { maxLength: 6 })
    fc.assert(fc.property(cuts, (at) => expect(gathered(stream, at)).toEqual(two)))
  })

  it('of many body frames grows with what arrives', () => {
    const big = message(Buffer.alloc(300_000, 'b'))
    expect(gathered(publishFrames(big), [])).toEqual([big])
    const assembly = new PublishAssembly(2 ** 30, { bytes: 0 }, new BufferPool())
    const frames = publishFrames(message('x'))
    const header = encodeContentHeader(1, 2 ** 29, properties)
    assembly.onMethod(frames, 11, frames.indexOf(0xce, 11))
    assembly.onHeader(header, 7, header.length - 1)
    assembly.onBody(Buffer.from('abc'), 0, 3)
    expect(assembly.bodyBuf.length).toBeLessThan(100_000)
  })

  it.each<[string, (a: PublishAssembly, m: Buffer, h: Buffer) => void, number]>([
    ['a header without its method', (a, _, h) => a.onHeader(h, 7, h.length - 1), 505],
    ['a body without its method', (a, m) => a.onBody(m, 0, 1), 505],
    [
      'a body before its header',
      (a, m) => {
        a.onMethod(m, 11, m.length - 1)
        a.onBody(m, 0, 1)
      },
      505,
    ],
    [
      'a method between',
      (a, m) => {
        a.onMethod(m, 11, m.length - 1)
        a.refuseMethod()
      },
      505,
    ],
    [
      'more body than announced',
      (a, m, h) => {
        a.onMethod(m, 11, m.length - 1)
        a.onHeader(h, 7, h.length - 1)
        a.onBody(Buffer.alloc(100), 0, 100)
      },
      501,
    ],
    [
      'a part of a frame with more body than announced, before the rest of it comes',
      (a, m, h) => {
        a.onMethod(m, 11, m.length - 1)
        a.onHeader(h, 7, h.length - 1)
        a.onBody(Buffer.alloc(10), 0, 10, 1)
      },
      501,
    ],
    [
      'a body over the limit',
      (a, m) => {
        a.onMethod(m, 11, m.length - 1)
        const h = encodeContentHeader(1, BODY_SIZE_MAX + 1, properties)
        a.onHeader(h, 7, h.length - 1)
      },
      406,
    ],
  ])('is refused: %s', (_, send, code) => {
    const method = encodeMethod('basic.publish', 1, { exchange: '', routingKey: 'q' })
    const header = encodeContentHeader(1, 10, properties)
    expect(() => send(new PublishAssembly(BODY_SIZE_MAX, { bytes: 0 }, new BufferPool()), method, header)).toThrow(
      expect.objectContaining({ replyCode: code }),
    )
  })
})

/** What a client would read from the bytes. */
function readBack(
  bytes: Buffer,
  frameMax: number,
): { channel: number; method: unknown; properties: Buffer; body: Buffer } {
  const seen = { channel: 0, method: null as unknown, properties: Buffer.alloc(0), body: Buffer.alloc(0) }
  const sink: FrameSink = {
    onMethod(channel, id, buf, start, end) {
      seen.channel = channel
      seen.method = decodeMethod(id, buf, start, end)
    },
    onHeader(channel, buf, start, end) {
      expect(channel).toBe(seen.channel)
      seen.properties = Buffer.from(buf.subarray(start + 12, end))
    },
    onBody(channel, buf, start, end) {
      expect(channel).toBe(seen.channel)
      seen.body = Buffer.concat([seen.body, buf.subarray(start, end)])
    },
    onHeartbeat() {},
  }
  new FrameParser(sink, frameMax).push(bytes)
  return seen
}

describe('a stored message', () => {
  const pool = new BlockPool(new Arena())
  const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  const sizes = [0, 1, 47, 48, 49, 4088, 4089, 20_000, 32_000, 33_000, 65_536, 200_000]
  const stored = (m: IncomingMessage): void => {
    const store = new MessageStore()
    store.locate(store.append(m, 1, 0), range)
  }
  const names = { exchange: 'amq.topic', routingKey: 'k'.repeat(255) }
  const written = (out: OutBuffer): Buffer => {
    const blocks: Buffer[] = []
    out.takeAll((block, bytes) => {
      blocks.push(Buffer.from(block.bytes.subarray(0, bytes)))
      pool.give(block)
    })
    return Buffer.concat(blocks)
  }

  it.each(sizes.flatMap((size) => [4096, 131072].map((frameMax): [number, number] => [size, frameMax])))(
    'with a body of %i bytes goes out in frames of at most %i',
    (size, frameMax) => {
      const body = Buffer.alloc(size, 'ab')
      const m = sampleMessage({ ...names, body })
      const sent = { channel: 0x1234, properties: m.headerBuf.subarray(12), body }
      stored(m)
      const out = new OutBuffer(pool)
      expect(writeDelivery(out, 0x1234, frameMax, Buffer.from('ctag'), 2 ** 33, true, range)).toBe(size)
      expect(readBack(written(out), frameMax)).toMatchObject({
        ...sent,
        method: { args: { ...names, consumerTag: 'ctag', deliveryTag: expect.anything(), redelivered: true } },
      })
      expect(writeGetOk(out, 0x1234, frameMax, 7, false, 99, range)).toBe(size)
      expect(readBack(written(out), frameMax)).toMatchObject({
        ...sent,
        method: { args: { ...names, messageCount: 99, redelivered: false } },
      })
      writeReturn(out, 0x1234, frameMax, m)
      expect(readBack(written(out), frameMax)).toMatchObject({
        ...sent,
        method: { args: { ...names, replyCode: 312, replyText: 'NO_ROUTE' } },
      })
    },
  )

  it('comes behind what the buffer holds already, however many blocks that fills', () => {
    const out = new OutBuffer(pool)
    stored(sampleMessage({ ...names, body: Buffer.alloc(3000) }))
    const ends: number[] = []
    for (let i = 0; i < 100; i++) {
      writeDelivery(out, 1, 4096, Buffer.from('c'), i, false, range)
      ends.push(out.bytes)
    }
    const bytes = written(out)
    expect(bytes).toHaveLength(ends[99])
    const [first, ...others] = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
    for (const other of others) expect(other.length).toBe(first.length)
    expect(readBack(others[98], 4096).body).toHaveLength(3000)
  })
})

describe('what a turn says', () => {
  /** The sizes of the blocks that hold it. */
  const blocksOf = (pieces: number[]): number[] => {
    const out = new OutBuffer(new BlockPool(new Arena()))
    for (const bytes of pieces) out.append(new Uint8Array(bytes))
    const sizes: number[] = []
    out.takeAll((block) => sizes.push(block.bytes.length))
    return sizes
  }

  it.each<[string, number[], number[]]>([
    ['nothing', [], []],
    ['little', [10, 4000], [4096]],
    ['more', [4000, 100, 60_000], [4096, 65536]],
    ['one piece that fits no first block', [5000], [65536]],
    ['much', [1000, ...Array(200).fill(1000)], [4096, 65536, 65536, 65536, 65536]],
    ['a large piece between small ones', [10, 100_000, 10], [4096, 100_000, 65536]],
  ])('%s: takes few blocks', (_, pieces, blocks) => expect(blocksOf(pieces)).toEqual(blocks))

  it('uses blocks again', () => {
    const pool = new BlockPool(new Arena())
    const out = new OutBuffer(pool)
    const turn = (): Set<Block> => {
      const seen = new Set<Block>()
      for (let i = 0; i < 100; i++) out.append(new Uint8Array(1000))
      out.takeAll((block) => {
        seen.add(block)
        pool.give(block)
      })
      return seen
    }
    const first = turn()
    expect(first.size).toBe(3)
    for (const block of turn()) expect(first.has(block)).toBe(true)
  })
})

describe('a transaction', () => {
  it('keeps messages whole when the chunk goes', () => {
    const assembly = new PublishAssembly(BODY_SIZE_MAX, { bytes: 0 }, new BufferPool())
    const tx = new Transaction({ bytes: 0 })
    const m = message('body')
    const chunk = publishFrames(m)
    const parser = new FrameParser(
      {
        onMethod: (_c, _i, buf, start, end) => assembly.onMethod(buf, start, end),
        onHeader: (_c, buf, start, end) => void assembly.onHeader(buf, start, end),
        onBody: (_c, buf, start, end) => void (assembly.onBody(buf, start, end) && tx.addPublish(assembly)),
        onHeartbeat() {},
      },
      131072,
    )
    parser.push(chunk)
    chunk.fill(0)
    expect(tx.publishes.map(shown)).toEqual([m])
    expect(tx.publishes[0].mandatory).toBe(true)
  })

  it('holds each settlement once, until it is cleared', () => {
    const unacked = new Unacked()
    for (const tag of [1, 2, 4]) unacked.push(tag, tag, { ack() {}, reject() {}, requeue() {} }, 0)
    const tx = new Transaction({ bytes: 0 })
    tx.addSettle(2, false, 'ack', unacked)
    tx.addSettle(0, true, 'failed', unacked)
    expect(tx.settles).toEqual([
      { tag: 2, how: 'ack' },
      { tag: 1, how: 'failed' },
      { tag: 4, how: 'failed' },
    ])
    expect(tx.holds(4)).toBe(true)
    tx.clear()
    expect(tx.holds(4)).toBe(false)
    expect(tx.settles).toEqual([])
  })
})
