// The parts of a stream: tickets and cursors against an array, the stamp in messages of all shapes, recovery in any order.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { decodeProperties, encodeProperties, type FieldTable, type Properties, Typed } from '../../protocol'
import { type IncomingMessage, MessageStore } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { storedBodyLength } from '../../storage/segment'
import { asIncoming } from './shelf'
import { Cursor, StreamLog, ticketsOf } from './stream-log'
import { StreamRecovery } from './stream-recovery'
import { StreamStamp } from './stream-stamp'

const distances = fc.array(
  fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 40 })),
  { minLength: 1, maxLength: 3000 },
)

function ticketsFrom(steps: readonly number[]): number[] {
  let ticket = 0
  return steps.map((step) => (ticket += step))
}

function filled(tickets: readonly number[], chunkBytes = Number.POSITIVE_INFINITY): StreamLog {
  const log = new StreamLog()
  log.limits = { bytes: chunkBytes, spanMs: Number.POSITIVE_INFINITY }
  for (const ticket of tickets) log.append(ticket, 10, ticket)
  return log
}

function messageOf(properties: Properties, body: string): IncomingMessage {
  const { headerBuf, ...rest } = sampleMessage({ exchange: 'x', routingKey: 'k', body })
  const header = Buffer.concat([headerBuf.subarray(0, 12), encodeProperties(properties)])
  return { ...rest, headerBuf: header, headerEnd: header.length }
}

const all = (log: StreamLog): number[] => [...log].flatMap((chunk) => [...ticketsOf(chunk)])

describe('the log of a stream', () => {
  it('finds every ticket by its offset, from any place, whatever has gone', () => {
    const property = fc.property(
      distances,
      fc.integer({ min: 10, max: 500 }),
      fc.nat(),
      fc.nat(),
      (steps, bytes, gone, seed) => {
        const tickets = ticketsFrom(steps)
        const log = filled(tickets, bytes)
        for (let i = gone % log.chunkCount; i > 0; i--) log.dropFirst()
        expect(all(log)).toEqual(tickets.slice(log.firstOffset))
        expect(log.bytes).toBe(log.count * 10)
        const start = log.firstOffset + (seed % log.count)
        const cursor = new Cursor(log, start)
        for (let offset = start; offset < log.nextOffset; offset++, cursor.offset++)
          expect(cursor.current).toBe(tickets[offset])
        cursor.offset = log.firstOffset
        expect(cursor.current).toBe(tickets[log.firstOffset])
      },
    )
    fc.assert(property, { numRuns: 100 })
  })

  it('leads a cursor on that has come to its end', () => {
    const log = filled([5])
    const cursor = new Cursor(log, 0)
    for (let i = 0; i < 3000; i++, cursor.offset++) {
      expect(cursor.current).toBe(5 + i * 3)
      log.append(5 + (i + 1) * 3, 10, i)
    }
  })

  it('keeps the newest message alone, and a cursor there goes on', () => {
    const log = filled([3, 5, 9])
    const cursor = new Cursor(log, 2)
    expect(cursor.current).toBe(9)
    expect([...ticketsOf(log.keepNewest(7))]).toEqual([3, 5, 9])
    expect({ all: all(log), first: log.firstOffset, bytes: log.bytes }).toEqual({ all: [9], first: 2, bytes: 10 })
    log.append(12, 10, 8)
    expect(cursor.current).toBe(9)
    cursor.offset++
    expect(cursor.current).toBe(12)
  })

  it('ends a chunk at its bytes, at its span, and at 1,024 messages', () => {
    const log = new StreamLog()
    log.limits = { bytes: 25, spanMs: 100 }
    for (const [ticket, ms] of [
      [1, 0],
      [2, 0],
      [3, 0],
      [4, 99],
      [5, 100],
    ])
      log.append(ticket, 10, ms)
    expect([...log].map((chunk) => [...ticketsOf(chunk)])).toEqual([[1, 2], [3, 4], [5]])
    expect([...filled(ticketsFrom(new Array(2049).fill(1)))].map(({ count }) => count)).toEqual([1024, 1024, 1])
  })
})

describe('recovery of a stream', () => {
  it('puts messages in order that were copied forward, and gives them their offsets', () => {
    const property = fc.property(distances, fc.array(fc.nat(), { maxLength: 50 }), (steps, moved) => {
      const tickets = ticketsFrom(steps)
      const order = [...tickets]
      for (const at of moved) order.push(...order.splice(at % order.length, 1))
      const log = new StreamLog()
      const recovery = new StreamRecovery(log)
      for (const ticket of order) recovery.add(ticket, 7)
      recovery.finish()
      log.rebase(999_999)
      expect(all(log)).toEqual(tickets)
      expect({ next: log.nextOffset, count: log.count, bytes: log.bytes }).toEqual({
        next: 1_000_000,
        count: tickets.length,
        bytes: tickets.length * 7,
      })
      for (const { ticket, behind } of recovery.newestFirst()) expect(tickets.at(-1 - behind)).toBe(ticket)
    })
    fc.assert(property, { numRuns: 100 })
  })
})

describe('the stamp', () => {
  const shapes: [string, FieldTable | undefined][] = [
    ['no headers', undefined],
    ['no header', {}],
    ['headers', { a: 1, 'x-stream': 'b', nested: { 'x-stream-offset': 5 } }],
    ['the stamp of another stream', { 'x-stream-offset': 5, a: true, 'x-leveret-time': 'late' }],
  ]
  const others = [
    {},
    { contentType: 'text/plain', contentEncoding: 'gzip' },
    { deliveryMode: 2, messageId: 'm', appId: 'a' },
  ]
  const bodies = ['', 'b', 'x'.repeat(300_000)]
  const rows = shapes.flatMap(([what, headers]) =>
    others.flatMap((other) => bodies.map((body) => ({ what, headers, other, body }))),
  )

  it.each(rows)('is read back from a message with $what, $other', ({ headers, other, body }) => {
    const properties = headers === undefined ? other : { ...other, headers }
    const store = new MessageStore()
    const stamp = new StreamStamp()
    const [offset, ms] = [2 ** 40 + 7, 1_800_000_000_123]
    const message = messageOf(properties, body)
    const ticket = store.append(stamp.write(message, offset, ms), 1, 1)
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    store.locate(ticket, range)
    expect(stamp.read(range)).toBe(true)
    expect([stamp.offset, stamp.ms]).toEqual([offset, ms])
    const seen = stamp.view(range)
    expect(storedBodyLength(seen.buf, seen.start)).toBe(body.length)
    const m = asIncoming(seen)
    const kept = Object.fromEntries(
      Object.entries(headers ?? {}).filter(([name]) => name !== 'x-stream-offset' && name !== 'x-leveret-time'),
    )
    expect(decodeProperties(m.headerBuf, m.headerStart + 12, m.headerEnd)).toEqual({
      ...other,
      headers: { ...kept, 'x-stream-offset': new Typed('l', offset) },
    })
    expect(m.bodyBuf.toString('latin1', m.bodyStart, m.bodyEnd)).toBe(body)
    expect(m.namesBuf.subarray(m.namesStart, m.namesEnd)).toEqual(
      message.namesBuf.subarray(message.namesStart, message.namesEnd),
    )
  })

  it('is missed in a message of no stream, which is shown as it is', () => {
    const store = new MessageStore()
    const stamp = new StreamStamp()
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    const tables: (FieldTable | undefined)[] = [undefined, {}, { a: 'x'.repeat(100) }]
    for (const headers of tables) {
      store.locate(store.append(messageOf({ headers }, 'b'), 1, 1), range)
      expect(stamp.read(range)).toBe(false)
      expect(stamp.view(range)).toEqual(range)
    }
  })
})
