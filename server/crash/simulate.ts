// npm run simulate: many long runs of the simulation, over each backend. See driver.ts. A run that fails is told with its seed
// and the command that repeats it, step for step.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type BackendKind, SimulatedDisk } from '../core/simulation/disk'
import { Driver, type Tally } from '../core/simulation/driver'
import { Random } from '../core/simulation/random'

interface Options {
  seeds: number
  steps: number
  first: number
  seed?: number
  minutes: number
  backend?: BackendKind
}

/** A run over SQLite takes this many times as long as one in memory, about: it gets fewer seeds. */
const SQLITE_SHARE = 6
const FAILURES_MAX = 10
const PROGRESS_MS = 10_000

function count(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('a number, please')
  return Number(text)
}

const options = new Command('npm run simulate --')
  .description(
    'Runs the queue machine and its journal against a simple model, under random work, failing disks, short memory,\ncrashes and restarts. The same seed goes the same way.',
  )
  .option('--seeds <n>', `seeds in memory; over SQLite one for every ${SQLITE_SHARE} of them`, count, 600)
  .option('--first <n>', 'the first seed', count, 1)
  .option('--steps <n>', 'steps of each run', count, 3000)
  .option('--minutes <n>', 'end after so many minutes, whatever is left', count, Number.POSITIVE_INFINITY)
  .option('--seed <n>', 'this seed alone', count)
  .addOption(new Option('--backend <kind>', 'this backend alone').choices(['memory', 'sqlite']))
  .parse()
  .opts<Options>()

class Runs {
  passed = 0
  failed = 0
  private readonly total: Record<string, number> = {}
  private readonly startedAt = Date.now()
  private saidAt = Date.now()
  private current: { seed: number; kind: BackendKind } = { seed: 0, kind: 'memory' }

  constructor(private readonly directory: string) {}

  async all(): Promise<void> {
    const { seed, seeds, first, backend } = options
    for (const kind of backend === undefined ? (['memory', 'sqlite'] as const) : [backend]) {
      const runs = seed !== undefined ? 1 : kind === 'sqlite' && backend === undefined ? seeds / SQLITE_SHARE : seeds
      for (let i = 0; i < runs && !this.isOver; i++) await this.one((seed ?? first) + i, kind)
      this.say(kind)
    }
  }

  private get isOver(): boolean {
    return this.failed >= FAILURES_MAX || Date.now() - this.startedAt > options.minutes * 60_000
  }

  private async one(seed: number, kind: BackendKind): Promise<void> {
    const directory = join(this.directory, `${kind}-${seed}`)
    this.current = { seed, kind }
    const driver = new Driver(new Random(seed), new SimulatedDisk(kind, directory))
    try {
      await driver.run(options.steps)
      this.passed++
    } catch (error) {
      this.tellFailure(error as Error)
    } finally {
      rmSync(directory, { recursive: true, force: true })
      this.add(driver.tally)
    }
    if (Date.now() - this.saidAt > PROGRESS_MS) this.say(kind)
  }

  tellFailure(error: Error): void {
    const { seed, kind } = this.current
    this.failed++
    console.log(`seed ${seed}, ${kind}: ${error.stack}`)
    console.log(`Again: npm run simulate -- --backend ${kind} --steps ${options.steps} --seed ${seed}`)
  }

  conclude(): void {
    rmSync(this.directory, { recursive: true, force: true })
    console.log(`${this.passed} passed, ${this.failed} failed`)
    if (this.failed > 0) process.exitCode = 1
  }

  private add(tally: Tally): void {
    for (const [name, number] of Object.entries(tally)) this.total[name] = (this.total[name] ?? 0) + number
  }

  private say(kind: BackendKind): void {
    this.saidAt = Date.now()
    const seconds = Math.round((this.saidAt - this.startedAt) / 1000)
    const totals = Object.entries(this.total).map(([name, number]) => `${number} ${name}`)
    console.log(`${seconds} s, ${kind}: ${this.passed} seeds passed, ${this.failed} failed; ${totals.join(', ')}`)
  }
}

const runs = new Runs(mkdtempSync(join(tmpdir(), 'leveret-simulation-')))

// Thrown where the event loop called the broker: it would have ended the process.
process.on('uncaughtException', (error) => {
  runs.tellFailure(error)
  runs.conclude()
  process.exit()
})

runs.all().finally(() => runs.conclude())
