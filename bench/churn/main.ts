// npm run churn: days in the life of a small site, compressed into minutes. Shows and checks that disk and memory do not
// grow with time, only with what is queued. See site.ts for the load.
import { writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { leveret } from '../brokers'
import { type LineChart, lineChart } from '../svg-chart'
import { type Measure, peaksByDay, Sampler, type Sizes } from './samples'
import { Site } from './site'

const MB = 1e6
const MEMORY_LIMIT = '256MB'
/** The last day may take so much more than the second. On the first the process is still filling its caches. */
const GROWTH_MAX = 1.1
/** The file when nothing is queued, and how long it may take to get there. */
const EMPTY_FILE_MAX = 100 * MB
const EMPTY_WITHIN_MS = 60_000
const WAL_MAX = 80 * MB

const { days, rate, chart } = new Command('npm run churn --')
  .description('Days in the life of a small Celery site in minutes: are disk and memory as they were the day before?')
  .option('--days <n>', 'how many days', positive, 3)
  .option('--rate <n>', 'tasks a second, averaged over a day', positive, 50)
  .option('--chart <file>', 'draw the curves into this SVG file')
  .parse()
  .opts<{ days: number; rate: number; chart?: string }>()

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('a number above 0, please')
  return value
}

interface Backlog {
  queued: number // at the end of the hour
}

async function main(): Promise<void> {
  const broker = await leveret({ dataParent: null, profile: null, options: ['--memory-limit', MEMORY_LIMIT] }).start()
  const faults: string[] = []
  try {
    const site = new Site(broker.url, Math.round(rate * 3600))
    await site.open()
    const sampler = new Sampler(broker.pid, broker.dataDirectory ?? '')
    const backlog: Backlog[] = []
    const startedAt = Date.now()
    for (let hour = 0; hour < days * 24; hour++) {
      await site.hour(hour)
      const sizes = sampler.endHour()
      backlog.push({ queued: site.published - site.consumed })
      if (hour % 6 === 5) tell(hour + 1, Date.now() - startedAt, site, sizes)
    }
    await site.close()
    faults.push(...growth(sampler.hours), ...(await emptied(sampler)))
    sampler.stop()
    if (chart !== undefined) writeFileSync(chart, lineChart(curves(sampler.hours, backlog)))
  } finally {
    await broker.stop()
  }
  for (const fault of faults) console.log(`FAULT ${fault}`)
  console.log(`${4 - faults.length} passed, ${faults.length} failed`)
  process.exitCode = faults.length > 0 ? 1 : 0
}

function tell(hours: number, ms: number, site: Site, sizes: Sizes): void {
  const inMB = (bytes: number) => `${Math.round(bytes / MB)} MB`
  console.log(
    `day ${Math.ceil(hours / 24)}, ${String(((hours - 1) % 24) + 1).padStart(2)} h (${Math.round(ms / 1000)} s): ` +
      `${site.published} tasks, ${site.published - site.consumed} queued; peaks of the hour: ` +
      `file ${inMB(sizes.file)}, write-ahead log ${inMB(sizes.wal)}, memory ${inMB(sizes.rss)}`,
  )
}

function growth(hours: readonly Sizes[]): string[] {
  const faults: string[] = []
  for (const measure of ['file', 'wal', 'rss'] as Measure[]) {
    const peaks = peaksByDay(hours, measure)
    console.log(`${measure}: peaks by day in MB: ${peaks.map((bytes) => Math.round(bytes / MB)).join(', ')}`)
    if (peaks[peaks.length - 1] > Math.max(...peaks.slice(0, 2)) * GROWTH_MAX)
      faults.push(`${measure} grows from day to day`)
    else if (measure === 'wal' && Math.max(...peaks) > WAL_MAX) faults.push('the write-ahead log is not bounded')
  }
  return faults
}

async function emptied(sampler: Sampler): Promise<string[]> {
  const start = Date.now()
  while (sampler.now().file > EMPTY_FILE_MAX) {
    if (Date.now() - start > EMPTY_WITHIN_MS) return [`the file of empty queues has ${sampler.now().file} bytes`]
    await delay(100)
  }
  const seconds = ((Date.now() - start) / 1000).toFixed(1)
  console.log(`with all queues empty the file has ${Math.round(sampler.now().file / MB)} MB after ${seconds} s`)
  return []
}

function curves(hours: readonly Sizes[], backlog: readonly Backlog[]): LineChart {
  const line = (name: string, measure: Measure) => ({
    name,
    points: hours.map((sizes, hour): [number, number] => [hour + 1, sizes[measure] / MB]),
  })
  return {
    title: `${days} days of ${rate} tasks a second, memory limit ${MEMORY_LIMIT}`,
    xName: 'hour',
    yName: 'MB, peak of the hour',
    rightName: 'tasks queued',
    lines: [
      line('leveret.db', 'file'),
      line('write-ahead log', 'wal'),
      line('resident memory', 'rss'),
      { name: 'tasks queued', isRight: true, points: backlog.map(({ queued }, hour) => [hour + 1, queued]) },
    ],
  }
}

void main()
