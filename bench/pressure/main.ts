// npm run pressure: is the memory of a broker bounded, whatever its clients do, and are others served? See scenarios.ts.
import { Command, InvalidArgumentError } from 'commander'
import { leveret } from '../brokers'
import { readUsage } from '../process-usage'
import { type Scenario, scenarios } from './scenarios'

const MiB = 1024 * 1024

const { messages, limit, only } = new Command('npm run pressure --')
  .description('Is the memory of a broker bounded, whatever its clients do, and are others served meanwhile?')
  .option('--messages <n>', 'of 1 KiB, in each scenario', positive, 400_000)
  .option('--limit <MiB>', "the broker's --memory-limit", positive, 128)
  .option('--only <text>', 'the scenarios whose title contains this', '')
  .parse()
  .opts<{ messages: number; limit: number; only: string }>()

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value <= 0) throw new InvalidArgumentError('a whole number above 0, please')
  return value
}

async function main(): Promise<void> {
  const chosen = scenarios.filter(({ title }) => title.includes(only))
  let failed = 0
  for (const scenario of chosen) {
    const fault = await measure(scenario)
    if (fault !== null) failed++
    if (fault !== null) console.log(`FAULT ${scenario.title}: ${fault}`)
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}

async function measure({ title, besideMiB, run }: Scenario): Promise<string | null> {
  const broker = await leveret({ dataParent: null, profile: null, options: ['--memory-limit', `${limit}MiB`] }).start()
  try {
    const told = await run(broker, messages)
    const peak = readUsage(broker.pid)?.rssPeakBytes ?? 0
    console.log(`${title}: resident at most ${Math.round(peak / MiB)} MiB; ${told}`)
    return peak > (limit + besideMiB) * MiB ? `takes more than the limit and ${besideMiB} MiB` : null
  } catch (error) {
    return (error as Error).message
  } finally {
    await broker.stop()
  }
}

void main()
