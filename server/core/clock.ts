// Time as the broker sees it. Handed in from outside so that a test can advance TTLs, timeouts and heartbeats by hand.
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once after `ms`. Does not keep the process alive. */
  after(ms: number, callback: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

interface Waiting {
  due: number
  callback: () => void
}

/** Stands still until `advance` is called. For tests, ours and those of people who embed the broker. */
export class ManualClock implements Clock {
  private waiting: Waiting[] = []

  constructor(private time = 0) {}

  now(): number {
    return this.time
  }

  after(ms: number, callback: () => void): Timer {
    const entry = { due: this.time + ms, callback }
    this.waiting.push(entry)
    return { cancel: () => (this.waiting = this.waiting.filter((w) => w !== entry)) }
  }

  /** Runs every callback that falls due on the way, in order of time. */
  advance(ms: number): void {
    const target = this.time + ms
    for (;;) {
      const next = this.waiting.filter((w) => w.due <= target).sort((a, b) => a.due - b.due)[0]
      if (next === undefined) break
      this.waiting = this.waiting.filter((w) => w !== next)
      this.time = Math.max(this.time, next.due)
      next.callback()
    }
    this.time = target
  }
}
