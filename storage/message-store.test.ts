import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { SLAB_BYTES } from './arena'
import { type ByteRange, MessageStore, type Ticket } from './message-store'
import { inOneChunk, inOneChunkTogether, sampleMessage, storedForm } from './sample-message'
import { SEGMENT_TICKETS, storedBodyLength, storedHeaderStart } from './segment'

const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

function bytesOf(store: MessageStore, ticket: Ticket): Buffer | null {
  return store.locate(ticket, range) ? Buffer.from(range.buf.subarray(range.start, range.end)) : null
}

/** Channel numbers are patched on delivery, so those of the stored form do not matter. */
const message = (body: string | Buffer, routingKey = 'q') => sampleMessage({ routingKey, body })
const append = (store: MessageStore, body: string | Buffer, refs = 1) => store.append(message(body), refs, refs)

describe('the stored form', () => {
  it.each([
    ['without a body', ''],
    ['with a body', 'hello'],
    ['with a body above the limit of the byte loop', 'x'.repeat(200)],
  ])('is the same from one chunk and from pieces: %s', (_, body) => {
    const store = new MessageStore()
    const m = sampleMessage({ exchange: 'amq.topic', routingKey: 'a.b', body })
    const expected = storedForm(m)
    expect(bytesOf(store, store.append(m, 1, 1))).toEqual(expected)
    expect(bytesOf(store, store.append(inOneChunk(m), 1, 1))).toEqual(expected)
    expect(storedBodyLength(expected, 0)).toBe(body.length)
    expect(storedHeaderStart(expected, 0)).toBe(1 + 9 + 1 + 3 + 2)
  })
})

describe('messages side by side in one chunk', () => {
  /** Publishes as a connection does; the chunk is anything but what it was when it is done with. */
  function publishChunk(store: MessageStore, sent: readonly ReturnType<typeof message>[], between = (_: number) => {}) {
    const { chunk, messages } = inOneChunkTogether(sent)
    store.startBorrowing(chunk)
    const tickets = messages.map((m, i) => {
      const ticket = store.append(m, 1, 0)
      between(i)
      return ticket
    })
    store.stopBorrowing()
    chunk.fill(0xff)
    return tickets
  }

  it('outlive their chunk', () => {
    const store = new MessageStore()
    const sent = [message('one'), message(''), message('three')]
    const tickets = publishChunk(store, sent)
    expect(tickets.map((ticket) => bytesOf(store, ticket))).toEqual(sent.map(storedForm))
  })

  it('can be read before the chunk is done with', () => {
    const store = new MessageStore()
    const sent = [message('one'), message('two'), message('three')]
    const first = store.append(message('before'), 1, 0)
    publishChunk(store, sent, (i) => expect(bytesOf(store, first + 1 + i)).toEqual(storedForm(sent[i])))
  })

  it('are all that is copied later: what stands side by side elsewhere may go at any time', () => {
    const store = new MessageStore()
    const { chunk: elsewhere, messages } = inOneChunkTogether([message('stored long ago')])
    const expected = storedForm(message('stored long ago'))
    store.startBorrowing(inOneChunkTogether([message('x')]).chunk)
    const ticket = store.append(messages[0], 1, 0)
    elsewhere.fill(0xff)
    store.stopBorrowing()
    expect(bytesOf(store, ticket)).toEqual(expected)
  })

  it('are cut where others come between, or the slab ends', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(300), fc.constantFrom('none', 'piece', 'chunk', 'read')), { maxLength: 60 }),
        (steps) => {
          const store = new MessageStore()
          store.slabSize = 2048
          const model = new Map<Ticket, Buffer>()
          const keep = (ticket: Ticket, m: ReturnType<typeof message>) => model.set(ticket, storedForm(m))
          const sent = steps.map(([bytes], i) => message(Buffer.alloc(bytes, i)))
          const tickets = publishChunk(store, sent, (i) => {
            const other = message(`other ${i}`)
            if (steps[i][1] === 'piece') keep(store.append(other, 1, 0), other)
            if (steps[i][1] === 'chunk') keep(store.append(inOneChunk(other), 1, 0), other)
            if (steps[i][1] === 'read')
              for (const [ticket, bytes] of model) expect(bytesOf(store, ticket)).toEqual(bytes)
          })
          for (const [i, ticket] of tickets.entries()) keep(ticket, sent[i])
          for (const [ticket, bytes] of model) expect(bytesOf(store, ticket)).toEqual(bytes)
        },
      ),
    )
  })
})

describe('tickets', () => {
  it('ascend, and name their messages over a change of segment', () => {
    const store = new MessageStore()
    const tickets = Array.from({ length: SEGMENT_TICKETS + 10 }, (_, i) => append(store, `m${i}`))
    for (let i = 1; i < tickets.length; i++) expect(tickets[i]).toBe(tickets[i - 1] + 1)
    expect(store.segments.size).toBe(2)
    for (const i of [0, SEGMENT_TICKETS - 1, SEGMENT_TICKETS, SEGMENT_TICKETS + 9]) {
      expect(bytesOf(store, tickets[i])).toEqual(storedForm(message(`m${i}`)))
    }
  })

  it('that were never given out name nothing', () => {
    const store = new MessageStore()
    expect(store.locate(10 * SEGMENT_TICKETS, range)).toBe(false)
    expect(store.locate(10 * SEGMENT_TICKETS, range)).toBe(false)
    store.release(10 * SEGMENT_TICKETS)
  })
})

describe('a body larger than a slab', () => {
  it('gets a slab of about its size, alone in its segment', () => {
    const store = new MessageStore()
    const big = Buffer.alloc(SLAB_BYTES + 1, 'b')
    const tickets = [append(store, 'before'), append(store, big), append(store, 'after')]
    expect(new Set(tickets.map((t) => Math.floor(t / SEGMENT_TICKETS))).size).toBe(3)
    expect(bytesOf(store, tickets[0])).toEqual(storedForm(message('before')))
    expect(bytesOf(store, tickets[1])).toEqual(storedForm(message(big)))
    expect(bytesOf(store, tickets[2])).toEqual(storedForm(message('after')))
    expect(store.slabBytes).toBe(2 * SLAB_BYTES + (SLAB_BYTES * 17) / 16)
    store.release(tickets[1])
    expect(store.slabBytes).toBe(2 * SLAB_BYTES)
    expect(store.locate(tickets[1], range)).toBe(false)
  })
})

describe('references', () => {
  it('keep the bytes until the last one goes', () => {
    const store = new MessageStore()
    const ticket = append(store, 'shared', 3)
    append(store, Buffer.alloc(SLAB_BYTES)) // the segment is not the current one any more
    for (let left = 3; left > 0; left--) {
      expect(bytesOf(store, ticket)).toEqual(storedForm(message('shared')))
      store.release(ticket)
    }
    expect(store.locate(ticket, range)).toBe(false)
    store.release(ticket) // and once more does no harm
  })

  it('a segment whose messages are all gone gives its slab to the next', () => {
    const store = new MessageStore()
    for (let i = 0; i < 50_000; i++) store.release(append(store, 'x'))
    expect(store.segments.size).toBe(1)
    expect(store.slabBytes).toBe(SLAB_BYTES)
  })

  it('the current segment stays though everything in it is gone', () => {
    const store = new MessageStore()
    store.release(append(store, 'gone'))
    const ticket = append(store, 'next')
    expect(bytesOf(store, ticket)).toEqual(storedForm(message('next')))
  })
})

describe('the store as a whole', () => {
  it('holds what a map of buffers would', () => {
    const body = fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(SLAB_BYTES - 60, SLAB_BYTES, 3 * SLAB_BYTES))
    const step = fc.oneof(
      fc.record({ body, refs: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ release: fc.nat() }),
      fc.record({ release: fc.nat() }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const store = new MessageStore()
        const model = new Map<Ticket, { bytes: Buffer; refs: number }>()
        let n = 0
        for (const s of steps) {
          if ('body' in s) {
            const m = message(Buffer.alloc(s.body, ++n), `k${n}`)
            model.set(store.append(m, s.refs, 0), { bytes: storedForm(m), refs: s.refs })
          } else if (model.size > 0) {
            const [ticket, held] = [...model][s.release % model.size]
            store.release(ticket)
            if (--held.refs === 0) model.delete(ticket)
          }
        }
        for (const [ticket, { bytes }] of model) expect(bytesOf(store, ticket)?.equals(bytes)).toBe(true)
        const segments = [...store.segments.values()]
        expect(segments.reduce((sum, s) => sum + s.live, 0)).toBe(model.size)
        expect(store.slabBytes).toBe(segments.reduce((sum, s) => sum + (s.slab?.length ?? 0), 0))
      }),
      { numRuns: 60 },
    )
  })
})
