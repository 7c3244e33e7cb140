import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { PendingMessages } from './pending-messages'

/** What was put in: messages, each with queues and an expiration, in turns with a time each. */
const turns = fc.array(
  fc.record({
    ms: fc.integer({ min: 1000, max: 1003 }),
    messages: fc.array(
      fc.record({
        queues: fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 3 }),
        bodyBytes: fc.nat(),
        expiration: fc.constantFrom(-1, 0, 70),
      }),
      { maxLength: 4 },
    ),
  }),
  { maxLength: 12 },
)
type Turns = ReturnType<typeof turns.generate> extends { value: infer T } ? T : never

function filled(from: Turns, firstTicket: number): PendingMessages {
  const pending = new PendingMessages()
  let ticket = firstTicket
  for (const { ms, messages } of from) {
    for (const { queues, bodyBytes, expiration } of messages) {
      for (const id of queues) pending.addQueue(id)
      pending.add(ticket++, bodyBytes, expiration)
    }
    pending.stamp(ms)
  }
  return pending
}

function read(pending: PendingMessages) {
  return Array.from({ length: pending.count }, (_, i) => ({
    ms: pending.timeOf(i),
    bodyBytes: pending.bodyBytes[i],
    expiration: pending.expirationOf(pending.tickets[i]),
    queues: [...pending.queueIds.subarray(i === 0 ? 0 : pending.ends[i - 1], pending.ends[i])],
  }))
}

const expected = (from: Turns) => from.flatMap(({ ms, messages }) => messages.map((message) => ({ ms, ...message })))

describe('PendingMessages', () => {
  it('keeps queues, expiration and time of each message, also when a failed batch goes in front, and when read twice', () => {
    fc.assert(
      fc.property(turns, turns, (first, then) => {
        const pending = filled(first, 100)
        expect(read(pending)).toEqual(expected(first))
        pending.append(filled(then, 500))
        expect(read(pending)).toEqual([...expected(first), ...expected(then)])
        pending.clear()
        expect(pending.count).toBe(0)
        pending.append(filled(then, 500))
        expect(read(pending)).toEqual(expected(then))
      }),
    )
  })
})
