import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { DefinitionChange } from './definitions'
import { JournalRig } from './journal-rig'
import { SEGMENT_TICKETS } from './segment'

const define = (name: string): DefinitionChange => ({
  op: 'put',
  kind: 'vhost',
  record: { name, description: '', tags: [], defaultQueueType: '', protectedFromDeletion: false },
})

async function definedVhosts(rig: JournalRig): Promise<string[]> {
  await rig.backend.crash()
  return (await rig.backend.open()).definitions.vhost.map((v) => v.name)
}

describe('batches', () => {
  it('take what is recorded before them, and are reported by number', async () => {
    const rig = await JournalRig.start(1)
    const first = rig.journal.gathering
    rig.publish('a', [1])
    rig.publish('b', [1])
    await rig.turn()
    expect(rig.journal.gathering).toBe(first + 1)
    rig.publish('c', [1])
    await rig.turn()
    await rig.turn() // nothing to do
    expect(rig.reports).toEqual([`committed ${first}`, `committed ${first + 1}`])
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a', 'b', 'c'])
  })

  it('go one at a time; what comes meanwhile goes together', async () => {
    const rig = await JournalRig.start(1)
    rig.backend.hold()
    for (const body of ['a', 'b', 'c']) {
      rig.publish(body, [1])
      await rig.turn()
    }
    expect(rig.commits).toHaveLength(1)
    rig.backend.release()
    await rig.quiet()
    await rig.turn()
    expect(rig.commits).toHaveLength(2)
    expect(rig.reports).toEqual(['committed 1', 'committed 2'])
  })

  it('a transient message takes no part', async () => {
    const rig = await JournalRig.start(1)
    rig.publish('transient', [], 1)
    await rig.turn()
    expect(rig.commits).toEqual([])
    expect(rig.journal.isIdle).toBe(true)
  })
})

describe('what is settled before its batch leaves', () => {
  it('is never written, and its batch is reported all the same', async () => {
    const rig = await JournalRig.start(1)
    rig.settle(rig.publish('a', [1]), 1)
    await rig.turn()
    expect(rig.commits).toEqual([])
    expect(rig.reports).toEqual(['committed 1'])
  })

  it('leaves the others of its batch', async () => {
    const rig = await JournalRig.start(1)
    const tickets = ['a', 'b', 'c', 'd'].map((body) => rig.publish(body, [1]))
    rig.settle(tickets[0], 1)
    rig.settle(tickets[2], 1)
    await rig.turn()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['b', 'd'])
  })

  it('in one of its queues only: is written, without coming back to that one', async () => {
    const rig = await JournalRig.start(1, 2, 3)
    const ticket = rig.publish('a', [1, 2, 3])
    rig.settle(ticket, 2)
    await rig.turn()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a'])
    expect(await rig.bodies(2)).toEqual([])
    expect(await rig.bodies(3)).toEqual(['a'])
  })
})

describe('settles', () => {
  it.each([
    ['in the same life', false],
    ['after a restart, with nothing else written', true],
  ])('are kept: %s', async (_, afterRestart) => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    rig.publish('b', [1])
    await rig.turn()
    if (afterRestart) await rig.crash()
    rig.settle(ticket, 1)
    await rig.turn()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['b'])
  })

  it('of a message in flight reach the log in the next batch', async () => {
    const rig = await JournalRig.start(1)
    rig.backend.hold()
    const ticket = rig.publish('a', [1])
    await rig.turn()
    rig.settle(ticket, 1)
    rig.backend.release()
    await rig.quiet()
    await rig.turn()
    await rig.crash()
    expect(rig.recovered.messages).toBe(0)
  })
})

describe('a failed commit', () => {
  it('is reported; the same messages go with the next one', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext()
    rig.publish('a', [1])
    await rig.turn()
    expect(rig.reports).toEqual(['failed 1'])
    expect(rig.journal.error).not.toBeNull()
    rig.publish('b', [1])
    await rig.turn()
    expect(rig.reports).toEqual(['failed 1', 'committed 2'])
    expect(rig.journal.error).toBeNull()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a', 'b'])
  })

  it('is tried again by itself', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext(2)
    rig.publish('a', [1])
    for (let i = 0; i < 3; i++) {
      rig.journal.retry()
      await rig.turn()
    }
    expect(rig.reports).toEqual(['failed 1', 'failed 2', 'committed 3'])
  })

  it('keeps settles and definitions, in order', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    rig.failNext(2)
    rig.settle(ticket, 1)
    rig.journal.define(define('one'))
    await rig.turn()
    rig.journal.define(define('two'))
    await rig.turn()
    rig.journal.define({ op: 'delete', kind: 'vhost', key: { name: 'one' } })
    await rig.turn()
    expect(await definedVhosts(rig)).toEqual(['two'])
    await rig.crash()
    expect(rig.recovered.messages).toBe(0)
  })

  it('of messages settled since: nothing is left to write, and the log works again', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext()
    const ticket = rig.publish('a', [1])
    await rig.turn()
    rig.settle(ticket, 1)
    rig.journal.retry()
    await rig.turn()
    expect(rig.commits).toHaveLength(1)
    expect(rig.journal.error).toBeNull()
  })

  it('that reached the disk after all, before a crash: its messages are there once', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext(1, true)
    rig.publish('a', [1])
    await rig.turn()
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a'])
  })

  it('with messages of several segments and a share settled in flight', async () => {
    const rig = await JournalRig.start(1, 2)
    const big = Buffer.alloc(200_000, 'x')
    rig.backend.hold()
    rig.failNext()
    const tickets = [0, 1, 2].map(() => rig.publish(big, [1, 2]))
    await rig.turn()
    rig.settle(tickets[0], 1)
    rig.settle(tickets[1], 1, 2)
    rig.backend.release()
    await rig.quiet()
    rig.journal.retry()
    await rig.turn()
    const { queues } = await rig.crash()
    expect(queues.get(1)?.tickets).toEqual([tickets[2]])
    expect(queues.get(2)?.tickets).toEqual([tickets[0], tickets[2]])
    expect(await rig.body(tickets[0])).toBe(big.toString())
  })
})

describe('whenDurable', () => {
  it('resolves at once when nothing is recorded', async () => {
    const rig = await JournalRig.start(1)
    await rig.journal.whenDurable()
  })

  it('waits for the batch being gathered, and for the one in flight', async () => {
    const rig = await JournalRig.start(1)
    const done: string[] = []
    rig.backend.hold()
    rig.journal.define(define('one'))
    void rig.journal.whenDurable().then(() => done.push('one'))
    await rig.turn()
    rig.journal.define(define('two'))
    void rig.journal.whenDurable().then(() => done.push('two'))
    await rig.turn()
    expect(done).toEqual([])
    rig.backend.release()
    await rig.quiet()
    expect(done).toEqual(['one'])
    await rig.turn()
    expect(done).toEqual(['one', 'two'])
  })

  it('rejects with the error of its batch, and asked again waits for the next attempt', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext()
    rig.journal.define(define('one'))
    const first = rig.journal.whenDurable()
    await Promise.all([expect(first).rejects.toThrow('injected'), rig.turn()])
    const second = rig.journal.whenDurable()
    rig.journal.retry()
    await rig.turn()
    await second
    expect(await definedVhosts(rig)).toEqual(['one'])
  })
})

describe('close', () => {
  it('writes what is recorded, settlements that were waiting for company too', async () => {
    const rig = await JournalRig.start(1)
    const ticket = rig.publish('a', [1])
    await rig.turn()
    rig.publish('b', [1])
    rig.settle(ticket, 1)
    await rig.journal.close(true)
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['b'])
  })

  it('waits for the commit in flight and writes what came meanwhile', async () => {
    const rig = await JournalRig.start(1)
    rig.backend.hold()
    rig.publish('a', [1])
    await rig.turn()
    rig.publish('b', [1])
    const closed = rig.journal.close(true)
    rig.backend.release()
    await closed
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a', 'b'])
  })

  it('tries once more what had failed', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext()
    rig.publish('a', [1])
    await rig.turn()
    await rig.journal.close(true)
    await rig.crash()
    expect(await rig.bodies(1)).toEqual(['a'])
  })

  it('rejects when the log does not take the rest, and is no clean shutdown then', async () => {
    const rig = await JournalRig.start(1)
    rig.failNext(5)
    rig.publish('a', [1])
    await expect(rig.journal.close(true)).rejects.toThrow('injected')
    expect((await rig.backend.open()).cleanShutdown).toBe(false)
  })

  it('leaves nothing that would write later', async () => {
    const rig = await JournalRig.start(1)
    rig.publish('a', [1])
    await rig.journal.close(true)
    const { commits } = rig.backend
    rig.journal.define(define('late'))
    await rig.turn()
    expect(rig.backend.commits).toBe(commits)
  })
})

describe('the journal as a whole', () => {
  type Step = { publish: number[] } | { settle: number; queue: number } | 'turn' | 'fail' | 'hold' | 'release' | 'crash'
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ publish: fc.subarray([1, 2, 3], { minLength: 1 }) }) },
    { weight: 6, arbitrary: fc.record({ settle: fc.nat(), queue: fc.nat() }) },
    { weight: 4, arbitrary: fc.constant<Step>('turn') },
    fc.constantFrom<Step>('fail', 'hold', 'release', 'crash'),
  )

  it('holds after a crash what was committed and not settled, and nothing whose settle was committed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const rig = await JournalRig.start(1, 2, 3)
        const limits = { logBytesMin: 0, rowsMin: 0, liveShare: 1.2 }
        Object.assign(rig.journal.rows.limits, limits)
        let live = new Map<string, { ticket: number; queue: number; body: string }>() // by ticket and queue
        let n = 0
        const check = async () => {
          for (let i = 0; i < 3; i++) {
            rig.backend.release()
            rig.journal.retry()
            await rig.turn()
          }
          expect(rig.journal.error).toBeNull()
          await rig.crash()
          Object.assign(rig.journal.rows.limits, limits)
          for (const queue of [1, 2, 3]) {
            const expected = [...live.values()].filter((m) => m.queue === queue).map((m) => m.body)
            expect(await rig.bodies(queue)).toEqual(expected)
          }
        }
        for (const s of steps) {
          if (s === 'turn') await rig.turn()
          else if (s === 'fail') rig.failNext()
          else if (s === 'hold') rig.backend.hold()
          else if (s === 'release') rig.backend.release()
          else if (s === 'crash') await check()
          else if ('publish' in s) {
            const body = `m${n++}`
            const ticket = rig.publish(body, s.publish)
            for (const queue of s.publish) live.set(`${ticket} ${queue}`, { ticket, queue, body })
          } else if (live.size > 0) {
            const [key, { ticket, queue }] = [...live][s.settle % live.size]
            rig.settle(ticket, queue)
            live = new Map([...live].filter(([k]) => k !== key))
          }
        }
        await check()
      }),
      { numRuns: 150 },
    )
  })
})

describe('a message moved from one queue to another', () => {
  const references = ({ journal }: JournalRig, ticket: number) =>
    journal.store.segmentOf(ticket)?.refs[ticket % SEGMENT_TICKETS] ?? 0

  it.each(['before', 'after'])(
    'is in one of them after a crash %s its batch, though what lies around it is committed',
    async (when) => {
      const rig = await JournalRig.start(1, 2)
      const old = rig.publish('moved', [1])
      await rig.turn()
      rig.publish('other', [1])
      rig.journal.flush()
      rig.publish('moved', [2])
      rig.journal.settleMoved(old, 1)
      await rig.quiet() // the commit that was under way is done, and its rows are trimmed
      if (when === 'after') await rig.turn()
      await rig.crash()
      expect(await rig.bodies(1)).toEqual(when === 'before' ? ['moved', 'other'] : ['other'])
      expect(await rig.bodies(2)).toEqual(when === 'before' ? [] : ['moved'])
    },
  )

  it('moves with others that are settled together', async () => {
    const rig = await JournalRig.start(1, 2)
    const olds = [rig.publish('a', [1]), rig.publish('b', [1])]
    await rig.turn()
    rig.publish('other', [1])
    rig.journal.flush()
    rig.publish('result', [2])
    rig.journal.together(() => rig.settle(olds[0], 1))
    rig.settle(olds[1], 1)
    await rig.quiet()
    await rig.crash()
    // b was settled for its own sake, and its row may go or not.
    expect((await rig.bodies(1)).filter((body) => body !== 'b')).toEqual(['a', 'other'])
    expect(await rig.bodies(2)).toEqual([])
  })

  it('moves when a failed commit is tried again', async () => {
    const rig = await JournalRig.start(1, 2)
    const old = rig.publish('moved', [1])
    await rig.turn()
    rig.failNext()
    rig.publish('moved', [2])
    rig.journal.settleMoved(old, 1)
    await rig.turn()
    expect(references(rig, old)).toBe(1)
    rig.journal.retry()
    await rig.turn()
    expect(references(rig, old)).toBe(0)
    await rig.crash()
    expect([await rig.bodies(1), await rig.bodies(2)]).toEqual([[], ['moved']])
  })

  it('that was not written yet never is', async () => {
    const rig = await JournalRig.start(1, 2)
    const old = rig.publish('moved', [1])
    rig.publish('moved', [2])
    rig.journal.settleMoved(old, 1)
    expect(references(rig, old)).toBe(0)
    await rig.turn()
    await rig.crash()
    expect([await rig.bodies(1), await rig.bodies(2)]).toEqual([[], ['moved']])
  })

  it('keeps its place in other queues', async () => {
    const rig = await JournalRig.start(1, 2, 3)
    const old = rig.publish('shared', [1, 3])
    await rig.turn()
    rig.publish('moved', [2])
    rig.journal.settleMoved(old, 1)
    await rig.turn()
    await rig.crash()
    expect([await rig.bodies(1), await rig.bodies(2), await rig.bodies(3)]).toEqual([[], ['moved'], ['shared']])
  })

  it('that is in no log goes at once', async () => {
    const rig = await JournalRig.start(1)
    const old = rig.publish('transient', [], 1)
    rig.journal.settleMoved(old, 0)
    expect(references(rig, old)).toBe(0)
  })
})

describe('how often a message came back', () => {
  const counts = (failures: number) => ({ failures, acquired: failures + 1, due: 0 })

  it('is kept over a crash, the last that was said; also where a commit failed in between', async () => {
    const rig = await JournalRig.start(1)
    const [a, b] = [rig.publish('a', [1]), rig.publish('b', [1])]
    rig.journal.countReturn(1, a, counts(1), true) // in the batch that brings the message
    await rig.turn()
    rig.failNext()
    rig.journal.countReturn(1, b, counts(1), true)
    await rig.turn()
    rig.journal.countReturn(1, b, counts(2), true)
    rig.journal.retry()
    await rig.turn()
    await rig.crash()
    expect(rig.journal.store.returnsOf(1, a)).toEqual(counts(1))
    expect(rig.journal.store.returnsOf(1, b)).toEqual(counts(2))
  })

  it('is not written of what is not in the log', async () => {
    const rig = await JournalRig.start(1)
    const transient = rig.publish('a', [], 1)
    const durable = rig.publish('b', [1])
    await rig.turn()
    const { commits } = rig.backend
    rig.journal.countReturn(1, transient, counts(1), true)
    rig.journal.countReturn(2, durable, counts(1), false)
    await rig.turn()
    expect(rig.backend.commits).toBe(commits)
    expect(rig.journal.store.returnsOf(1, transient)).toEqual(counts(1))
    expect(rig.journal.store.returnsOf(2, durable)).toEqual(counts(1))
  })
})
