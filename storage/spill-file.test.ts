// The scratch file, and the store that puts messages there and gets them back.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { SLAB_BYTES } from './arena'
import { MessageStore, type Ticket } from './message-store'
import { sampleMessage, storedForm } from './sample-message'
import { SEGMENT_TICKETS, type Segment } from './segment'
import { SPILL_BLOCK_BYTES, SpillFile } from './spill-file'

const message = (body: Buffer) => sampleMessage({ routingKey: 'q', body })

let directory: string
let file: SpillFile
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'leveret-spill-'))
  file = new SpillFile(join(directory, 'spill'))
})
afterEach(async () => {
  await file.close()
  rmSync(directory, { recursive: true, force: true })
})

const bytes = (length: number, value: number) => Buffer.alloc(length, value)

describe('the file', () => {
  it('gives back what was written, whatever else was written and freed', async () => {
    const a = await file.write([bytes(10, 1), bytes(SPILL_BLOCK_BYTES, 2)])
    const b = await file.write([bytes(5, 3)])
    file.free(a)
    const c = await file.write([bytes(SPILL_BLOCK_BYTES + 3, 4)])
    expect(c.firstBlock).toBe(a.firstBlock) // as long as a: its place is used again
    const [fromB, fromC] = [Buffer.alloc(5), Buffer.alloc(SPILL_BLOCK_BYTES + 3)]
    await Promise.all([file.read(b, [fromB]), file.read(c, [fromC.subarray(0, 7), fromC.subarray(7)])])
    expect(fromB).toEqual(bytes(5, 3))
    expect(fromC).toEqual(bytes(SPILL_BLOCK_BYTES + 3, 4))
  })

  it('stays closed: a write that comes too late opens nothing', async () => {
    await file.close()
    expect(file.hasRoom).toBe(false)
    await expect(file.write([bytes(10, 1)])).rejects.toThrow('closed')
    expect(file.usedBytes).toBe(0)
  })

  it('starts again from nothing once all is freed, and a write that comes meanwhile is safe', async () => {
    for (let round = 0; round < 50; round++) {
      const place = await file.write([bytes(100, round)])
      expect(place.firstBlock).toBe(0)
      const read = Buffer.alloc(100)
      await file.read(place, [read])
      expect(read).toEqual(bytes(100, round))
      file.free(place)
    }
    expect(file.usedBytes).toBe(0)
  })

  it('has no name, so that nothing is left behind', async () => {
    await file.write([bytes(1, 1)])
    expect(existsSync(join(directory, 'spill'))).toBe(false)
  })

  it('rests for a while when it cannot be written', async () => {
    const broken = new SpillFile(join(directory, 'no such directory', 'spill'))
    await expect(broken.write([bytes(1, 1)])).rejects.toThrow('ENOENT')
    expect([broken.hasRoom, broken.usedBytes, broken.error?.message]).toEqual([
      false,
      0,
      expect.stringContaining('ENOENT'),
    ])
    await broken.close()
  })
})

describe('the store', () => {
  const segmentOf = (store: MessageStore, ticket: Ticket) =>
    store.segments.get(Math.floor(ticket / SEGMENT_TICKETS)) as Segment

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await nextTurn()
  }

  function bodyOf(store: MessageStore, ticket: Ticket): Buffer | null {
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    return store.locate(ticket, range) ? Buffer.from(range.buf.subarray(range.start, range.end)) : null
  }

  it('spills what is not in the log, newest first, and brings it back with its holes', async () => {
    let left = 0
    const store = new MessageStore(file, { onMark() {}, onRoom: () => left++ })
    const tickets: Ticket[] = []
    for (let i = 0; i < 2000; i++) tickets.push(store.append(message(bytes(1000, i % 251)), 1 + (i % 2), 0))
    const full = [...store.segments.values()].filter((s) => !store.isCurrent(s))
    store.pageOutTo(2 * SLAB_BYTES)
    await until(() => store.slabBytes <= 2 * SLAB_BYTES)
    expect(left).toBeGreaterThan(0)
    expect(full.map((s) => s.slab === null)).toEqual(full.map((_, i) => i > 0)) // the oldest stays
    expect(full.some((s) => s.isCompact)).toBe(false) // references differ: they stay laid out
    const segment = segmentOf(store, tickets[500])
    const inIt = tickets.filter((t) => segmentOf(store, t) === segment)
    store.release(inIt[0]) // one of its references, or its only one
    store.release(inIt[1])
    await store.unspill(segment)
    for (const ticket of inIt.slice(2)) {
      expect(bodyOf(store, ticket)).toEqual(storedForm(message(bytes(1000, tickets.indexOf(ticket) % 251))))
    }
    expect(segment.spill).toBeNull()
    for (const ticket of tickets) {
      store.release(ticket)
      store.release(ticket)
    }
    expect([...store.segments.values()].every((s) => store.isCurrent(s))).toBe(true)
    expect(file.usedBytes).toBe(0)
  })

  it('a segment at rest takes a bit per message', async () => {
    const store = new MessageStore(file)
    const tickets: Ticket[] = []
    for (let i = 0; i < 1000; i++) tickets.push(store.append(message(bytes(1000, i % 251)), 1, 0))
    const [segment, other] = [segmentOf(store, tickets[0]), segmentOf(store, tickets[300])]
    expect(other).not.toBe(segment)
    store.pageOutTo(0)
    await until(() => segment.slab === null && other.slab === null)
    expect([segment.isCompact, segment.refs.length, segment.offsets.length]).toEqual([true, 0, 0])
    store.release(tickets[7])
    store.release(tickets[300]) // of the other one: the first is made compact again
    expect(segment.isCompact).toBe(true)
    await store.unspill(segment)
    expect([segment.refs[6], segment.refs[7], segment.refs[8], segment.live]).toEqual([1, 0, 1, segment.count - 1])
    expect(bodyOf(store, tickets[8])).toEqual(storedForm(message(bytes(1000, 8))))
  })

  it('a segment whose messages go while it is being written is forgotten', async () => {
    const store = new MessageStore(file)
    const tickets: Ticket[] = []
    for (let i = 0; i < 1000; i++) tickets.push(store.append(message(bytes(1000, 1)), 1, 0))
    store.pageOutTo(0)
    for (const ticket of tickets) store.release(ticket)
    await until(() => !store.isSpilling)
    expect([store.segments.size, store.slabBytes, file.usedBytes]).toEqual([1, SLAB_BYTES, 0])
  })

  it('a segment that is read back for nobody, or cannot be read, gives its slab back', async () => {
    const store = new MessageStore(file)
    const slabs = new Set<Buffer>()
    for (let round = 0; round < 8; round++) {
      const [ticket, next] = [1, 2].map((value) => store.append(message(bytes(200_000, value)), 1, 0))
      store.pageOutTo(0)
      await until(() => !store.isSpilling)
      const segment = store.segmentOf(ticket) as Segment
      const { spill } = segment
      if (round % 2 === 1) segment.spill = { firstBlock: 1_000_000, blocks: 4 }
      const read = store.unspill(segment)
      if (round % 2 === 1) await expect(read).rejects.toThrow()
      segment.spill = spill
      store.release(ticket)
      await read.catch(() => {})
      store.release(next)
      slabs.add(store.takeSlab(1))
      store.giveSlab([...slabs].at(-1) as Buffer)
    }
    expect(slabs.size).toBeLessThan(4)
  })
})
