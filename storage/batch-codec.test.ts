import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { RecordWriter, type ReturnCounts, readRecords } from './batch-codec'
import { StorageError } from './log-backend'

/** One thing that was written, message by message; what the reader says is brought into the same shape. */
type Event =
  | {
      kind: 'enqueue'
      ticket: number
      length: number
      body: number
      queues: number[]
      expiration?: number
      priority?: number
    }
  | { kind: 'settle' | 'returned'; queue: number; ticket: number }
  | { kind: 'delivered'; queue: number; ticket: number }
  | { kind: 'time'; ms: number }
  | { kind: 'counts'; queue: number; ticket: number; counts: ReturnCounts }

function written(events: readonly Event[]): Uint8Array {
  const writer = new RecordWriter()
  for (const e of events) {
    if (e.kind === 'enqueue') {
      // Queue ids lie somewhere in a larger array.
      const ids = Int32Array.from([77, ...e.queues, 78])
      writer.enqueue(e.ticket, e.length, e.body, ids, 1, 1 + e.queues.length, e.expiration, e.priority)
    } else if (e.kind === 'settle') writer.settle(e.queue, e.ticket)
    else if (e.kind === 'returned') writer.returned(e.queue, e.ticket, 1)
    else if (e.kind === 'time') writer.time(e.ms)
    else if (e.kind === 'counts') writer.counts(e.queue, e.ticket, e.counts)
    else writer.deliveredUpTo(e.queue, e.ticket)
  }
  return writer.finish()
}

function read(block: Uint8Array): { events: Event[]; records: number } {
  const events: Event[] = []
  let records = 0
  const each = (kind: 'settle' | 'returned') => (queue: number, first: number, count: number) => {
    records++
    for (let i = 0; i < count; i++) events.push({ kind, queue, ticket: first + i })
  }
  readRecords(block, {
    onEnqueue(first, count, queueIds, lengths, at, expiration, priority) {
      records++
      for (let i = 0; i < count; i++) {
        const length = lengths.getUint32(at + 8 * i, true)
        const body = lengths.getUint32(at + 8 * i + 4, true)
        events.push({
          kind: 'enqueue',
          ticket: first + i,
          length,
          body,
          queues: [...queueIds],
          ...(expiration < 0 ? {} : { expiration }),
          ...(priority < 0 ? {} : { priority }),
        })
      }
    },
    onSettle: each('settle'),
    onReturned: each('returned'),
    onDelivered(queue, ticket) {
      records++
      events.push({ kind: 'delivered', queue, ticket })
    },
    onTime(ms) {
      records++
      events.push({ kind: 'time', ms })
    },
    onCounts(queue, ticket, counts) {
      records++
      events.push({ kind: 'counts', queue, ticket, counts })
    },
  })
  return { events, records }
}

const ticket = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 2 ** 33, max: 2 ** 33 + 5 }))
const queueId = fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constant(2 ** 31 - 1))
const size = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({
    kind: fc.constant('enqueue' as const),
    ticket,
    length: size,
    body: size,
    queues: fc.array(queueId, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('enqueue' as const),
    ticket,
    length: size,
    body: size,
    queues: fc.array(queueId, { minLength: 1, maxLength: 4 }),
    expiration: fc.constantFrom(0, 5, 2 ** 50),
  }),
  fc.record(
    {
      kind: fc.constant('enqueue' as const),
      ticket,
      length: size,
      body: size,
      queues: fc.array(queueId, { minLength: 1, maxLength: 4 }),
      priority: fc.constantFrom(0, 9, 255),
      expiration: fc.constantFrom(0, 5),
    },
    { requiredKeys: ['kind', 'ticket', 'length', 'body', 'queues', 'priority'] },
  ),
  fc.record({
    kind: fc.constant('counts' as const),
    queue: queueId,
    ticket,
    counts: fc.record({
      failures: fc.constantFrom(0, 1, 0xffff),
      acquired: fc.constantFrom(1, 300, 0xffff),
      due: fc.constantFrom(0, 1_800_000_000_000),
    }),
  }),
  fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(0, 1_800_000_000_000) }),
  fc.record({ kind: fc.constantFrom('settle' as const, 'returned' as const), queue: queueId, ticket }),
  fc.record({ kind: fc.constant('delivered' as const), queue: queueId, ticket }),
)

describe('a records block', () => {
  it('reads back as it was written', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        expect(read(written(events)).events).toEqual(events)
      }),
    )
  })

  it('counts no further than it can write', () => {
    const counts = { failures: 0x10000, acquired: 1e9, due: 0 }
    const [read1] = read(written([{ kind: 'counts', queue: 1, ticket: 5, counts }])).events
    expect(read1).toMatchObject({ counts: { failures: 0xffff, acquired: 0xffff } })
  })

  it('holds a run of consecutive tickets as one record', () => {
    const run = (from: number, queue: number): Event[] =>
      [0, 1, 2].map((i) => ({ kind: 'enqueue', ticket: from + i, length: 9, body: 1, queues: [queue] }))
    expect(read(written(run(5, 1))).records).toBe(1)
    expect(read(written([...run(5, 1), ...run(8, 1)])).records).toBe(1)
    expect(read(written([...run(5, 1), ...run(8, 2)])).records).toBe(2)
    expect(read(written([...run(5, 1), ...run(9, 1)])).records).toBe(2)
    const urgent = run(8, 1).map((e) => ({ ...e, priority: 9 }) as Event)
    expect(read(written(urgent)).records).toBe(1)
    expect(read(written([...run(5, 1), ...urgent])).records).toBe(2)
    const settles: Event[] = [5, 6, 7].map((t) => ({ kind: 'settle', queue: 1, ticket: t }))
    expect(read(written(settles)).records).toBe(1)
    // A record in between ends both kinds of run.
    expect(read(written([...run(5, 1), ...settles, ...run(8, 1)])).records).toBe(3)
  })

  it('owns its buffer, so that it can be handed to another thread', () => {
    const block = written([{ kind: 'settle', queue: 1, ticket: 4096 }])
    expect(block.byteLength).toBe(block.buffer.byteLength)
  })

  it('has this layout', () => {
    const block = written([
      { kind: 'enqueue', ticket: 3, length: 40, body: 7, queues: [2] },
      { kind: 'settle', queue: 2, ticket: 3 },
      { kind: 'time', ms: 3 },
      { kind: 'enqueue', ticket: 4, length: 40, body: 7, queues: [2], expiration: 3 },
      { kind: 'enqueue', ticket: 4, length: 40, body: 7, queues: [2], priority: 9 },
    ])
    const enqueue = `0100${'0000000000000840'}${'01000000'}${'01000000'}${'02000000'}${'28000000'}${'07000000'}`
    const settle = `0200${'02000000'}${'0000000000000840'}${'01000000'}`
    const time = `0500${'00000000'}${'0000000000000840'}${'00000000'}`
    const expiring = `0101${'0000000000001040'}${enqueue.slice(20)}${'0000000000000840'}`
    const urgent = `0102${'0000000000001040'}${'01000000'}${'01000000'}09${enqueue.slice(36)}`
    expect(Buffer.from(block).toString('hex')).toBe(`4c02${enqueue}${settle}${time}${expiring}${urgent}`)
  })
})

describe('a damaged records block', () => {
  const events: Event[] = [
    { kind: 'enqueue', ticket: 3, length: 40, body: 7, queues: [2, 5] },
    { kind: 'enqueue', ticket: 4, length: 41, body: 8, queues: [2] },
    { kind: 'settle', queue: 2, ticket: 3 },
    { kind: 'delivered', queue: 2, ticket: 9 },
    { kind: 'time', ms: 9 },
    { kind: 'enqueue', ticket: 5, length: 41, body: 8, queues: [2], expiration: 9 },
    { kind: 'enqueue', ticket: 6, length: 41, body: 8, queues: [2], expiration: 9, priority: 1 },
  ]
  const block = written(events)
  /** Where a cut leaves whole records: such a block is shorter, not damaged; the backend's checksum sees to those. */
  const ends = [...events.keys(), events.length].map((n) => written(events.slice(0, n)).length)

  it.each(Array.from({ length: block.length }, (_, cut) => cut).filter((cut) => !ends.includes(cut)))(
    'is refused when cut at %i',
    (cut) => expect(() => read(block.slice(0, cut))).toThrow(StorageError),
  )

  it('is refused when it lies inside a larger buffer and claims the bytes behind it', () => {
    const larger = new Uint8Array(block.length + 100)
    larger.set(block)
    expect(() => read(larger.subarray(0, block.length - 1))).toThrow(StorageError)
  })

  it.each([
    ['empty', ''],
    ['of another kind', '4d01'],
    ['of another version', '4c01'],
    ['with record 0', `4c02${'00'.repeat(18)}`],
    ['with an unknown record', `4c0209${'00'.repeat(17)}`],
    ['with more queues than bytes', `4c020100${'0000000000000840'}${'01000000'}${'ffffffff'}${'00'.repeat(12)}`],
    ['with more messages than bytes', `4c020100${'0000000000000840'}${'ffffffff'}${'01000000'}${'00'.repeat(12)}`],
  ])('is refused when %s', (_, hex) => {
    expect(() => read(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ kind: 'corrupt' }))
  })

  it('never does anything but read or refuse, whatever the bytes', () => {
    const noise = fc.uint8Array({ maxLength: 80 }).map((tail) => Uint8Array.from([0x4c, 2, ...tail]))
    const quiet = { onEnqueue() {}, onSettle() {}, onReturned() {}, onDelivered() {}, onTime() {}, onCounts() {} }
    fc.assert(
      fc.property(noise, (bytes) => {
        try {
          readRecords(bytes, quiet)
        } catch (error) {
          expect(error).toBeInstanceOf(StorageError)
        }
      }),
    )
  })
})
