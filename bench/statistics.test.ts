import { describe, expect, it } from '@jest/globals'
import { plusMinusPercent, ratioOfPairs, spreadOf } from './statistics'

describe('spreadOf', () => {
  it('takes the middle value, or the mean of the two middle ones', () => {
    expect(spreadOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 })
    expect(spreadOf([40, 10, 20, 30])).toEqual({ median: 25, min: 10, max: 40 })
  })

  it('does not sort its argument', () => {
    const values = [3, 1, 2]
    spreadOf(values)
    expect(values).toEqual([3, 1, 2])
  })

  it('has no figure for no values', () => {
    expect(spreadOf([]).median).toBeNaN()
  })
})

describe('plusMinusPercent', () => {
  it('is half the width, relative to the median', () => {
    expect(plusMinusPercent({ median: 100, min: 90, max: 110 })).toBe(10)
    expect(plusMinusPercent({ median: 0, min: 0, max: 0 })).toBe(0)
  })
})

describe('ratioOfPairs', () => {
  it('compares each repeat with its neighbour, not medians with medians', () => {
    expect(ratioOfPairs([10, 40, 90], [10, 20, 30])).toEqual({ median: 2, min: 1, max: 3 })
  })

  it('ignores a repeat without a partner', () => {
    expect(ratioOfPairs([10, 40], [5])).toEqual({ median: 2, min: 2, max: 2 })
  })
})
