import { describe, expect, it } from '@jest/globals'
import { SLAB_BYTES } from './arena'
import { JournalRig } from './journal-rig'
import { SEGMENT_TICKETS, type Segment } from './segment'

function segmentOf(rig: JournalRig, ticket: number): Segment {
  return rig.journal.store.segments.get(Math.floor(ticket / SEGMENT_TICKETS)) as Segment
}

function pageOut(rig: JournalRig, ticket: number): void {
  const segment = segmentOf(rig, ticket)
  expect(segment.isPageable).toBe(true)
  rig.journal.store.pageOut(segment)
}

describe('a segment', () => {
  it('comes back with the same bytes, holes where messages were settled', async () => {
    const rig = await JournalRig.start(1, 2)
    const bodies = Array.from({ length: 300 }, (_, i) => 'x'.repeat(i))
    const tickets = bodies.map((body, i) => rig.publish(body, i % 3 === 0 ? [1, 2] : [1]))
    await rig.turn()
    for (let i = 0; i < 300; i += 7) rig.settle(tickets[i], ...(i % 3 === 0 ? [1, 2] : [1]))
    pageOut(rig, tickets[0])
    const before = rig.journal.store.slabBytes
    for (let i = 1; i < 300; i += 70) rig.settle(tickets[i], 1) // gone while paged out
    for (let i = 2; i < 300; i += 50) if (i % 7 !== 0) expect(await rig.body(tickets[i])).toBe(bodies[i])
    expect(rig.reports.filter((r) => r.startsWith('load'))).toEqual(['loaded'])
    expect(rig.journal.store.slabBytes).toBe(before + SLAB_BYTES)
    pageOut(rig, tickets[0]) // and once more
    expect(await rig.body(tickets[299])).toBe(bodies[299])
  })

  it('comes back from the rows of several batches', async () => {
    const rig = await JournalRig.start(1)
    const tickets: number[] = []
    for (const body of ['a', 'b', 'c']) {
      tickets.push(rig.publish(body, [1]))
      await rig.turn()
    }
    pageOut(rig, tickets[0])
    expect(await rig.body(tickets[2])).toBe('c')
    expect(await rig.body(tickets[0])).toBe('a')
    expect(await rig.body(tickets[1])).toBe('b')
  })

  it.each<[string, (rig: JournalRig) => unknown]>([
    ['a message not written yet', (rig) => rig.publish('b', [1])],
    ['a transient message', (rig) => rig.publish('b', [], 1)],
    ['a message that a queue without a log holds as well', (rig) => rig.publish('b', [1], 1)],
  ])('stays while it holds %s', async (_, add) => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    expect(segmentOf(rig, ticket).isPageable).toBe(true)
    add(rig)
    if (_.includes('as well')) await rig.turn()
    expect(segmentOf(rig, ticket).isPageable).toBe(false)
  })

  it('stays while its batch is in flight, and when that failed', async () => {
    const rig = await JournalRig.start(1)
    rig.backend.hold()
    rig.failNext()
    const ticket = rig.publish('a', [1])
    await rig.turn()
    expect(segmentOf(rig, ticket).isPageable).toBe(false)
    rig.backend.release()
    await rig.quiet()
    expect(segmentOf(rig, ticket).isPageable).toBe(false)
    rig.journal.retry()
    await rig.turn()
    expect(segmentOf(rig, ticket).isPageable).toBe(true)
  })
})

describe('keeping so much of what is in the log', () => {
  it('lets the newest go, whatever else there is', async () => {
    const rig = await JournalRig.start(1)
    const { store } = rig.journal
    const body = 'x'.repeat(SLAB_BYTES / 4)
    const logged = Array.from({ length: 60 }, () => rig.publish(body, [1]))
    await rig.turn()
    for (let i = 0; i < 60; i++) rig.publish(body, [], 1)
    const inMemory = () => [...store.segments.values()].filter((s) => s.slab !== null && !store.isCurrent(s))
    const loggedInMemory = () => inMemory().filter((s) => s.isPageable)
    const held = inMemory().length - loggedInMemory().length
    expect(held).toBeGreaterThan(15)
    store.keepLogged(4 * SLAB_BYTES)
    const [first] = store.segments.keys()
    expect(loggedInMemory().map((s) => s.number - first)).toEqual([0, 1, 2, 3])
    expect(inMemory()).toHaveLength(held + 4)
    expect(await rig.body(logged[59])).toBe(body) // and comes back
  })

  it('looks again when there is an eighth more, or when there is less', async () => {
    const rig = await JournalRig.start(1)
    const { store } = rig.journal
    const body = 'x'.repeat(SLAB_BYTES / 4)
    let tickets: number[] = []
    const grow = async (messages: number) => {
      for (let i = 0; i < messages; i++) tickets.push(rig.publish(body, [1]))
      await rig.turn()
      store.keepLogged(16 * SLAB_BYTES)
    }
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) {
        await grow(3)
        expect(store.slabBytes).toBeLessThanOrEqual(20 * SLAB_BYTES)
      }
      for (const ticket of tickets) rig.settle(ticket, 1)
      tickets = []
      await rig.turn()
      store.keepLogged(16 * SLAB_BYTES)
    }
  })
})

describe('loading', () => {
  it('is done once, however many ask', async () => {
    const rig = await JournalRig.start(1)
    const tickets = ['a', 'b'].map((body) => rig.publish(body, [1]))
    await rig.turn()
    pageOut(rig, tickets[0])
    for (const ticket of [...tickets, ...tickets]) rig.journal.load(ticket)
    await rig.quiet()
    expect(rig.reports.filter((r) => r.startsWith('load'))).toEqual(['loaded'])
  })

  it('that fails is reported, and can be tried again', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    pageOut(rig, ticket)
    rig.backend.readFaultOf = () => 'unavailable'
    expect(await rig.body(ticket)).toBeNull()
    expect(rig.reports).toContain('load failed: injected: unavailable')
    rig.backend.readFaultOf = () => undefined
    expect(await rig.body(ticket)).toBe('a')
  })

  it('of a segment that is settled meanwhile comes to nothing', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    rig.publish(Buffer.alloc(SLAB_BYTES), [1])
    await rig.turn()
    pageOut(rig, ticket)
    const before = rig.journal.store.slabBytes
    rig.journal.load(ticket)
    rig.settle(ticket, 1)
    await rig.turn()
    expect(rig.journal.store.slabBytes).toBe(before)
  })

  it('goes on when its messages are copied forward and the old row is trimmed before it was read', async () => {
    const rig = await JournalRig.start(1)
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0, liveShare: 1.5 })
    const kept = rig.publish('kept', [1])
    const others = Array.from({ length: 20 }, () => rig.publish('other', [1]))
    await rig.turn()
    pageOut(rig, kept)
    let openReads = () => {}
    const readsOpen = new Promise<void>((resolve) => {
      openReads = resolve
    })
    const read = rig.backend.read.bind(rig.backend)
    rig.backend.read = async (position) => {
      await readsOpen
      return read(position)
    }
    rig.journal.load(kept)
    rig.backend.read = read
    for (const ticket of others) rig.settle(ticket, 1)
    for (let i = 0; i < 3; i++) await rig.turn()
    expect(segmentOf(rig, kept).rows[0].position).toBeGreaterThan(1)
    openReads()
    await rig.quiet()
    expect(rig.reports.filter((r) => r.startsWith('load'))).toEqual(['loaded'])
    expect(await rig.body(kept)).toBe('kept')
  })

  it('works while its messages are being copied forward', async () => {
    const rig = await JournalRig.start(1)
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0, liveShare: 1.5 })
    const kept = rig.publish('kept', [1])
    for (const ticket of Array.from({ length: 20 }, () => rig.publish('other', [1]))) rig.settle(ticket, 1)
    const more = Array.from({ length: 20 }, () => rig.publish('other', [1]))
    await rig.turn()
    pageOut(rig, kept)
    for (const ticket of more) rig.settle(ticket, 1)
    await rig.turn() // settles, and reads what is to be copied
    rig.backend.hold()
    await rig.turn() // the copy is in flight
    expect(rig.journal.isIdle).toBe(false)
    expect(await rig.body(kept)).toBe('kept')
    rig.backend.release()
    await rig.quiet()
    expect(rig.reports.filter((r) => r.startsWith('load'))).toEqual(['loaded'])
  })

  it('says so when the log does not hold what it should', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    pageOut(rig, ticket)
    const other = new Uint8Array([0x4c, 2])
    rig.backend.read = async () => ({ records: other, payload: new Uint8Array(0) })
    expect(await rig.body(ticket)).toBeNull()
    expect(rig.reports.at(-1)).toBe(`load failed: message ${ticket} is not in its row of the log`)
  })
})
