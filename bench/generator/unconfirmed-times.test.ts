import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { LatencyHistogram } from '../histogram'
import { UnconfirmedTimes } from './unconfirmed-times'

describe('UnconfirmedTimes', () => {
  it('measures each message once, however its confirm comes', () => {
    const times = new UnconfirmedTimes(10)
    const latency = new LatencyHistogram()
    times.add(4, 100)
    expect(times.settle(3, 150, latency)).toBe(1)
    expect(times.settle(3, 999, latency)).toBe(0)
    expect(times.span).toBe(4) // tag 1 holds the window
    expect(times.settleUpTo(4, 200, latency)).toBe(3)
    expect(times.span).toBe(0)
    expect(latency.summary()).toMatchObject({ samples: 4, maxUs: 100 })
  })

  it('ignores tags that were never given', () => {
    const times = new UnconfirmedTimes(10)
    times.add(2, 5)
    expect(times.settle(0, 9, new LatencyHistogram())).toBe(0)
    expect(times.settle(3, 9, new LatencyHistogram())).toBe(0)
    expect(times.settleUpTo(1000, 9, new LatencyHistogram())).toBe(2)
  })

  it('keeps to its window through any order of confirms', () => {
    const confirms = fc.array(fc.record({ pick: fc.nat(), multiple: fc.boolean() }), { maxLength: 200 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), confirms, (window, steps) => {
        const times = new UnconfirmedTimes(window)
        const latency = new LatencyHistogram()
        let sent = 0
        let settled = 0
        for (const { pick, multiple } of steps) {
          const room = window - times.span
          times.add(room, 1)
          sent += room
          const tag = sent - (pick % window)
          settled += multiple ? times.settleUpTo(tag, 2, latency) : times.settle(tag, 2, latency)
          expect(times.span).toBeLessThanOrEqual(window)
        }
        settled += times.settleUpTo(sent, 2, latency)
        expect(settled).toBe(sent)
      }),
    )
  })
})
