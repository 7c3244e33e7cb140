import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Confirms } from './confirms'

type Frame = [tag: number, multiple: boolean, isAck: boolean]

function answer(confirms: Confirms, committed: number): Frame[] {
  const frames: Frame[] = []
  confirms.answer(committed, (...frame) => frames.push(frame))
  return frames
}

function published(...batches: number[]): Confirms {
  const confirms = new Confirms()
  for (const batch of batches) confirms.onPublish(batch)
  return confirms
}

describe('confirms', () => {
  it.each<[string, number[], number[], number, Frame[]]>([
    ['nothing published', [], [], 9, []],
    ['one', [1], [], 1, [[1, false, true]]],
    ['several of a batch', [1, 1, 1], [], 1, [[3, true, true]]],
    ['of several batches', [1, 2, 3], [], 2, [[2, true, true]]],
    ['nothing committed', [1, 2], [], 0, []],
    ['a transient one at once', [0], [], 0, [[1, false, true]]],
    ['a transient one behind one that waits', [1, 0], [], 0, []],
    ['a transient one before one that waits', [0, 1], [], 0, [[1, false, true]]],
    ['a failed batch', [1, 1], [1], 0, [[2, true, false]]],
    ['a failed batch behind one that waits', [1, 2], [2], 0, []],
    [
      'a failed batch between',
      [1, 2, 2, 3],
      [2],
      3,
      [
        [1, false, true],
        [3, true, false],
        [4, false, true],
      ],
    ],
    [
      'a failed one, then a transient one',
      [1, 0],
      [1],
      0,
      [
        [1, false, false],
        [2, false, true],
      ],
    ],
  ])('%s', (_, batches, failed, committed, frames) => {
    const confirms = published(...batches)
    for (const batch of failed) confirms.onCommitFailed(batch)
    expect(answer(confirms, committed)).toEqual(frames)
  })

  it('answer every publish once, in order, acks only for what is committed', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ publish: fc.integer({ min: 1, max: 4 }), isLogged: fc.boolean() }) },
      { weight: 2, arbitrary: fc.constantFrom('commit' as const, 'fail' as const, 'answer' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const confirms = new Confirms()
        const publishes: { batch: number; failed: boolean }[] = []
        let gathering = 1
        let committed = 0
        let answered = 0
        const check = () => {
          for (const [tag, multiple, isAck] of answer(confirms, committed)) {
            expect(tag).toBeGreaterThan(answered)
            expect(multiple).toBe(tag > answered + 1)
            for (const { batch, failed } of publishes.slice(answered, tag)) {
              expect(isAck).toBe(!failed)
              if (isAck) expect(batch).toBeLessThanOrEqual(committed)
            }
            answered = tag
          }
          expect(confirms.unconfirmedCount).toBe(publishes.length - answered)
          expect(confirms.isSettled).toBe(answered === publishes.length)
          const next = publishes[answered]
          if (next !== undefined) expect(next.failed || next.batch <= committed).toBe(false)
        }
        for (const s of steps) {
          if (s === 'answer') check()
          else if (s === 'commit') committed = gathering++
          else if (s === 'fail') {
            const batch = gathering++
            confirms.onCommitFailed(batch)
            for (const p of publishes.slice(answered)) if (p.batch === batch) p.failed = true
          } else {
            for (let i = 0; i < s.publish; i++) {
              const batch = s.isLogged ? gathering : 0
              publishes.push({ batch, failed: false })
              confirms.onPublish(batch)
            }
          }
        }
        check()
      }),
    )
  })
})
