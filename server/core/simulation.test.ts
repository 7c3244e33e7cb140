// The queue machine and its journal against a simple model, under random work, failing commits, crashes and restarts. See
// simulation/. A failure names its seed: SIMULATION_SEED=<seed> runs that one alone, SIMULATION_SEEDS=<n> more of them.
import { describe, expect, it } from '@jest/globals'
import { Driver } from './simulation/driver'
import { Random } from './simulation/random'

const STEPS = 250
const ONE = process.env.SIMULATION_SEED
const COUNT = Number(process.env.SIMULATION_SEEDS ?? 200)

async function outcomeOf(seed: number): Promise<string> {
  try {
    await new Driver(new Random(seed)).run(STEPS)
    return 'fine'
  } catch (error) {
    return `seed ${seed}: ${(error as Error).stack}`
  }
}

describe('simulation', () => {
  it('never breaks a promise', async () => {
    if (ONE !== undefined) expect(await outcomeOf(Number(ONE))).toBe('fine')
    for (let seed = 1; ONE === undefined && seed <= COUNT; seed++) expect(await outcomeOf(seed)).toBe('fine')
  }, 600_000)
})
