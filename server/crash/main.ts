// npm run crash: kills a broker again and again under load and looks whether it kept its promises. See harness.ts.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { Random } from '../core/simulation/random'
import { Harness } from './harness'

interface Options {
  kills?: number
  minutes?: number
  seed?: number
}

function count(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('a number, please')
  return Number(text)
}

const {
  kills = Number.POSITIVE_INFINITY,
  minutes,
  seed = Date.now() % 1_000_000,
} = new Command('npm run crash --')
  .description(
    'Kills a broker with SIGKILL again and again, under load and while it starts, and checks that nothing that\nwas confirmed is lost, nothing that was settled comes back, what expires does so in time, and order, flags, counts\nand definitions hold.',
  )
  .option('--kills <n>', 'end after so many kills', count)
  .option('--minutes <n>', 'end after so many minutes (default: 1, unless --kills is given)', count)
  .option('--seed <n>', 'for the random choices; their moments in time are not repeatable', count)
  .parse()
  .opts<Options>()

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'leveret-crash-'))
  const harness = new Harness(directory, new Random(seed))
  const { world } = harness
  const minutesMax = minutes ?? (kills === Number.POSITIVE_INFINITY ? 1 : Number.POSITIVE_INFINITY)
  const startedAt = Date.now()
  const seconds = () => Math.round((Date.now() - startedAt) / 1000)
  console.log(`seed ${seed}`)
  let saidAt = 0
  try {
    while (harness.kills < kills && seconds() < minutesMax * 60) {
      await harness.round()
      if (seconds() - saidAt >= 10) {
        saidAt = seconds()
        console.log(`${saidAt} s: ${harness.kills} kills, ${world.confirms} confirms, ${world.settles} settlements`)
      }
    }
    await harness.finish()
    rmSync(directory, { recursive: true, force: true })
    const { found, expired } = world.ledger
    console.log(
      `${world.confirms} confirms, ${world.settles} settlements, ${found} messages looked at, ${expired} expired, ${harness.killsWhileStarting} kills before it was ready; ${seconds()} s`,
    )
    console.log(`${harness.kills} passed, 0 failed`)
  } catch (error) {
    console.log(`seed ${seed}, after ${harness.kills} kills: ${(error as Error).stack}\ndata directory: ${directory}`)
    console.log(`${harness.kills} passed, 1 failed`)
    process.exitCode = 1
  }
  process.exit()
}

void main()
