// The queue machine and its journal against a simple model, under random work, failing disks, short memory, crashes and
// restarts. See simulation/; `npm run simulate` does more and longer runs of the same, and repeats one by its seed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { type BackendKind, SimulatedDisk } from './simulation/disk'
import { Driver } from './simulation/driver'
import { Random } from './simulation/random'

const STEPS = Number(process.env.SIMULATION_STEPS ?? 1000)
const SEEDS = { memory: Number(process.env.SIMULATION_SEEDS ?? 100), sqlite: 10 }

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'leveret-simulation-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

let runs = 0
function run(seed: number, kind: BackendKind, steps = STEPS): Promise<number> {
  return new Driver(new Random(seed), new SimulatedDisk(kind, join(directory, `${++runs}`))).run(steps)
}

async function outcomeOf(seed: number, kind: BackendKind): Promise<string> {
  try {
    await run(seed, kind)
    return 'fine'
  } catch (error) {
    const again = `npm run simulate -- --backend ${kind} --steps ${STEPS} --seed ${seed}`
    return `${(error as Error).stack}\nAgain: ${again}`
  }
}

describe.each(['memory', 'sqlite'] as const)('simulation over the %s backend', (kind) => {
  it('never breaks a promise', async () => {
    for (let seed = 1; seed <= SEEDS[kind]; seed++) expect(await outcomeOf(seed, kind)).toBe('fine')
  }, 600_000)

  it('goes the same way again for the same seed', async () => {
    expect(await run(7, kind, 300)).toBe(await run(7, kind, 300))
  }, 60_000)
})
