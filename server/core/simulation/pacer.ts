// Decides when what a broker asked of its disks happens. Everything asked for waits here until the driver picks it; then it
// is done and answered before anything else moves. So real threads and files take part, and a seed still says it all.
import { SpillFile } from '../../../storage/spill-file'
import type { Clock } from '../clock'

interface Operation {
  what: string
  run(): Promise<void>
}

export class Pacer {
  /** Until told otherwise, what is asked for happens at once. */
  isWaiting = false
  private waiting: Operation[] = []

  get count(): number {
    return this.waiting.length
  }

  /** The first of a kind, -1 if there is none. */
  find(what: string): number {
    return this.waiting.findIndex((operation) => operation.what === what)
  }

  readonly perform = <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (!this.isWaiting) return work()
    return new Promise((resolve, reject) => {
      this.waiting.push({ what, run: () => work().then(resolve, reject) })
    })
  }

  /** Does the one at this place among those that wait. Call when the event loop has nothing to do. Returns what it was. */
  async complete(at: number): Promise<string> {
    const [{ what, run }] = this.waiting.splice(at, 1)
    await run()
    return what
  }
}

/** A spill file of which each transfer waits for the pacer, and may fail. */
export class PacedSpillFile extends SpillFile {
  isFailing = false
  transfers = 0

  constructor(
    path: string,
    clock: Clock,
    private readonly pacer: Pacer,
  ) {
    super(path, (ms, callback) => clock.after(ms, callback))
  }

  protected override transfer(...args: Parameters<SpillFile['transfer']>): Promise<void> {
    const isFailing = this.isFailing
    return this.pacer.perform(`spill ${args[2]}`, async () => {
      if (isFailing) throw new Error('injected: the scratch disk fails')
      this.transfers++
      return super.transfer(...args)
    })
  }
}
