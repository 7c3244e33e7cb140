// Slices: work that rests comes to the same end as work that does not, and takes turns.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { collect, Slices, sortInSlices } from './slices'

/** Rests after every look. */
class Impatient extends Slices {
  override get isOver(): boolean {
    return true
  }
}

describe('sortInSlices', () => {
  it('sorts as Array.sort does, equals in the order they came', async () => {
    const items = fc.array(fc.record({ key: fc.integer({ min: 0, max: 20 }), id: fc.nat() }), { maxLength: 2000 })
    await fc.assert(
      fc.asyncProperty(items, async (list) => {
        const compare = (a: { key: number }, b: { key: number }) => a.key - b.key
        expect(await sortInSlices(list, compare, new Impatient())).toEqual([...list].sort(compare))
      }),
      { numRuns: 50 },
    )
  })
})

describe('collect', () => {
  it('keeps what is accepted', async () => {
    expect(await collect([1, 2, 3, 4], new Impatient(), (n) => n % 2 === 0)).toEqual([2, 4])
  })

  it('goes through a live map whose entries come and go', async () => {
    const map = new Map([1, 2, 3].map((n) => [n, n]))
    const kept = await collect(map.keys(), new Impatient(), (n) => {
      if (n === 1) map.delete(2)
      if (n === 3) map.set(4, 4)
      return true
    })
    expect(kept).toEqual([1, 3, 4])
  })
})

describe('turns', () => {
  it('are one at a time, in the order they were asked for', async () => {
    let turn = 0
    let ticking = setImmediate(tick)
    function tick(): void {
      turn++
      ticking = setImmediate(tick)
    }
    const slices = new Slices()
    const seen: [name: string, turn: number][] = []
    const worker = async (name: string) => {
      for (let i = 0; i < 3; i++) {
        await slices.next()
        seen.push([name, turn])
      }
    }
    await Promise.all([worker('a'), worker('b')])
    clearImmediate(ticking)
    expect(seen.map(([name]) => name).join('')).toBe('ababab')
    expect(new Set(seen.map(([, at]) => at)).size).toBe(seen.length)
  })
})
