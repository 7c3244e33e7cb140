import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { DueHeap } from './due-heap'

describe('a heap of due times', () => {
  it('gives back what a sorted list gives, while entries come, go and are taken out', () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 0, max: 20 }) }),
      fc.constant({ pop: true as const }),
      fc.record({ remove: fc.nat(300) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const heap = new DueHeap()
        let model: [number, number][] = []
        let ticket = 0
        for (const what of steps) {
          if ('push' in what) {
            heap.push(what.push, ticket)
            model.push([what.push, ticket++])
            model.sort((a, b) => a[0] - b[0] || a[1] - b[1])
          } else if ('remove' in what) {
            expect(heap.remove(what.remove)).toBe(model.some(([, t]) => t === what.remove))
            model = model.filter(([, t]) => t !== what.remove)
          } else if (model.length > 0) {
            heap.pop()
            model.shift()
          }
          expect(heap.length).toBe(model.length)
          if (model.length > 0) expect([heap.firstDue, heap.firstTicket]).toEqual(model[0])
        }
        expect(heap.first(7).map((e) => [e.due, e.ticket])).toEqual(model.slice(0, 7))
        expect([...heap.entries()].map((e) => e.ticket).sort()).toEqual(model.map(([, t]) => t).sort())
      }),
      { numRuns: 300 },
    )
  })

  it('gives its memory back', () => {
    const heap = new DueHeap()
    for (let i = 0; i < 100_000; i++) heap.push(i % 1000, i)
    expect(heap.heldBytes).toBeLessThanOrEqual(131_072 * 16)
    for (let i = 0; i < 99_990; i++) heap.pop()
    expect(heap.heldBytes).toBeLessThanOrEqual(64 * 16)
    expect([heap.length, heap.firstDue]).toEqual([10, 999])
  })
})
