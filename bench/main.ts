// `npm run bench -- …`: measures each chosen row on each broker in turn and prints what came out. Exits 1 when a count
// or an order was wrong, 2 for a wrong command line, 130 when interrupted.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BrokerSource, leveret, type RunningBroker, rabbitmq, runningBroker } from './brokers'
import type { Outcome } from './figures'
import { measureFootprint } from './footprint'
import { type LoadTarget, measureLoad } from './load'
import { type BenchOptions, OptionsError, parseOptions } from './options'
import { CHART_FILE, describeMachine, type Report, type RowReport, toChart, toJson, toMarkdown, toText } from './report'
import { type LoadRow, type Row, rows, selectRows, smokeRows } from './rows'
import { smoke } from './smoke'

const warmUpShare = 0.2

async function main(args: string[]): Promise<number> {
  const options = parseOptions(args)
  const chosen = selectRows(options.smoke ? smokeRows : rows, options.rows)
    .map((row) => withLimits(row, options))
    .filter((row) => row.kind === 'footprint' || !row.tls || hasTls(options))
  if (options.list) return list(chosen)
  const sources = sourcesFor(options)
  if (options.smoke) return smoke(sources[0], chosen, measure)
  const report = await measureAll(chosen, sources, options, ['npm run bench --', ...args].join(' '))
  write(report, options)
  return report.rows.some((row) => row.brokers.some((broker) => broker.outcomes.some((o) => o.faults.length > 0)))
    ? 1
    : 0
}

/** A broker that runs already is measured as its URL says. */
function hasTls({ url, rows: asked }: BenchOptions): boolean {
  return url === null || url.startsWith('amqps:') || asked.length > 0
}

function sourcesFor(options: BenchOptions): BrokerSource[] {
  if (options.url !== null) return [runningBroker(options.url, options.pid)]
  return options.vs === 'rabbitmq' ? [leveret(options), rabbitmq(options)] : [leveret(options)]
}

function withLimits(row: Row, options: BenchOptions): Row {
  if (row.kind !== 'load') return row
  if (options.messages !== null) return { ...row, limit: { messages: options.messages } }
  if (options.seconds !== null && 'seconds' in row.limit) return { ...row, limit: { seconds: options.seconds } }
  return row
}

/** A B A B: each repeat of a row runs on every broker before the next repeat, so that a slow minute of the machine hits all. */
async function measureAll(
  chosen: readonly Row[],
  sources: readonly BrokerSource[],
  options: BenchOptions,
  command: string,
): Promise<Report> {
  const report: Report = {
    command,
    startedAt: new Date().toISOString(),
    machine: describeMachine(options.dataParent),
    products: {},
    rows: [],
  }
  for (const row of chosen) {
    const rowReport: RowReport = { row, brokers: sources.map((source) => ({ name: source.name, outcomes: [] })) }
    for (let repeat = 0; repeat < options.repeats; repeat++) {
      for (const [i, source] of sources.entries()) {
        const broker = await source.start(row.kind === 'load' && row.tls)
        report.products[source.name] = broker.product
        const outcome = await measureAndStop(row, broker).catch((error: Error) => {
          throw new Error(`${row.id} on ${source.name}: ${error.message}`)
        })
        rowReport.brokers[i].outcomes.push(outcome)
      }
    }
    report.rows.push(rowReport)
    say(options, toText(rowReport))
  }
  return report
}

/** Each measurement has a fresh broker: neither memory nor backlog of the row before. */
async function measureAndStop(row: Row, broker: RunningBroker): Promise<Outcome> {
  try {
    if (row.kind === 'load') await measureLoad(warmUpOf(row), targetOf(row, broker))
    return await measure(row, broker)
  } finally {
    await broker.stop()
  }
}

function targetOf({ tls }: LoadRow, { url, tlsUrl, pid }: RunningBroker): LoadTarget {
  if (tls && tlsUrl === null) throw new Error('this row needs TLS: give an amqps:// URL')
  return { url: tls && tlsUrl !== null ? tlsUrl : url, pid }
}

async function measure(row: Row, broker: RunningBroker): Promise<Outcome> {
  return row.kind === 'load' ? measureLoad(row, targetOf(row, broker)) : measureFootprint(row, broker)
}

/** A first part is thrown away: both brokers' just-in-time compilers then know the path. */
function warmUpOf(row: LoadRow): LoadRow {
  const { limit } = row
  if ('seconds' in limit) return { ...row, limit: { seconds: limit.seconds * warmUpShare } }
  return { ...row, limit: { messages: Math.ceil(limit.messages * warmUpShare) } }
}

function list(chosen: readonly Row[]): number {
  for (const row of chosen) process.stdout.write(`${row.id.padEnd(16)}${row.title}\n`)
  return 0
}

function write(report: Report, options: BenchOptions): void {
  if (options.json === '-') process.stdout.write(toJson(report))
  else if (options.json !== null) writeFileSync(options.json, toJson(report))
  if (options.results !== null) {
    mkdirSync(options.results, { recursive: true })
    writeFileSync(join(options.results, 'RESULTS.json'), toJson(report))
    writeFileSync(join(options.results, 'RESULTS.md'), toMarkdown(report))
    const chart = toChart(report)
    if (chart !== null) writeFileSync(join(options.results, CHART_FILE), chart)
  }
}

/** Tables give way to JSON on standard output. */
function say(options: BenchOptions, text: string): void {
  const stream = options.json === '-' ? process.stderr : process.stdout
  stream.write(`${text}\n`)
}

// Leaving runs the exit handlers, which end the broker that is being measured and remove its data.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: Error) => {
    if (error instanceof OptionsError) process.exit(error.exitCode === 0 ? 0 : 2)
    process.stderr.write(`bench: ${error.message}\n`)
    process.exit(1)
  },
)
