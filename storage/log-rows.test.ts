import { describe, expect, it } from '@jest/globals'
import { JournalRig } from './journal-rig'

/** A rig that copies forward as soon as a third of the log is dead. */
async function eagerRig(...queues: number[]): Promise<JournalRig> {
  const rig = await JournalRig.start(...queues)
  makeEager(rig)
  return rig
}

function makeEager(rig: JournalRig): void {
  Object.assign(rig.journal.rows.limits, { logBytesMin: 0, rowsMin: 0, liveShare: 1.5 })
}

/** Publishes to the queues, keeps every hundredth, settles the others. Returns the kept. */
async function backlogWithSurvivors(rig: JournalRig, rows: number, queues: number[]): Promise<Map<string, number>> {
  const kept = new Map<string, number>()
  for (let row = 0; row < rows; row++) {
    const tickets = Array.from({ length: 100 }, (_, i) => rig.publish(`${row} ${i}`, queues))
    await rig.turn()
    kept.set(`${row} 42`, tickets[42])
    tickets.forEach((ticket, i) => {
      if (i !== 42) rig.settle(ticket, ...queues)
    })
  }
  for (let i = 0; i < 10; i++) await rig.turn()
  return kept
}

describe('the log is forgotten from its front', () => {
  it('up to the first row with a live message', async () => {
    const rig = await JournalRig.start(1)
    const tickets: number[] = []
    for (const body of ['a', 'b', 'c', 'd']) {
      tickets.push(rig.publish(body, [1]))
      await rig.turn()
    }
    rig.settle(tickets[1], 1)
    await rig.turn()
    expect(await rig.entriesInLog()).toBe(5) // 'a' is before it
    rig.settle(tickets[0], 1)
    await rig.turn()
    expect(await rig.entriesInLog()).toBe(4) // c, d and the two settles, which stand behind them
  })

  it('to nothing when everything is settled', async () => {
    const rig = await JournalRig.start(1, 2)
    for (let i = 0; i < 5; i++) {
      rig.settle(rig.publish('a', [1, 2]), 1)
      const ticket = rig.publish('b', [1, 2])
      await rig.turn()
      rig.settle(ticket, 2, 1)
      rig.settle(ticket - 1, 2)
      await rig.turn()
    }
    expect(await rig.entriesInLog()).toBe(0)
    expect(rig.journal.rows.count).toBe(0)
    expect(rig.journal.rows.bytes).toBe(0)
    expect(rig.journal.rows.liveBytes).toBeCloseTo(0)
  })
})

describe('copying forward', () => {
  it('lets the log go though a few messages stay', async () => {
    const rig = await eagerRig(1)
    const kept = await backlogWithSurvivors(rig, 20, [1])
    expect(rig.journal.rows.bytes).toBeLessThan(20_000)
    expect(await rig.entriesInLog()).toBeLessThanOrEqual(2 * kept.size)
    for (const [body, ticket] of kept) expect(await rig.body(ticket)).toBe(body)
    await rig.crash()
    expect(await rig.bodies(1)).toEqual([...kept.keys()])
  })

  it('comes to an end', async () => {
    const rig = await eagerRig(1)
    await backlogWithSurvivors(rig, 20, [1])
    const { commits } = rig.backend
    for (let i = 0; i < 5; i++) await rig.turn()
    expect(rig.backend.commits).toBe(commits)
  })

  it('leaves a log alone that is live for the most part, however small its messages and many their queues', async () => {
    const queues = Array.from({ length: 50 }, (_, i) => i + 1)
    const rig = await eagerRig(...queues)
    for (let i = 0; i < 20; i++) {
      rig.publish('', queues)
      await rig.turn()
    }
    expect(rig.backend.commits).toBe(20)
  })

  it('knows who has settled a message of several queues, before and after a restart', async () => {
    const rig = await eagerRig(1, 2, 3)
    const kept = await backlogWithSurvivors(rig, 5, [1, 2, 3])
    const tickets = [...kept.values()]
    rig.settle(tickets[0], 1)
    rig.settle(tickets[1], 2, 3)
    for (const restart of [false, true, true]) {
      if (restart) await rig.crash()
      makeEager(rig)
      for (const ticket of Array.from({ length: 100 }, () => rig.publish('more', [1, 2, 3]))) rig.settle(ticket, 1, 2)
      for (let i = 0; i < 4; i++) await rig.turn()
    }
    await rig.crash()
    const own = (queue: number) => rig.recovered.queues.get(queue)?.tickets.filter((t) => tickets.includes(t))
    expect(own(1)).toEqual(tickets.slice(1))
    expect(own(2)).toEqual([tickets[0], ...tickets.slice(2)])
    expect(own(3)).toEqual([tickets[0], ...tickets.slice(2)])
  })

  it.each([
    [
      'reads fail',
      (rig: JournalRig) => {
        rig.backend.readFaultOf = (position) => (position % 2 ? 'unavailable' : undefined)
      },
    ],
    ['commits fail', (rig: JournalRig) => rig.failNext(3)],
  ])('loses nothing when %s', async (_, disturb) => {
    const rig = await eagerRig(1, 2)
    disturb(rig)
    const kept = await backlogWithSurvivors(rig, 10, [1, 2])
    for (const ticket of [...kept.values()].slice(0, 3)) rig.settle(ticket, 1)
    rig.failNext(2)
    for (let i = 0; i < 10; i++) {
      rig.journal.retry()
      rig.publish('more', [])
      await rig.turn()
    }
    expect(rig.journal.error).toBeNull()
    await rig.crash()
    rig.backend.readFaultOf = () => undefined
    expect(await rig.bodies(1)).toEqual([...kept.keys()].slice(3))
    expect(await rig.bodies(2)).toEqual([...kept.keys()])
  })

  it('does not bring back what is settled while the copy is read or in flight', async () => {
    const rig = await eagerRig(1)
    const tickets = Array.from({ length: 10 }, (_, i) => rig.publish(`m${i}`, [1]))
    await rig.turn()
    for (const ticket of tickets.slice(2)) rig.settle(ticket, 1)
    rig.journal.settleNow()
    rig.journal.flush()
    await rig.quiet() // the survivors are read
    rig.settle(tickets[0], 1)
    rig.backend.hold()
    await rig.turn() // the copy is in flight
    rig.settle(tickets[1], 1)
    rig.backend.release()
    await rig.quiet()
    await rig.turn()
    await rig.crash()
    expect(rig.recovered.messages).toBe(0)
  })

  it('takes along how often a message came back, of those who have not settled it', async () => {
    const rig = await eagerRig(1, 2)
    const ticket = rig.publish('slow', [1, 2])
    await rig.turn()
    const counts = { failures: 3, acquired: 5, due: 1_800_000_000_000 }
    for (const queue of [1, 2]) rig.journal.countReturn(queue, ticket, counts, true)
    rig.settle(ticket, 2)
    await rig.turn()
    await backlogWithSurvivors(rig, 3, [1])
    const { rows, store } = rig.journal
    expect(store.segmentOf(ticket)?.rowOf(ticket % 4096)?.position).toBeGreaterThan(3) // it was copied
    expect(rows.count).toBeLessThan(6)
    await rig.crash()
    expect(await rig.body(ticket)).toBe('slow')
    expect(rig.journal.store.returnsOf(1, ticket)).toEqual(counts)
    expect(rig.journal.store.returnsOf(2, ticket)).toBeUndefined()
  })

  it('starts no second time while the first waits for its commit', async () => {
    const rig = await eagerRig(1)
    const tickets = Array.from({ length: 10 }, (_, i) => rig.publish(`m${i}`, [1]))
    await rig.turn()
    for (const ticket of tickets.slice(1)) rig.settle(ticket, 1)
    rig.journal.settleNow()
    rig.journal.flush()
    await rig.quiet()
    expect(rig.journal.rows.wantsCopy()).toBe(false)
    await rig.turn()
    expect(rig.journal.rows.count).toBe(1)
  })
})
