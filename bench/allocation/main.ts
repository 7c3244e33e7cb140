// npm run bench:guard: bytes of heap per message beside their bounds, each on a fresh broker. Exits 1 when one is over.
import { leveret } from '../brokers'
import { type AllocationCase, allocatedPerMessage, allocationCases } from './allocation'

const repeats = Number(process.argv[2] ?? 1)

async function main(): Promise<void> {
  let failed = 0
  for (const guarded of allocationCases) {
    for (let repeat = 0; repeat < repeats; repeat++) if (!(await isWithin(guarded))) failed++
  }
  console.log(`${allocationCases.length * repeats - failed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}

async function isWithin({ row, bytesMax }: AllocationCase): Promise<boolean> {
  const broker = await leveret({ dataParent: null, profile: null, isProbed: true }).start()
  try {
    const bytes = await allocatedPerMessage(row, broker)
    const isGood = bytes <= bytesMax
    console.log(`${isGood ? 'ok    ' : 'FAILED'} ${row.id}: ${bytes.toFixed(1)} bytes a message, at most ${bytesMax}`)
    return isGood
  } finally {
    await broker.stop()
  }
}

void main()
