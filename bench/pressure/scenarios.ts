// What clients do to a broker's memory, each on a broker of its own with a low limit: backlogs in one queue and in many,
// deliveries that nobody acknowledges or even reads, publishers that nobody can follow, thousands of connections.
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningBroker } from '../brokers'
import { parseAmqpUrl } from '../generator/amqp-url'
import { Link } from '../generator/link'
import { nowUs } from '../generator/monotonic'
import { PublishBlock } from '../generator/publish-block'
import { SteadyConsumer, SteadyPublisher } from '../generator/steady'
import { LatencyHistogram } from '../histogram'

/** The limit is for messages; the program itself, its garbage and what is on its way to the disk come on top. */
const BESIDE_MIB = 150
const BODY_BYTES = 1024
const PREFETCH = 2000
const ACK_EVERY = 100
const MANY_QUEUES = 1000
const SILENT_READERS = 100
const CONNECTIONS = 5000
const OUTRUN_MS = 5000
const FLOOD_MS = 3000
/** A consumer beside a publisher without limit keeps at least this share of its rate alone. */
const FLOODED_SHARE_MIN = 0.5
/** The file once a backlog is drained, when it has to be so small, and what a confirm may take until then. */
const EMPTY_FILE_MAX = 100e6
const EMPTY_WITHIN_S = 60
const CONFIRM_P99_MAX_MS = 100

export interface Scenario {
  title: string
  /** MiB that may be resident beside the limit. */
  besideMiB: number
  /** Resolves with what there is to tell. Rejects when something was wrong. */
  run(broker: RunningBroker, messages: number): Promise<string>
}

export const scenarios: Scenario[] = [
  {
    title: 'persistent messages in one queue',
    besideMiB: BESIDE_MIB,
    run: (broker, messages) => fillAndDrain(broker, messages, names(1), true),
  },
  {
    title: 'transient messages in one queue',
    besideMiB: BESIDE_MIB,
    run: (broker, messages) => fillAndDrain(broker, messages, names(1), false),
  },
  {
    title: `persistent messages in ${MANY_QUEUES} queues`,
    besideMiB: BESIDE_MIB,
    run: (broker, messages) => fillAndDrain(broker, messages, names(MANY_QUEUES), true),
  },
  { title: 'the space of a backlog that was drained', besideMiB: BESIDE_MIB, run: givesSpaceBack },
  { title: 'a consumer that never acknowledges', besideMiB: BESIDE_MIB, run: neverAcks },
  { title: `${SILENT_READERS} consumers that read nothing`, besideMiB: BESIDE_MIB, run: readNothing },
  { title: 'publishers that wait for nothing, and nobody consumes', besideMiB: BESIDE_MIB, run: outrun },
  { title: 'thousands of connections with a queue each', besideMiB: BESIDE_MIB, run: manyConnections },
  { title: 'a consumer beside a publisher that waits for nothing', besideMiB: BESIDE_MIB, run: besideFlood },
]

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `q${i}`)

async function declare(broker: RunningBroker, queues: string[], durable: boolean): Promise<void> {
  const link = await Link.open(parseAmqpUrl(broker.url))
  for (const queue of queues) await link.declareQueue(queue, durable)
  await link.close()
}

async function fill(broker: RunningBroker, messages: number, queues: string[], persistent: boolean): Promise<number> {
  await declare(broker, queues, persistent)
  const publisher = await SteadyPublisher.open(broker.url, { queues, bodyBytes: BODY_BYTES, persistent })
  const seconds = await timed(() => publisher.publish(messages))
  await publisher.close()
  return seconds
}

async function fillAndDrain(broker: RunningBroker, messages: number, queues: string[], persistent: boolean) {
  const filling = await fill(broker, messages, queues, persistent)
  const consumer = await SteadyConsumer.open(broker.url, PREFETCH, ACK_EVERY)
  const draining = await timed(async () => {
    await consumer.start(queues)
    await consumer.untilConsumed(messages)
  })
  await consumer.close()
  return `filled ${perSecond(messages, filling)}, drained ${perSecond(messages, draining)}`
}

/** Somebody else publishes on, one message after the other, while the backlog goes and its space is given back. */
async function givesSpaceBack(broker: RunningBroker, messages: number): Promise<string> {
  await declare(broker, ['other'], true)
  const other = await SteadyPublisher.open(broker.url, { queues: ['other'], bodyBytes: BODY_BYTES, persistent: true })
  const taker = await SteadyConsumer.open(broker.url, PREFETCH, 1)
  await taker.start(['other'])
  await fill(broker, messages, ['q'], true)
  const file = join(broker.dataDirectory ?? '', 'leveret.db')
  const bytes = () => statSync(file).size
  const full = bytes()

  const consumer = await SteadyConsumer.open(broker.url, PREFETCH, ACK_EVERY)
  await consumer.start(['q'])
  let isDrained = false
  const drained = consumer.untilConsumed(messages).then(() => {
    isDrained = true
  })
  const meanwhile = await confirmTimes(other, () => isDrained)
  await drained
  const startedUs = nowUs()
  const seconds = () => (nowUs() - startedUs) / 1e6
  const after = await confirmTimes(other, () => bytes() <= EMPTY_FILE_MAX || seconds() > EMPTY_WITHIN_S)
  const took = seconds()
  if (bytes() > EMPTY_FILE_MAX) throw new Error(`after ${EMPTY_WITHIN_S} s the file still has ${inMB(bytes())}`)
  if (Math.max(meanwhile.percentile(0.99), after.percentile(0.99)) > CONFIRM_P99_MAX_MS * 1000) {
    throw new Error(`confirms of others take too long: ${inMs(meanwhile)}, then ${inMs(after)}`)
  }
  for (const link of [consumer, taker, other]) await link.close()
  return `${inMB(full)} become ${inMB(bytes())} in ${took.toFixed(1)} s; confirms of others: draining ${inMs(meanwhile)}, then ${inMs(after)}`
}

/** Of one message after the other. */
async function confirmTimes(publisher: SteadyPublisher, isOver: () => boolean): Promise<LatencyHistogram> {
  const times = new LatencyHistogram()
  while (!isOver()) {
    const startedUs = nowUs()
    await publisher.publish(1)
    times.record(nowUs() - startedUs)
  }
  return times
}

async function neverAcks(broker: RunningBroker, messages: number): Promise<string> {
  await fill(broker, messages, ['q'], true)
  const consumer = await SteadyConsumer.open(broker.url, 0, 0)
  const seconds = await timed(async () => {
    await consumer.start(['q'])
    await consumer.untilConsumed(messages)
  })
  const served = await othersAreServed(broker)
  await consumer.close()
  return `delivered ${perSecond(messages, seconds)}, ${served}`
}

async function readNothing(broker: RunningBroker, messages: number): Promise<string> {
  await fill(broker, messages, ['q'], true)
  const readers: Link[] = []
  for (let i = 0; i < SILENT_READERS; i++) {
    const link = await Link.open(parseAmqpUrl(broker.url))
    readers.push(link)
    await link.consume('q', true)
    link.socket.pause()
  }
  await delay(2000)
  const served = await othersAreServed(broker)
  for (const { socket } of readers) socket.destroy()
  return served
}

async function outrun(broker: RunningBroker): Promise<string> {
  const queues = names(4)
  await declare(broker, queues, true)
  const floods = await Promise.all(queues.map((queue, i) => Flood.open(broker, queue, i % 2 === 0)))
  await delay(OUTRUN_MS)
  const served = await othersAreServed(broker)
  for (const flood of floods) flood.stop()
  const sent = floods.reduce((sum, flood) => sum + flood.sent, 0)
  return `${perSecond(sent, OUTRUN_MS / 1000)} taken in, ${served}`
}

async function manyConnections(broker: RunningBroker): Promise<string> {
  const links: Link[] = []
  const count = Math.min(CONNECTIONS, openFilesMax() - 200)
  while (links.length < count) {
    links.push(...(await Promise.all(Array.from({ length: 50 }, () => Link.open(parseAmqpUrl(broker.url))))))
  }
  await Promise.all(links.map((link, i) => link.declareQueue(`connection-${i}`, false)))
  const served = await othersAreServed(broker)
  for (const { socket } of links) socket.destroy()
  return `${links.length} connections, ${served}`
}

/** Of this process; Node.js asks for all that it may have. */
function openFilesMax(): number {
  return Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024)
}

async function besideFlood(broker: RunningBroker): Promise<string> {
  const alone = await consumedIn(broker, 'alone', async (queue) => {
    const publisher = await SteadyPublisher.open(broker.url, {
      queues: [queue],
      bodyBytes: BODY_BYTES,
      persistent: false,
    })
    await publisher.publish(100_000)
    await publisher.close()
    return () => {}
  })
  const beside = await consumedIn(broker, 'beside', async (queue) => {
    const flood = await Flood.open(broker, queue, false)
    return () => flood.stop()
  })
  const share = beside / alone
  if (share < FLOODED_SHARE_MIN) throw new Error(`beside the flood it consumes ${percent(share)} of its rate alone`)
  return `alone ${perSecond(alone, 1)}, beside ${perSecond(beside, 1)}: ${percent(share)}`
}

/** Messages a second that a consumer without acknowledgement takes. */
async function consumedIn(broker: RunningBroker, queue: string, publish: (queue: string) => Promise<() => void>) {
  await declare(broker, [queue], false)
  const stop = await publish(queue)
  const consumer = await SteadyConsumer.open(broker.url, 0, 0)
  const startedUs = nowUs()
  await consumer.link.consume(queue, true)
  await Promise.race([delay(FLOOD_MS), consumer.untilConsumed(queue === 'alone' ? 100_000 : Number.POSITIVE_INFINITY)])
  const rate = consumer.consumed / ((nowUs() - startedUs) / 1e6)
  stop()
  consumer.link.socket.destroy()
  return rate
}

/** Publishes as fast as its socket takes it. */
class Flood {
  sent = 0

  private constructor(
    private readonly link: Link,
    private readonly block: PublishBlock,
  ) {}

  static async open(broker: RunningBroker, routingKey: string, persistent: boolean): Promise<Flood> {
    const link = await Link.open(parseAmqpUrl(broker.url))
    const message = { exchange: '', routingKey, stream: 0, bodyBytes: BODY_BYTES, persistent }
    const flood = new Flood(link, new PublishBlock(message, link.frameMax, 64 * 1024))
    flood.pump()
    return flood
  }

  stop(): void {
    this.link.socket.destroy()
  }

  private pump(): void {
    const { capacity } = this.block
    this.link.socket.write(this.block.fill(0, capacity, 0), (error) => {
      if (error) return
      this.sent += capacity
      this.pump()
    })
  }
}

/** Somebody else declares, publishes nothing (publishers may be blocked) and gets answers: how long does it take? */
async function othersAreServed(broker: RunningBroker): Promise<string> {
  const link = await Link.open(parseAmqpUrl(broker.url))
  let worst = 0
  for (let i = 0; i < 50; i++) {
    worst = Math.max(worst, await timed(() => link.declareQueue(`other-${i}`, false)))
  }
  await link.close()
  if (worst > 1) throw new Error(`another client waited ${worst.toFixed(1)} s for an answer`)
  return `others wait ${Math.ceil(worst * 1000)} ms at most`
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedUs = nowUs()
  await work()
  return (nowUs() - startedUs) / 1e6
}

const perSecond = (count: number, seconds: number): string =>
  `${Math.round(count / seconds).toLocaleString('en')} messages/s`

const inMB = (bytes: number): string => `${Math.round(bytes / 1e6).toLocaleString('en')} MB`

const inMs = (times: LatencyHistogram): string => {
  const [p50, p99, max] = [0.5, 0.99, 1].map((p) => (times.percentile(p) / 1000).toFixed(1))
  return `p50 ${p50}, p99 ${p99}, longest ${max} ms`
}

const percent = (share: number): string => `${Math.round(share * 100)} %`
