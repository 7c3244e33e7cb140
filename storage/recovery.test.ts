import { describe, expect, it } from '@jest/globals'
import { JournalRig } from './journal-rig'
import { SEGMENT_TICKETS } from './segment'

describe('after a crash', () => {
  it('an empty log is an empty broker', async () => {
    const rig = await JournalRig.start(1)
    await rig.crash()
    expect(rig.recovered).toEqual({ queues: new Map(), messages: 0, maxQueueId: 0, maxTicket: 0 })
  })

  it('queues hold their committed messages in order, with the bytes of their bodies', async () => {
    const rig = await JournalRig.start(1, 2)
    for (let i = 0; i < 5; i++) {
      rig.publish('x'.repeat(i * 10), i % 2 === 0 ? [1] : [1, 2])
      await rig.turn()
    }
    rig.publish('not committed', [1])
    const { queues, messages, maxQueueId } = await rig.crash()
    expect(await rig.bodies(1)).toEqual([0, 10, 20, 30, 40].map((n) => 'x'.repeat(n)))
    expect(await rig.bodies(2)).toEqual(['x'.repeat(10), 'x'.repeat(30)])
    expect(queues.get(1)?.bodyBytes).toBe(100)
    expect(queues.get(2)?.bodyBytes).toBe(40)
    expect([messages, maxQueueId]).toEqual([5, 2])
  })

  it('a batch in flight is there whole or not at all', async () => {
    const rig = await JournalRig.start(1)
    rig.backend.hold()
    rig.publish('a', [1])
    rig.publish('b', [1])
    await rig.turn()
    expect((await rig.crash()).messages).toBe(0)
    rig.failNext(1, true)
    rig.publish('c', [1])
    rig.publish('d', [1])
    await rig.turn()
    expect((await rig.crash()).messages).toBe(2)
  })

  it('transient messages are gone', async () => {
    const rig = await JournalRig.start(1)
    rig.publish('kept', [1])
    rig.publish('transient', [], 1)
    rig.publish('kept too', [1], 3)
    await rig.turn()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['kept', 'kept too'])
  })

  it('bytes stay on disk until they are asked for', async () => {
    const rig = await JournalRig.start(1)
    for (let i = 0; i < 3; i++) rig.publish(Buffer.alloc(200_000), [1])
    await rig.turn()
    const empty = rig.journal.store.slabBytes
    await rig.crash()
    expect(rig.journal.store.slabBytes).toBeLessThan(empty)
    expect([...rig.journal.store.segments.values()].filter((s) => s.slab !== null)).toHaveLength(1)
  })

  it('new tickets stand behind all that any record names', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    await rig.crash()
    expect(rig.publish('b', [1])).toBeGreaterThanOrEqual(ticket + SEGMENT_TICKETS)
    rig.journal.returned(1, ticket + 10 * SEGMENT_TICKETS) // of a message that is trimmed
    await rig.turn()
    await rig.crash()
    expect(rig.publish('c', [1])).toBeGreaterThan(ticket + 10 * SEGMENT_TICKETS)
  })
})

describe('a queue that is gone', () => {
  it('takes its messages along, and leaves those of other queues though it settled them', async () => {
    const rig = await JournalRig.start(1, 2)
    const shared = rig.publish('shared', [1, 2])
    rig.publish('own', [2])
    await rig.turn()
    rig.settle(shared, 2) // as its deletion does
    await rig.turn()
    rig.knownQueues.delete(2)
    const { queues, messages, maxQueueId } = await rig.crash()
    expect(await rig.bodies(1)).toEqual(['shared'])
    expect(queues.has(2)).toBe(false)
    expect(messages).toBe(1)
    expect(maxQueueId).toBe(2) // and its id is not used again
    rig.settle(shared, 1)
    await rig.turn()
    expect((await rig.crash()).messages).toBe(0)
  })
})

describe('a message that was copied forward', () => {
  it('for a queue that is gone since is not live, though each queue that is left had settled it before', async () => {
    const rig = await JournalRig.start(1, 2, 3)
    rig.backend.trim = () => Promise.resolve() // a crash may undo it
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0 })
    const shared = rig.publish('shared', [1, 2, 3])
    const others = [1, 2, 3, 4].map(() => rig.publish('other', [1]))
    await rig.turn()
    rig.settle(shared, 1, 2)
    for (const ticket of others) rig.settle(ticket, 1)
    await rig.turn()
    await rig.turn()
    expect(await rig.entriesInLog()).toBe(3) // messages, settlements, copy
    rig.knownQueues.delete(3)
    expect((await rig.crash()).messages).toBe(0)
  })

  it('stands in doubt no more than before: what others settled later is settled', async () => {
    const rig = await JournalRig.start(1, 2, 3)
    rig.backend.trim = () => Promise.resolve()
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0 })
    const shared = rig.publish('shared', [1, 2, 3])
    const others = [1, 2, 3, 4].map(() => rig.publish('other', [1]))
    await rig.turn()
    rig.settle(shared, 1)
    for (const ticket of others) rig.settle(ticket, 1)
    await rig.turn()
    await rig.turn()
    rig.settle(shared, 3)
    await rig.turn()
    expect((await rig.crash()).messages).toBe(1)
    expect(rig.recovered.queues.get(2)?.tickets).toEqual([shared])
    expect(rig.recovered.queues.has(3)).toBe(false)
  })
})

describe('a priority', () => {
  it('comes back with its message, also when that was copied forward', async () => {
    const rig = await JournalRig.start(1, 2)
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0 })
    const others = Array.from({ length: 30 }, () => rig.publish('other', [1]))
    const [plain, urgent, shared] = [rig.publish('a', [1]), rig.publish('b', [1]), rig.publish('c', [1, 2])]
    rig.journal.store.setPriority(urgent, 9)
    rig.journal.store.setPriority(shared, 0)
    const priorities = () => [plain, urgent, shared].map((ticket) => rig.journal.store.priorityOf(ticket))
    await rig.turn()
    await rig.crash()
    expect(priorities()).toEqual([-1, 9, 0])
    Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0 })
    for (const ticket of others) rig.settle(ticket, 1)
    await rig.turn()
    await rig.turn()
    expect(await rig.entriesInLog()).toBe(1) // the copy alone: what stood before it is trimmed
    await rig.crash()
    expect(priorities()).toEqual([-1, 9, 0])
  })
})

describe('what is dead in the log', () => {
  it('is given back at once, though nobody commits', async () => {
    const rig = await JournalRig.start(1)
    const { trim } = rig.backend
    rig.backend.trim = () => Promise.resolve() // a crash may undo it
    rig.settle(rig.publish('a', [1]), 1)
    const ticket = rig.publish('b', [1])
    await rig.turn()
    rig.settle(ticket, 1)
    await rig.turn()
    rig.backend.trim = trim
    await rig.crash()
    expect(await rig.entriesInLog()).toBe(2)
    rig.journal.trim()
    expect(await rig.entriesInLog()).toBe(0)
  })
})

describe('settles', () => {
  it('written twice count once', async () => {
    const rig = await JournalRig.start(1, 2)
    const ticket = rig.publish('a', [1, 2])
    await rig.turn()
    rig.settle(ticket, 1)
    rig.failNext(1, true)
    await rig.turn()
    rig.journal.retry()
    await rig.turn() // the same settle again: the first one reached the disk after all
    await rig.crash()
    expect(await rig.bodies(2)).toEqual(['a'])
    expect(await rig.bodies(1)).toEqual([])
  })

  it('of messages whose rows are trimmed mean nothing', async () => {
    const rig = await JournalRig.start(1)
    const pin = rig.publish('pin', [1])
    await rig.turn()
    const later = rig.publish('later', [1])
    await rig.turn()
    rig.settle(pin, 1)
    await rig.turn()
    expect(await rig.entriesInLog()).toBe(2)
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['later'])
    expect(rig.recovered.queues.get(1)?.tickets).toEqual([later])
  })
})

describe('what a clean stop records of deliveries', () => {
  it('is exact for what waits again, and a limit for what was in doubt', async () => {
    const rig = await JournalRig.start(1, 2)
    const tickets = ['a', 'b', 'c'].map((body) => rig.publish(body, [1, 2]))
    await rig.turn()
    rig.journal.returned(1, tickets[1])
    rig.journal.deliveredUpTo(2, tickets[1])
    await rig.journal.close(true)
    const { queues } = await rig.crash()
    expect(queues.get(1)?.returned).toEqual(new Set([tickets[1]]))
    expect(queues.get(1)?.deliveredUpTo).toBe(0)
    expect(queues.get(2)?.returned).toEqual(new Set())
    expect(queues.get(2)?.deliveredUpTo).toBe(tickets[1])
  })
})
