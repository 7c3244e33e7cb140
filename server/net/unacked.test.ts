import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { UnackedOwner } from '../core/consumer'
import type { Return } from '../core/core-api'
import { type Settlement, Unacked } from './unacked'

/** Writes down what it is told. */
class Owner implements UnackedOwner {
  readonly said: string[] = []
  ack(ticket: number, bodyBytes: number): void {
    this.said.push(`ack ${ticket} ${bodyBytes}`)
  }
  reject(ticket: number, bodyBytes: number): void {
    this.said.push(`reject ${ticket} ${bodyBytes}`)
  }
  requeue(ticket: number, bodyBytes: number, how: Return): void {
    this.said.push(`${how} ${ticket} ${bodyBytes}`)
  }
}

describe('Unacked', () => {
  it('is a map from tag to message, in order of tag', () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ push: fc.constantFrom(1, 1, 1, 1, 2, 5, 40, 1000) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          settle: fc.nat(),
          how: fc.constantFrom<Settlement>('ack', 'reject', 'failed', 'returned'),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          upTo: fc.nat(),
          how: fc.constantFrom<Settlement>('ack', 'reject', 'failed', 'returned'),
        }),
      },
      { weight: 1, arbitrary: fc.record({ newest: fc.integer({ min: 1, max: 30 }) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const unacked = new Unacked()
        const owner = new Owner()
        const model = new Map<number, string>()
        let expected: string[] = []
        let tag = 0
        const settled = (tags: number[], word: string) => {
          expected = [...expected, ...tags.map((t) => `${word} ${model.get(t)}`)]
          for (const t of tags) model.delete(t)
        }
        for (const s of steps) {
          if ('push' in s) {
            tag += s.push // deliveries that need no acknowledgement lie between
            unacked.push(tag, tag * 3, owner, tag * 7)
            model.set(tag, `${tag * 3} ${tag * 7}`)
          } else if ('settle' in s) {
            // Now an open tag, now any.
            const t =
              s.settle % 3 === 0 || model.size === 0 ? s.settle % (tag + 3) : [...model.keys()][s.settle % model.size]
            expect(unacked.has(t)).toBe(model.has(t))
            expect(unacked.settle(t, s.how)).toBe(model.has(t))
            if (model.has(t)) settled([t], s.how)
          } else if ('upTo' in s) {
            const upTo = s.upTo % (tag + 3)
            const tags = [...model.keys()].filter((t) => t <= upTo)
            expect(unacked.tagsUpTo(upTo)).toEqual(tags)
            expect(unacked.settleUpTo(upTo, s.how)).toBe(tags.length)
            settled(tags, s.how)
          } else {
            // All but the oldest few: what a slow consumer beside fast ones does.
            for (const t of [...model.keys()].slice(3).slice(0, s.newest)) {
              unacked.settle(t, 'ack')
              settled([t], 'ack')
            }
          }
          expect(unacked.count).toBe(model.size)
          expect(owner.said).toEqual(expected)
        }
        const rest = [...model.keys()]
        unacked.requeueAll('failed')
        settled(rest, 'failed')
        expect(owner.said).toEqual(expected)
        expect(unacked.count).toBe(0)
      }),
      { numRuns: 300 },
    )
  })

  it('takes no more memory for one old delivery and a million newer ones that came and went', () => {
    const unacked = new Unacked()
    const owner = { ack() {}, reject() {}, requeue() {} }
    unacked.push(1, 1, owner, 0)
    for (let tag = 2; tag < 1_000_000; tag++) {
      unacked.push(tag, tag, owner, 0)
      if (tag > 20) unacked.settle(tag - 10, 'ack')
    }
    expect(unacked.count).toBe(20)
    expect((unacked as unknown as { owners: unknown[] }).owners.length).toBeLessThan(200)
    expect(unacked.tagsUpTo(11)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  it('jumps over any number of deliveries without acknowledgement', () => {
    const unacked = new Unacked()
    const owner = new Owner()
    unacked.push(1, 10, owner, 0)
    unacked.push(2 ** 40, 20, owner, 0)
    expect(unacked.newestTag).toBe(2 ** 40)
    expect(unacked.has(2 ** 40 - 1)).toBe(false)
    unacked.requeueAll('failed')
    expect(owner.said).toEqual(['failed 10 0', 'failed 20 0'])
  })
})
