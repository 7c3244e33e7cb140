// Long work in short pieces: whoever goes through thousands of objects rests when a slice is over, so that messages travel
// in between. One Slices serves a whole admin API: of all requests in progress one runs per turn of the event loop, so ten
// lists at once hold up messages no longer than one.

/** Well under the 20 ms that a message may wait: a slice may end with an item that takes a while, or a garbage collection. */
const SLICE_MS = 4
/** How many objects an owner of fixed-size slices may take at once. */
export const SLICE_ITEMS = 500

export class Slices {
  private readonly waiting: (() => void)[] = []
  private endsAt = 0

  /** To be asked after each item; true: call `next` before going on. */
  get isOver(): boolean {
    return performance.now() >= this.endsAt
  }

  /** Resolves in a later turn, when it is this caller's. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      if (this.waiting.length === 1) setImmediate(this.release)
    })
  }

  private readonly release = (): void => {
    this.endsAt = performance.now() + SLICE_MS
    this.waiting.shift()?.()
    if (this.waiting.length > 0) setImmediate(this.release)
  }
}

/** Collects what `accepts` lets through. */
export async function collect<T>(items: Iterable<T>, slices: Slices, accepts?: (item: T) => boolean): Promise<T[]> {
  const kept: T[] = []
  for (const item of items) {
    if (accepts === undefined || accepts(item)) kept.push(item)
    if (slices.isOver) await slices.next()
  }
  return kept
}

const RUN = 256

/** A stable merge sort that rests: Array.sort of 100,000 names takes longer than a message may wait. */
export async function sortInSlices<T>(items: T[], compare: (a: T, b: T) => number, slices: Slices): Promise<T[]> {
  let runs: T[][] = []
  for (let at = 0; at < items.length; at += RUN) {
    runs.push(items.slice(at, at + RUN).sort(compare))
    if (slices.isOver) await slices.next()
  }
  while (runs.length > 1) {
    const merged: T[][] = []
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(i + 1 < runs.length ? await merge(runs[i], runs[i + 1], compare, slices) : runs[i])
    }
    runs = merged
  }
  return runs[0] ?? []
}

async function merge<T>(a: T[], b: T[], compare: (a: T, b: T) => number, slices: Slices): Promise<T[]> {
  const out: T[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    const takesA = j === b.length || (i < a.length && compare(a[i], b[j]) <= 0)
    out.push(takesA ? a[i++] : b[j++])
    if (out.length % RUN === 0 && slices.isOver) await slices.next()
  }
  return out
}
