// What is made to grow, and how far: one plain object per curve. Each point is a fresh broker, and the cost of a message there.
import type { Flow } from './flow'

export interface Curve {
  id: string
  title: string
  xName: string
  points: number[]
  /** What one unit of cost is; 'message' unless the bytes are the work. */
  per: 'message' | 'KiB'
  /** Why it is not flat. */
  note?: string
  /** Builds what `x` asks for and measures: microseconds of the broker's CPU. */
  cost(flow: Flow, x: number): Promise<number>
}

const MESSAGES = 200_000
const BACKLOG_MESSAGES = 200_000
const KEYS_MAX = 20_000
const LARGE_BYTES = 512 * 1024 * 1024
const small = { bodyBytes: 100, persistent: false }
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `q${i}`)

export const curves: Curve[] = [
  {
    id: 'connections',
    title: 'Connections that publish, one queue',
    xName: 'connections',
    points: [1, 10, 100, 1000, 5000],
    per: 'message',
    note: `A connection brings fewer messages at a time the more there are of them: with 5,000, each of its reads has 40 at most. A read,
its confirm, their two system calls and the collection of their garbage take about 40 microseconds whatever they carry.`,
    cost: (flow, x) => throughOneQueue(flow, { publishers: x, consumers: 1 }),
  },
  {
    id: 'consumers',
    title: 'Consumers of one queue, a connection each',
    xName: 'consumers',
    points: [1, 10, 100, 1000],
    per: 'message',
    note: `Messages go to the consumers by turns, as clients are promised, so each of a thousand gets one at a time: a socket write for every
message, of which the kernel's part is about four microseconds. Under load a turn writes to 256 sockets, and a write carries two on average.`,
    cost: (flow, x) => throughOneQueue(flow, { publishers: 1, consumers: x }),
  },
  {
    id: 'queues',
    title: 'Queues, by turns',
    xName: 'queues',
    points: [1, 10, 100, 1000, 10_000],
    per: 'message',
    note: `Each message is for another queue, and its state is no longer in the processor's caches.`,
    cost: throughQueues,
  },
  {
    id: 'bindings-one-key',
    title: 'Bindings of a topic exchange, one routing key',
    xName: 'bindings',
    points: [1, 100, 10_000, 100_000],
    per: 'message',
    cost: (flow, x) => throughBindings(flow, x, 1),
  },
  {
    id: 'bindings-many-keys',
    title: `Bindings of a topic exchange, up to ${KEYS_MAX} routing keys by turns`,
    xName: 'bindings',
    points: [1, 100, 1000, 10_000, 100_000],
    per: 'message',
    note: `As many routes are remembered as there are keys, and they are not in the processor's caches either.`,
    cost: (flow, x) => throughBindings(flow, x, Math.min(x, KEYS_MAX)),
  },
  {
    id: 'size',
    title: 'Message size, to 1 KiB',
    xName: 'bytes',
    points: [0, 16, 64, 256, 1024],
    per: 'message',
    note: `The bytes themselves are the work: about 1.3 microseconds for each KiB, of which the kernel has the larger part.`,
    cost: (flow, x) => throughOneQueue(flow, { publishers: 1, consumers: 1, bodyBytes: x }),
  },
  {
    id: 'size-large',
    title: 'Message size, from 4 KiB to 16 MiB',
    xName: 'bytes',
    points: [4, 16, 64, 256, 1024, 4096, 16_384].map((kibibytes) => kibibytes * 1024),
    per: 'KiB',
    note: `Buffers up to 8 MiB are used again; those of 16 MiB are new each time, and the kernel clears them.`,
    cost: async (flow, x) => {
      const messages = Math.ceil(LARGE_BYTES / x)
      return (await throughOneQueue(flow, { publishers: 1, consumers: 1, bodyBytes: x, messages })) / (x / 1024)
    },
  },
  {
    id: 'backlog',
    title: 'Messages that wait already, persistent',
    xName: 'messages in the queue',
    points: [0, 10_000, 100_000, 1_000_000, 10_000_000],
    per: 'message',
    cost: behindBacklog,
  },
]

interface OneQueue {
  publishers: number
  consumers: number
  bodyBytes?: number
  messages?: number
}

async function throughOneQueue(flow: Flow, { publishers, consumers, bodyBytes = 100, messages = MESSAGES }: OneQueue) {
  await flow.link.declareQueue('q', false)
  await flow.addConsumers(consumers, ['q'])
  await flow.addPublishers(publishers, { ...small, queues: ['q'], bodyBytes })
  return flow.costUs(messages)
}

async function throughQueues(flow: Flow, count: number): Promise<number> {
  for (const queue of names(count)) await flow.link.declareQueue(queue, false)
  await flow.addConsumers(1, names(count))
  await flow.addPublishers(1, { ...small, queues: names(count) })
  return flow.costUs(MESSAGES)
}

/** Every second binding has a wildcard. Each message matches exactly one. */
async function throughBindings(flow: Flow, bindings: number, keys: number): Promise<number> {
  await flow.link.declareExchange('topics', 'topic')
  await flow.link.declareQueue('q', false)
  for (let i = 0; i < bindings; i++) await flow.link.bindQueue('q', 'topics', `k.${i}.${i % 2 === 0 ? 'x' : '*'}`)
  await flow.addConsumers(1, ['q'])
  const queues = Array.from({ length: keys }, (_, i) => `k.${i}.x`)
  await flow.addPublishers(1, { ...small, exchange: 'topics', queues })
  return flow.costUs(MESSAGES)
}

/** As many go in at the end and out at the front as are measured; the others wait. */
async function behindBacklog(flow: Flow, waiting: number): Promise<number> {
  await warmUp(flow)
  await flow.link.declareQueue('q', true)
  await flow.addPublishers(1, { ...small, queues: ['q'], persistent: true })
  await flow.publish(waiting)
  return flow.costOf(BACKLOG_MESSAGES, async () => {
    await flow.publish(BACKLOG_MESSAGES)
    await flow.takeAndHold('q', BACKLOG_MESSAGES)
  })
}

async function warmUp(flow: Flow): Promise<void> {
  await flow.link.declareQueue('warm', true)
  await flow.addPublishers(1, { ...small, queues: ['warm'], persistent: true })
  await flow.addConsumers(1, ['warm'])
  await flow.run(MESSAGES)
  await flow.dropPublishers()
}
