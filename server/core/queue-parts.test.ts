// What a queue is made of, each against the simplest model of it: the ring of tickets, what came back, whose turn it is.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { MessageStore } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import type { Consumer } from './consumer'
import { PriorityRound } from './priority-round'
import { PriorityWaiting } from './priority-waiting'
import { ReadyRound } from './ready-round'
import { Returned } from './returned'
import { TicketRing } from './ticket-ring'
import { Waiting } from './waiting'

describe('TicketRing', () => {
  it('is first in, first out', () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ shift: fc.integer({ min: 1, max: 400 }) }),
      fc.constant('clear' as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const ring = new TicketRing()
        let model: number[] = []
        let next = 2 ** 40
        for (const s of steps) {
          if (s === 'clear') {
            ring.clear()
            model = []
          } else if ('push' in s) {
            for (let i = 0; i < s.push; i++) {
              ring.push(++next)
              model.push(next)
            }
          } else {
            for (let i = 0; i < s.shift && model.length > 0; i++) {
              expect(ring.peek()).toBe(model[0])
              expect(ring.shift()).toBe(model.shift())
            }
          }
          expect(ring.length).toBe(model.length)
        }
        while (model.length > 0) expect(ring.shift()).toBe(model.shift())
      }),
    )
  })
})

describe('Returned', () => {
  it('hands out the lowest ticket first, in whatever order they came back', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ add: fc.integer({ min: 0, max: 5000 }) }) },
      { weight: 2, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.record({ run: fc.integer({ min: 0, max: 4000 }) }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const returned = new Returned()
        let model: number[] = []
        const add = (ticket: number) => {
          if (model.includes(ticket)) return
          returned.add(ticket)
          model = [...model, ticket].sort((a, b) => a - b)
        }
        for (const s of steps) {
          if (s === 'shift') {
            if (model.length > 0) expect(returned.shift()).toBe(model.shift())
          } else if ('add' in s) add(s.add)
          else for (let i = 0; i < 20; i++) add(s.run + i)
          expect(returned.length).toBe(model.length)
          if (model.length > 0) expect(returned.peek()).toBe(model[0])
        }
        expect([...returned].sort((a, b) => a - b)).toEqual(model)
      }),
    )
  })

  it('lets go of what thousands of tickets took', () => {
    const returned = new Returned()
    for (let i = 0; i < 5000; i++) returned.add(i)
    for (let i = 0; i < 4999; i++) expect(returned.shift()).toBe(i)
    returned.add(3)
    expect([...returned]).toEqual([3, 4999])
  })
})

describe('Waiting', () => {
  it('is a queue from whose middle messages are taken, and into which they come back at their place', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 20 }) }) },
      { weight: 4, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 10 }) }) },
      { weight: 3, arbitrary: fc.record({ back: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ remove: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ has: fc.nat({ max: 300 }) }) },
      { weight: 1, arbitrary: fc.constant('drain' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const waiting = new Waiting()
        let model: number[] = []
        const taken: number[] = []
        const before = new Set<number>() // delivered once
        let next = 0
        for (const s of steps) {
          if (s === 'drain') {
            expect([...waiting.drain()].sort((a, b) => a - b)).toEqual(model)
            model = []
          } else if ('push' in s) {
            for (let i = 0; i < s.push; i++) {
              waiting.push(++next)
              model.push(next)
            }
          } else if ('shift' in s) {
            for (let i = 0; i < s.shift && model.length > 0; i++) {
              const ticket = model.shift() as number
              expect(waiting.head).toBe(ticket)
              expect(waiting.shift()).toBe(before.has(ticket))
              taken.push(ticket)
            }
          } else if ('back' in s && taken.length > 0) {
            const [ticket] = taken.splice(s.back % taken.length, 1)
            waiting.giveBack(ticket)
            before.add(ticket)
            model = [...model, ticket].sort((a, b) => a - b)
          } else if ('remove' in s && model.length > 0) {
            const [ticket] = model.splice(s.remove % model.length, 1)
            waiting.remove(ticket)
          } else if ('has' in s && s.has > 0 && s.has <= next) {
            expect(waiting.has(s.has)).toBe(model.includes(s.has))
          }
          expect(waiting.length).toBe(model.length)
          expect([...waiting.deliveredBefore()].sort((a, b) => a - b)).toEqual(model.filter((t) => before.has(t)))
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('PriorityWaiting', () => {
  const levels = { highest: 6, standard: 2 }

  it('hands out the highest first, and of equals the oldest', () => {
    const priority = fc.option(fc.constantFrom(0, 1, 2, 5, 6, 200), { nil: undefined })
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ push: fc.array(priority, { minLength: 1, maxLength: 10 }) }) },
      { weight: 4, arbitrary: fc.record({ shift: fc.constantFrom('first' as const, 'least' as const) }) },
      { weight: 3, arbitrary: fc.record({ back: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
      { weight: 1, arbitrary: fc.constant('drain' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const store = new MessageStore()
        const waiting = new PriorityWaiting(store, levels)
        const level = new Map<number, number>() // of all that were ever pushed
        const taken: number[] = []
        let model: number[] = []
        const put = (ticket: number) => {
          model = [...model, ticket].sort((a, b) => (level.get(b) ?? 0) - (level.get(a) ?? 0) || a - b)
        }
        for (const s of steps) {
          if (s === 'drain') {
            expect([...waiting.drain()].sort((a, b) => a - b)).toEqual([...model].sort((a, b) => a - b))
            model = []
          } else if ('push' in s) {
            for (const priority of s.push) {
              const ticket = store.append(sampleMessage({ priority }), 1, 0)
              level.set(ticket, priority === undefined ? levels.standard : Math.min(priority, levels.highest))
              waiting.push(ticket)
              put(ticket)
            }
          } else if ('shift' in s && model.length > 0) {
            const lowest = Math.min(...model.map((t) => level.get(t) ?? 0))
            const least = model.find((t) => level.get(t) === lowest)
            const ticket = s.shift === 'first' ? waiting.head : waiting.least
            expect(ticket).toBe(s.shift === 'first' ? model[0] : least)
            if (s.shift === 'first') waiting.shift()
            else waiting.shiftLeast()
            model = model.filter((t) => t !== ticket)
            taken.push(ticket)
          } else if ('back' in s && taken.length > 0) {
            const [ticket] = taken.splice(s.back % taken.length, 1)
            waiting.giveBack(ticket)
            put(ticket)
          } else if ('remove' in s && model.length > 0) {
            const [ticket] = model.splice(s.remove % model.length, 1)
            waiting.remove(ticket)
          }
          expect(waiting.length).toBe(model.length)
          for (const ticket of level.keys()) expect(waiting.has(ticket)).toBe(model.includes(ticket))
        }
      }),
      { numRuns: 300 },
    )
  })
})

/** As much of a consumer as the round looks at. */
class Somebody {
  isReady = true
  isParked = false
  isSated = false
  constructor(
    readonly name: number,
    readonly priority = 0,
  ) {}
  park(): void {
    this.isParked = true
  }
}

describe('ReadyRound', () => {
  it('gives each ready consumer its turn, and parks the others', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant('next' as const) },
      { weight: 1, arbitrary: fc.constant('add' as const) },
      { weight: 1, arbitrary: fc.record({ remove: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ toggle: fc.nat() }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const round = new ReadyRound()
        const all: Somebody[] = []
        let model: Somebody[] = []
        for (const s of steps) {
          if (s === 'add') {
            const somebody = new Somebody(all.length)
            all.push(somebody)
            model.push(somebody)
            round.add(somebody as unknown as Consumer)
          } else if (s === 'next') {
            const at = model.findIndex((somebody) => somebody.isReady)
            const expected = at === -1 ? null : model[at]
            const passed = at === -1 ? model : model.slice(0, at)
            model = at === -1 ? [] : [...model.slice(at + 1), model[at]]
            expect(round.next()).toBe(expected)
            for (const somebody of passed) expect(somebody.isParked).toBe(true)
            if (expected !== null) expect(expected.isParked).toBe(false)
          } else if (all.length === 0) {
          } else if ('remove' in s) {
            const somebody = all[s.remove % all.length]
            round.remove(somebody as unknown as Consumer)
            model = model.filter((other) => other !== somebody)
          } else {
            const somebody = all[s.toggle % all.length]
            somebody.isReady = !somebody.isReady
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('PriorityRound', () => {
  const asConsumer = (somebody: Somebody) => somebody as unknown as Consumer

  it('serves the highest that is ready, by turns among equals', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('next' as const) },
      { weight: 2, arbitrary: fc.record({ add: fc.integer({ min: -3, max: 3 }) }) },
      { weight: 1, arbitrary: fc.record({ remove: fc.nat() }) },
      { weight: 3, arbitrary: fc.record({ toggle: fc.nat() }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const round = new PriorityRound([])
        let there: Somebody[] = [] // the one served last at the end
        let made = 0
        for (const s of steps) {
          if (s === 'next') {
            const ready = there.filter((one) => one.isReady)
            const highest = Math.max(...ready.map((one) => one.priority))
            const expected = ready.find((one) => one.priority === highest) ?? null
            expect(round.next()).toBe(expected)
            if (expected !== null) there = [...there.filter((one) => one !== expected), expected]
          } else if ('add' in s) {
            const somebody = new Somebody(made++, s.add)
            there.push(somebody)
            round.add(asConsumer(somebody))
          } else if (there.length === 0) {
          } else if ('remove' in s) {
            const [gone] = there.splice(s.remove % there.length, 1)
            round.remove(asConsumer(gone))
          } else {
            const somebody = there[s.toggle % there.length]
            somebody.isReady = !somebody.isReady
            if (!somebody.isReady || !somebody.isParked) continue
            somebody.isParked = false
            there = [...there.filter((one) => one !== somebody), somebody] // it comes back behind the others
            round.add(asConsumer(somebody))
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('waits for the highest while that has only had its share of the turn, not when it cannot take more', () => {
    const [high, low] = [new Somebody(1, 5), new Somebody(2, 1)]
    const round = new PriorityRound([high, low].map(asConsumer))
    high.isReady = false
    high.isSated = true
    for (const _again of [1, 2]) {
      expect(round.next()).toBe(null)
      expect(round.isHeld).toBe(true)
    }
    high.isSated = false
    expect(round.next()).toBe(low)
    expect(round.isHeld).toBe(false)
  })

  it('does not wait for the highest when that has left', () => {
    const [high, low] = [new Somebody(1, 5), new Somebody(2, 1)]
    const round = new PriorityRound([high, low].map(asConsumer))
    high.isReady = false
    high.isSated = true
    expect(round.next()).toBe(null)
    expect(round.remove(asConsumer(high))).toBe(true)
    expect(round.next()).toBe(low)
  })
})
