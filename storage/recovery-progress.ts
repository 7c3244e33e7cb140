// Lines for the log while a long recovery goes on, so that nobody takes it for a hang. Short ones say nothing. Used by
// recovery, told of each entry.

const FIRST_LINE_MS = 1000
const LINE_MS = 5000
/** Entries between looks at the clock. */
const STRIDE = 256

export class RecoveryProgress {
  private readonly startedAt: number
  private nextAt: number
  private pass = 1
  private first = 0
  private seen = 0

  constructor(
    private readonly lastPosition: number,
    private readonly now: () => number,
    private readonly log: (line: string) => void,
  ) {
    this.startedAt = now()
    this.nextAt = this.startedAt + FIRST_LINE_MS
  }

  onEntry(position: number): void {
    if (this.first === 0) this.first = position
    if (++this.seen % STRIDE !== 0 || this.now() < this.nextAt) return
    this.nextAt = this.now() + LINE_MS
    const total = this.lastPosition - this.first + 1 // positions are consecutive
    const done = position - this.first + 1
    const percent = Math.floor((100 * done) / total)
    const reading = this.pass === 1 ? 'first' : 'second'
    this.log(`Recovering: ${grouped(done)} of ${grouped(total)} log entries (${percent} %), ${reading} of two readings`)
  }

  onSecondPass(): void {
    this.pass = 2
  }

  get seconds(): number {
    return (this.now() - this.startedAt) / 1000
  }
}

const grouped = (count: number): string => count.toLocaleString('en-US')
