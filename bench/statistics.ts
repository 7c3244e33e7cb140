// Repeats of one measurement become a median and a spread. The median, because one repeat disturbed by the machine
// must not move the figure; the spread, so that a reader sees how far to trust it.

export interface Spread {
  median: number
  min: number
  max: number
}

export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) return { median: Number.NaN, min: Number.NaN, max: Number.NaN }
  const sorted = [...values].sort((a, b) => a - b)
  return { median: medianOfSorted(sorted), min: sorted[0], max: sorted[sorted.length - 1] }
}

/** Half the distance between the extremes, in percent of the median: the ± of a table. */
export function plusMinusPercent(spread: Spread): number {
  return spread.median === 0 ? 0 : ((spread.max - spread.min) / 2 / spread.median) * 100
}

/** How many times `ours` is `theirs`: the median of the pairs that ran one after the other, and their extremes. */
export function ratioOfPairs(ours: readonly number[], theirs: readonly number[]): Spread {
  const pairs = Math.min(ours.length, theirs.length)
  const ratios: number[] = []
  for (let i = 0; i < pairs; i++) ratios.push(ours[i] / theirs[i])
  return spreadOf(ratios)
}

function medianOfSorted(sorted: readonly number[]): number {
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
