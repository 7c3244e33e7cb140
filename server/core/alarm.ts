// Calls back when the earliest of the times it was set for has come: for those who keep a heap of times (delay.ts, expiry.ts).
import type { Clock, Timer } from './clock'

/** Timers do not notice that the clock was set or the machine slept: so late, at most, is what was due meanwhile. */
const TIMER_MS_MAX = 10_000

export class Alarm {
  private timer: Timer | null = null
  private due = Number.POSITIVE_INFINITY

  constructor(
    private readonly clock: Clock,
    private readonly onDue: () => void,
  ) {}

  /** Does nothing where it is set for an earlier time already. It may ring too early: whoever hears it looks, and sets it again. */
  set(due: number): void {
    if (due >= this.due) return
    this.timer?.cancel()
    this.due = due
    const ms = Math.min(Math.max(0, due - this.clock.now()), TIMER_MS_MAX)
    this.timer = this.clock.after(ms, () => {
      this.stop()
      this.onDue()
    })
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = null
    this.due = Number.POSITIVE_INFINITY
  }
}
