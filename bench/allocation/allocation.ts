// How many bytes of V8's heap a message costs on its way through the broker: publish, route, deliver, acknowledge. Counted by V8
// itself, in the broker's process, after the compiler has settled; so it is a count and not a time, and the machine's load
// hardly moves it.
import type { RunningBroker } from '../brokers'
import { measureLoad } from '../load'
import { type LoadRow, rows } from '../rows'

const MESSAGES = 200_000
const WARM_UP = 300_000

export interface AllocationCase {
  row: LoadRow
  /** Bytes of heap per message that are still right. */
  bytesMax: number
}

/** The bounds stand well above what is measured and below what one more object per message costs: bench/README.md. */
export const allocationCases: AllocationCase[] = [
  { row: rowOf('a-16B'), bytesMax: 36 },
  { row: { ...rowOf('c-window-1000'), bodyBytes: 16 }, bytesMax: 64 },
]

export async function allocatedPerMessage(row: LoadRow, broker: RunningBroker): Promise<number> {
  const { probe } = broker
  if (probe === null) throw new Error('this broker was started without a probe')
  await run(row, broker, WARM_UP)
  const { seen } = await probe.during<number, void>('allocated', () => run(row, broker, MESSAGES))
  return seen / MESSAGES
}

async function run(row: LoadRow, broker: RunningBroker, messages: number): Promise<void> {
  const { faults } = await measureLoad({ ...row, limit: { messages } }, broker)
  if (faults.length > 0) throw new Error(faults.join('; '))
}

function rowOf(id: string): LoadRow {
  const row = rows.find((row) => row.id === id)
  if (row?.kind !== 'load') throw new Error(`no load row ${id}`)
  return row
}
