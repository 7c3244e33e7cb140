// A broker that stops moving must end the measurement with a report of how far it came, not hang it.

const stallMs = 20_000

export class Watchdog {
  private readonly timer: NodeJS.Timeout
  private seen = -1

  /** Calls `onStall` once when `progress()` has not changed for a while. */
  constructor(progress: () => number, onStall: () => void) {
    this.timer = setInterval(() => {
      const now = progress()
      if (now !== this.seen) {
        this.seen = now
        return
      }
      this.stop()
      onStall()
    }, stallMs)
  }

  stop(): void {
    clearInterval(this.timer)
  }
}
