import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { LatencyHistogram } from './histogram'

describe('LatencyHistogram', () => {
  it('gives nothing for no samples', () => {
    expect(new LatencyHistogram().summary()).toBeNull()
    expect(new LatencyHistogram().percentile(0.99)).toBe(0)
  })

  it('finds percentiles of 1 … 1000 to 1 %', () => {
    const histogram = new LatencyHistogram()
    for (let us = 1; us <= 1000; us++) histogram.record(us)
    expect(Math.abs(histogram.percentile(0.5) - 500)).toBeLessThanOrEqual(5)
    expect(Math.abs(histogram.percentile(0.99) - 990)).toBeLessThanOrEqual(10)
    expect(histogram.percentile(1)).toBe(1000)
    expect(histogram.summary()?.samples).toBe(1000)
  })

  it('is never below the exact percentile, and at most 1 % above it', () => {
    const samples = fc.array(fc.integer({ min: 1, max: 60_000_000 }), { minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(samples, fc.double({ min: 0.01, max: 1, noNaN: true }), (values, p) => {
        const histogram = new LatencyHistogram()
        for (const value of values) histogram.record(value)
        const exact = [...values].sort((a, b) => a - b)[Math.max(1, Math.ceil(values.length * p)) - 1]
        expect(histogram.percentile(p)).toBeGreaterThanOrEqual(exact * 0.999999)
        expect(histogram.percentile(p)).toBeLessThanOrEqual(exact * 1.01)
      }),
    )
  })

  it('merges to what one histogram of all samples says', () => {
    const [left, right, both] = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()]
    for (let i = 1; i <= 500; i++) {
      const us = (i * 7919) % 100_003
      ;(i % 2 === 0 ? left : right).record(us)
      both.record(us)
    }
    left.merge(right.export())
    expect(left.summary()).toEqual(both.summary())
  })

  it('takes zero, fractions and absurd values', () => {
    const histogram = new LatencyHistogram()
    for (const us of [0, 0.4, 1e12]) histogram.record(us)
    expect(histogram.percentile(0.5)).toBe(1)
    expect(histogram.summary()?.maxUs).toBe(1e12)
  })
})
