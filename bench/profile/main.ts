// npm run bench:profile -- --row a-16B: where a broker's main thread spends its time, and what it allocates, under one row's load.
// Prints the costs by step and by function, and writes .cpuprofile and .heapprofile files for the DevTools of a browser.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { leveret } from '../brokers'
import { measureLoad } from '../load'
import type { Probe } from '../probe/probe'
import { type LoadRow, rows, selectRows } from '../rows'
import {
  type CpuProfile,
  functionsByBytes,
  functionsByTime,
  type HeapNode,
  type HotFunction,
  totalOf,
} from './hot-functions'
import { costsByStep } from './steps'

const SHOWN = 25
const WARM_UP_SHARE = 0.2

interface Options {
  row: string
  messages: string
  out: string
}

const options = new Command('npm run bench:profile --')
  .description('A CPU profile and an allocation profile of the broker under the load of a row.')
  .option('--row <ids>', 'rows by letter or id, separated by commas', 'a-16B')
  .option('--messages <n>', 'how many to send', '2000000')
  .option('--out <folder>', 'for the profiles', 'profiles')
  .parse()
  .opts<Options>()

async function main({ row: ids, messages, out }: Options): Promise<void> {
  mkdirSync(out, { recursive: true })
  for (const row of selectRows(rows, ids.split(','))) {
    if (row.kind === 'load') await profile({ ...row, limit: { messages: Number(messages) } }, out)
  }
}

async function profile(row: LoadRow, out: string): Promise<void> {
  const messages = 'messages' in row.limit ? row.limit.messages : 0
  const delivered = row.routing === 'fanout' ? messages * row.queues : messages
  console.log(`\n# ${row.id}: ${row.title}; ${delivered} delivered`)
  const cpu = await watched<CpuProfile>(row, 'cpu')
  writeFileSync(join(out, `${row.id}.cpuprofile`), JSON.stringify(cpu))
  print(functionsByTime(cpu), delivered, 'ns a message', 1000)
  const heap = await watched<{ head: HeapNode }>(row, 'heap')
  writeFileSync(join(out, `${row.id}.heapprofile`), JSON.stringify(heap))
  print(functionsByBytes(heap.head), delivered, 'bytes a message', 1)
}

/** A fresh broker for each look: taking a profile must not be in the other one. */
async function watched<Seen>(row: LoadRow, kind: 'cpu' | 'heap'): Promise<Seen> {
  const broker = await leveret({ dataParent: null, profile: null, isProbed: true }).start()
  try {
    await measureLoad(warmUpOf(row), broker)
    const { seen } = await (broker.probe as Probe).during<Seen, unknown>(kind, () => measureLoad(row, broker))
    return seen
  } finally {
    await broker.stop()
  }
}

function warmUpOf(row: LoadRow): LoadRow {
  return 'messages' in row.limit ? { ...row, limit: { messages: row.limit.messages * WARM_UP_SHARE } } : row
}

function print(functions: readonly HotFunction[], delivered: number, unit: string, scale: number): void {
  const total = totalOf(functions)
  const line = (name: string, cost: number): void => {
    const share = `${((cost / total) * 100).toFixed(1)} %`
    console.log(`${share.padStart(8)} ${((cost * scale) / delivered).toFixed(1).padStart(9)}  ${name}`)
  }
  console.log(`\n   share ${unit}`)
  line('all', total)
  for (const { step, cost } of costsByStep(functions)) line(step, cost)
  console.log('')
  for (const { where, cost } of functions.slice(0, SHOWN)) line(where, cost)
}

void main(options)
