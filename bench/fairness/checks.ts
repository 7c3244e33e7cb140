// What clients may expect of a broker that others use as well: answers in time beside a flood, and equal shares of one queue. Each
// check has a bound of its own, and a broker of its own.
import type { RunningBroker } from '../brokers'
import { parseAmqpUrl } from '../generator/amqp-url'
import type { PublisherResult } from '../generator/jobs'
import { Link } from '../generator/link'
import { nowUs } from '../generator/monotonic'
import { SteadyConsumer, SteadyPublisher } from '../generator/steady'
import { GeneratorProcess } from '../generator-process'
import { LatencyHistogram } from '../histogram'

const FLOOD_SECONDS = 4
const ANSWER_P99_MS_MAX = 10
const CONSUMERS = 100
const SHARED_MESSAGES = 200_000
const SHARE_OFF_MAX = 0.1
const DRAIN_SECONDS_MAX = 20

export interface Check {
  title: string
  /** Resolves with what was measured, `fault` null when it is within the bound. Rejects when a count is wrong. */
  run(broker: RunningBroker): Promise<Finding>
}

export interface Finding {
  told: string
  fault: string | null
}

export const checks: Check[] = [
  { title: 'answers beside a flood of 16 B, consumed', run: (broker) => answersBeside(broker, 16, false, true) },
  { title: 'answers beside a flood of 1 KiB, consumed', run: (broker) => answersBeside(broker, 1024, false, true) },
  { title: 'answers beside a flood of 1 KiB, piling up', run: (broker) => answersBeside(broker, 1024, false, false) },
  { title: 'answers beside a flood of 1 KiB, to disk', run: (broker) => answersBeside(broker, 1024, true, true) },
  { title: `${CONSUMERS} consumers of one queue, no-ack`, run: (broker) => equalShares(broker, 0, 0) },
  { title: `${CONSUMERS} consumers of one queue, prefetch 1`, run: (broker) => equalShares(broker, 1, 1) },
  { title: `${CONSUMERS} consumers of one queue, prefetch 100`, run: (broker) => equalShares(broker, 100, 10) },
]

/** One publisher sends what its socket takes; how long do a declare and a get take on another connection? */
async function answersBeside({ url }: RunningBroker, bodyBytes: number, persistent: boolean, isConsumed: boolean) {
  const link = await Link.open(parseAmqpUrl(url))
  await link.declareQueue('flood', persistent)
  const generators: GeneratorProcess[] = []
  try {
    const flood = await GeneratorProcess.prepare(floodJob(url, bodyBytes, persistent), generators)
    const drain = isConsumed ? await GeneratorProcess.prepare(drainJob(url, bodyBytes), generators) : null
    await drain?.startConsuming()
    const flooding = flood.publish()
    const latency = await askWhile(link, flooding)
    const published = total((await flooding).published)
    const left = drain === null ? 0 : published - (await deliveredTo(drain, published))
    if (left !== 0) throw new Error(`${left} of ${published} messages were not delivered`)
    return judgeAnswers(latency, published)
  } finally {
    for (const generator of generators) generator.exit()
    await link.close()
  }
}

async function askWhile(link: Link, flooding: Promise<PublisherResult>): Promise<LatencyHistogram> {
  const latency = new LatencyHistogram()
  let isOver = false
  void flooding.finally(() => {
    isOver = true
  })
  await link.declareQueue('asked', false)
  while (!isOver) {
    const startedUs = nowUs()
    await link.declareQueue('asked', false)
    const betweenUs = nowUs()
    await link.getNothing('asked')
    latency.record(betweenUs - startedUs)
    latency.record(nowUs() - betweenUs)
  }
  return latency
}

function judgeAnswers(latency: LatencyHistogram, published: number): Finding {
  const summary = latency.summary()
  if (summary === null) return { told: 'no answer', fault: 'no answer at all' }
  const [p50, p99, most] = [summary.p50Us, summary.p99Us, summary.maxUs].map((us) => us / 1000)
  const told =
    `${summary.samples} answers, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, at most ${most.toFixed(1)} ms; ` +
    `flood ${Math.round(published / FLOOD_SECONDS).toLocaleString('en')}/s`
  return { told, fault: p99 > ANSWER_P99_MS_MAX ? `p99 is over ${ANSWER_P99_MS_MAX} ms` : null }
}

/** As many consumers as there are connections, each with the same prefetch: who gets how many? */
async function equalShares({ url }: RunningBroker, prefetch: number, ackEvery: number): Promise<Finding> {
  const queues = ['shared']
  const publisher = await SteadyPublisher.open(url, { queues, bodyBytes: 100, persistent: false })
  const consumers: SteadyConsumer[] = []
  while (consumers.length < CONSUMERS) consumers.push(await SteadyConsumer.open(url, prefetch, ackEvery))
  const asking = await Link.open(parseAmqpUrl(url))
  await asking.declareQueue(queues[0], false)
  for (const { link } of consumers) await link.consume(queues[0], ackEvery === 0)
  await publisher.publish(SHARED_MESSAGES)
  const consumed = (): number => total(consumers.map((consumer) => consumer.consumed))
  const deadlineUs = nowUs() + DRAIN_SECONDS_MAX * 1e6
  while (consumed() < SHARED_MESSAGES && nowUs() < deadlineUs) await asking.setPrefetch(1)
  const counts = consumers.map(({ consumed }) => consumed)
  await Promise.all([asking, publisher, ...consumers].map((client) => client.close()))
  return judgeShares(counts)
}

function judgeShares(counts: number[]): Finding {
  const fair = SHARED_MESSAGES / CONSUMERS
  const [least, most] = [Math.min(...counts), Math.max(...counts)]
  const told = `a fair share is ${fair}; least ${least}, most ${most}`
  if (total(counts) !== SHARED_MESSAGES) throw new Error(`${total(counts)} of ${SHARED_MESSAGES} delivered`)
  const off = Math.max(most - fair, fair - least) / fair
  return { told, fault: off > SHARE_OFF_MAX ? `off by ${Math.round(off * 100)} %` : null }
}

function floodJob(url: string, bodyBytes: number, persistent: boolean) {
  return {
    role: 'publisher' as const,
    url,
    targets: [{ exchange: '', routingKey: 'flood' }],
    bodyBytes,
    persistent,
    confirmWindow: 0,
    ratePerSecond: 0,
    maxSeconds: FLOOD_SECONDS,
    maxMessages: Number.POSITIVE_INFINITY,
  }
}

function drainJob(url: string, bodyBytes: number) {
  const many = { prefetch: 0, ackEvery: 0 }
  return { role: 'consumer' as const, url, queues: ['flood'], streams: 1, bodyBytes, ...many, stamped: false }
}

async function deliveredTo(drain: GeneratorProcess, published: number): Promise<number> {
  const { queues } = await drain.finishConsuming([published])
  return queues[0].delivered
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
