// Runs one load row against a broker: makes its queues, and lets a publisher process and a consumer process work.
// What came of it is judged elsewhere (load-faults, load-figures).
import { randomBytes } from 'node:crypto'
import type { Outcome } from './figures'
import { parseAmqpUrl } from './generator/amqp-url'
import { stampedSize } from './generator/body-stamp'
import type { ConsumerJob, ConsumerResult, PublisherJob, PublisherResult } from './generator/jobs'
import { Link } from './generator/link'
import { nowUs } from './generator/monotonic'
import { GeneratorProcess } from './generator-process'
import { expectedCounts, faultsOf } from './load-faults'
import { figuresOf } from './load-figures'
import { type ProcessUsage, readUsage, resetRssPeak } from './process-usage'
import type { LoadRow } from './rows'

export interface LoadTarget {
  url: string
  pid: number | null
}

/** All that was seen of one run, before anything is concluded from it. */
export interface LoadRun {
  publisher: PublisherResult
  consumer: ConsumerResult
  expected: number[] // per queue
  leftInQueues: number
  broker: { before: ProcessUsage | null; after: ProcessUsage | null; seconds: number }
}

interface Names {
  exchange: string // '' is the default exchange
  queues: string[]
}

export async function measureLoad(row: LoadRow, target: LoadTarget): Promise<Outcome> {
  const names = namesFor(row)
  const link = await Link.open(parseAmqpUrl(target.url))
  await declareTopology(link, row, names)
  let isDeleted = false
  try {
    const results = await runGenerators(row, target, names)
    const leftInQueues = await deleteTopology(link, names)
    isDeleted = true
    const run: LoadRun = { ...results, leftInQueues }
    return { figures: figuresOf(row, run), faults: faultsOf(row, run) }
  } finally {
    if (!isDeleted) await deleteTopology(link, names).catch(() => {}) // the first error is the one to tell
    await link.close()
  }
}

async function runGenerators(row: LoadRow, target: LoadTarget, names: Names): Promise<Omit<LoadRun, 'leftInQueues'>> {
  const generators: GeneratorProcess[] = []
  try {
    const publishing = await GeneratorProcess.prepare(publisherJob(row, target.url, names), generators)
    const consuming = await GeneratorProcess.prepare(consumerJob(row, target.url, names), generators)
    resetRssPeak(target.pid)
    const before = readUsage(target.pid)
    const beganUs = nowUs()
    if (row.phases === 'together') await consuming.startConsuming()
    const publisher = await publishing.publish()
    const expected = expectedCounts(row, publisher.published)
    if (row.phases === 'fill-then-drain') await consuming.startConsuming()
    const consumer = await consuming.finishConsuming(expected)
    const after = readUsage(target.pid)
    return { publisher, consumer, expected, broker: { before, after, seconds: (nowUs() - beganUs) / 1e6 } }
  } finally {
    for (const generator of generators) generator.exit()
  }
}

export function publisherJob(row: LoadRow, url: string, names: Names): PublisherJob {
  return {
    role: 'publisher',
    url,
    targets: Array.from({ length: row.publishers }, (_, i) => ({
      exchange: names.exchange,
      routingKey: row.routing === 'fanout' ? '' : names.queues[i % names.queues.length],
    })),
    bodyBytes: row.bodyBytes,
    persistent: row.durable,
    confirmWindow: row.confirmWindow,
    ratePerSecond: row.ratePerSecond,
    maxSeconds: 'seconds' in row.limit ? row.limit.seconds : Number.POSITIVE_INFINITY,
    maxMessages: 'messages' in row.limit ? row.limit.messages : Number.POSITIVE_INFINITY,
  }
}

export function consumerJob(row: LoadRow, url: string, names: Names): ConsumerJob {
  return {
    role: 'consumer',
    url,
    queues: names.queues,
    streams: row.publishers,
    bodyBytes: row.bodyBytes,
    prefetch: row.prefetch,
    ackEvery: row.ackEvery,
    stamped: isStamped(row),
  }
}

/** Only paced messages carry their time: under full load the age of a message is the length of the queue before it. */
function isStamped(row: LoadRow): boolean {
  return row.ratePerSecond > 0 && row.bodyBytes >= stampedSize
}

function namesFor(row: LoadRow): Names {
  const run = `bench-${randomBytes(3).toString('hex')}`
  return {
    exchange: row.routing === 'fanout' ? run : '',
    queues: Array.from({ length: row.queues }, (_, i) => `${run}-${i}`),
  }
}

async function declareTopology(link: Link, row: LoadRow, names: Names): Promise<void> {
  if (names.exchange !== '') await link.declareExchange(names.exchange, 'fanout')
  for (const queue of names.queues) {
    await link.declareQueue(queue, row.durable)
    if (names.exchange !== '') await link.bindQueue(queue, names.exchange)
  }
}

/** How many messages were still there. */
async function deleteTopology(link: Link, names: Names): Promise<number> {
  let left = 0
  for (const queue of names.queues) left += await link.deleteQueue(queue)
  if (names.exchange !== '') await link.deleteExchange(names.exchange)
  return left
}
