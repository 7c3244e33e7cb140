// Every kind of load in small counts on one broker: says whether counts, order and settlement agree, and nothing of speed.
import type { BrokerSource, RunningBroker } from './brokers'
import type { Outcome } from './figures'
import type { Row } from './rows'

export async function smoke(
  source: BrokerSource,
  rows: readonly Row[],
  measure: (row: Row, broker: RunningBroker) => Promise<Outcome>,
): Promise<number> {
  const broker = await source.start(true)
  let failed = 0
  try {
    for (const row of rows) {
      const faults = await faultsOf(() => measure(row, broker))
      if (faults.length > 0) failed++
      process.stdout.write(`${faults.length === 0 ? 'ok    ' : 'FAILED'} ${row.id}: ${row.title}\n`)
      for (const fault of faults) process.stdout.write(`       ${fault}\n`)
    }
  } finally {
    await broker.stop()
  }
  process.stdout.write(`${rows.length - failed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

async function faultsOf(run: () => Promise<Outcome>): Promise<string[]> {
  try {
    return (await run()).faults
  } catch (error) {
    return [(error as Error).message]
  }
}
