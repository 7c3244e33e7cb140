// What the broker takes on disk and in memory, looked at several times a second from outside; the peaks of each hour.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { readUsage } from '../process-usage'

const SAMPLE_MS = 100

export interface Sizes {
  file: number // bytes
  wal: number
  rss: number
}

export type Measure = keyof Sizes

export class Sampler {
  /** The peaks of each hour that ended. */
  readonly hours: Sizes[] = []
  private peak: Sizes = { file: 0, wal: 0, rss: 0 }
  private readonly timer = setInterval(() => this.sample(), SAMPLE_MS)

  constructor(
    private readonly pid: number | null,
    private readonly dataDirectory: string,
  ) {}

  now(): Sizes {
    const file = join(this.dataDirectory, 'leveret.db')
    return { file: sizeOf(file), wal: sizeOf(`${file}-wal`), rss: readUsage(this.pid)?.rssBytes ?? 0 }
  }

  endHour(): Sizes {
    this.sample()
    const { peak } = this
    this.hours.push(peak)
    this.peak = { file: 0, wal: 0, rss: 0 }
    return peak
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private sample(): void {
    const now = this.now()
    for (const measure of Object.keys(now) as Measure[]) {
      this.peak[measure] = Math.max(this.peak[measure], now[measure])
    }
  }
}

/** 0 when it is not there. */
function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/** The peak of each whole day. */
export function peaksByDay(hours: readonly Sizes[], measure: Measure): number[] {
  const days: number[] = []
  for (let start = 0; start + 24 <= hours.length; start += 24) {
    days.push(Math.max(...hours.slice(start, start + 24).map((sizes) => sizes[measure])))
  }
  return days
}
