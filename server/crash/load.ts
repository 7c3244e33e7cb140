// What runs against the broker until it is killed: publishers with confirms, transactions, consumers, and somebody who
// declares, binds, purges and deletes. Everything that is sent, and every answer, goes into the ledger.
import {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  connect,
  type Options,
} from 'amqplib'
import type { Random } from '../core/simulation/random'
import { type Ledger, Violation } from './ledger'

/** Published to by everybody. What waits too long in t0 is gone, and in t1 is a dead letter. */
const WORK_QUEUES = ['w0', 'w1', 'w2', 'w3', 'w4', 't0', 't1', 'flushes']
export const DEAD = 'dead'
export const DEAD_LETTERS: ReadonlyMap<string, string> = new Map([['t1', DEAD]])
/** Dead letters last: where they are missing is known by then. */
export const LASTING_QUEUES = [...WORK_QUEUES, DEAD]
export const CHURN_QUEUES = ['c0', 'c1', 'c2']
export const CHURN_EXCHANGE = 'x0'
const QUEUE_TTL: Readonly<Record<string, number>> = { t0: 1500, t1: 700 }
/** Of single messages, in ms. */
const TTL_MAX = 2000
const SHORT_TTL_MAX = 5
const FANOUT = 'to-three'
const FANOUT_QUEUES = ['w0', 'w1', 'w2']
const TOPIC = 'to-w4'

export type Known = 'yes' | 'no' | 'maybe'

/** What outlives a broker: who was told what. */
export class World {
  readonly churn = new Map<string, Known>(CHURN_QUEUES.map((name) => [name, 'no']))
  binding: Known = 'no'
  exchange: Known = 'no'
  confirms = 0
  settles = 0
  violation: Violation | null = null
  private sequence = 0

  constructor(
    readonly ledger: Ledger,
    readonly random: Random,
  ) {}

  nextId(publisher: string): string {
    return `${publisher}:${this.sequence++}`
  }

  /** Runs until the connection is lost, which is how each part of the load ends. */
  async untilLost(work: () => Promise<void>): Promise<void> {
    try {
      for (;;) await work()
    } catch (error) {
      if (error instanceof Violation) this.violation ??= error
    }
  }
}

export async function declareAll(url: string): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  for (const name of LASTING_QUEUES) await channel.assertQueue(name, { durable: true, ...argumentsOf(name) })
  await channel.assertExchange(FANOUT, 'fanout', { durable: true })
  for (const name of FANOUT_QUEUES) await channel.bindQueue(name, FANOUT, '')
  await channel.assertExchange(TOPIC, 'topic', { durable: true })
  await connection.close()
}

function argumentsOf(queue: string): Options.AssertQueue {
  const to = DEAD_LETTERS.get(queue)
  return { messageTtl: QUEUE_TTL[queue], ...(to && { deadLetterExchange: '', deadLetterRoutingKey: to }) }
}

/** Resolves when the broker is gone and everybody has noticed. */
export async function runLoad(url: string, world: World): Promise<void> {
  await Promise.all([
    publishers(url, world, 'p'),
    publishers(url, world, 'q'),
    transactions(url, world),
    consumers(url, world, 'f'),
    consumers(url, world, 'g'),
    churn(url, world),
  ])
}

async function open(url: string): Promise<ChannelModel> {
  const connection = await connect(url)
  connection.on('error', () => {})
  return connection
}

function quiet<C extends Channel>(channel: C): C {
  channel.on('error', () => {})
  return channel
}

/** Resolves with the confirm; never, when the connection is lost first. */
function confirmed(
  world: World,
  channel: ConfirmChannel,
  exchange: string,
  key: string,
  id: string,
  queues: string[],
  { persistent = true, ttl }: { persistent?: boolean; ttl?: number } = {},
): Promise<void> {
  const { ledger } = world
  ledger.sent(id, queues, (queue) => Math.min(ttl ?? Infinity, QUEUE_TTL[queue] ?? Infinity))
  return new Promise((resolve, reject) => {
    channel.publish(exchange, key, Buffer.from(id), { persistent, expiration: ttl }, (error) => {
      if (error?.message === 'message nacked') return reject(new Violation(`${id} was refused by a healthy disk`))
      if (error) return reject(error)
      if (persistent) ledger.onConfirmed(id)
      else ledger.onTaken(id)
      world.confirms++
      resolve()
    })
  })
}

async function publishers(url: string, world: World, name: string): Promise<void> {
  const { random } = world
  await world.untilLost(async () => {
    const channel = quiet(await (await open(url)).createConfirmChannel())
    for (;;) {
      const burst: Promise<void>[] = []
      for (let i = 1 + random.below(60); i > 0; i--) {
        const id = world.nextId(name)
        const toThree = random.chance(25)
        const queue = random.pick(WORK_QUEUES)
        const kind = { persistent: random.chance(90), ttl: queue === 'flushes' ? undefined : someTtl(random) }
        burst.push(
          toThree
            ? confirmed(world, channel, FANOUT, '', id, FANOUT_QUEUES, kind)
            : confirmed(world, channel, '', queue, id, [queue], kind),
        )
      }
      await Promise.all(burst)
    }
  })
}

/** Most messages have none. */
function someTtl(random: Random): number | undefined {
  const dice = random.below(100)
  return dice < 4 ? random.below(SHORT_TTL_MAX) : dice < 15 ? random.below(TTL_MAX) : undefined
}

/** amqplib has no transactions of its own; its channels can send any method. */
interface Rpc {
  rpc(method: number, fields: object, expect: number): Promise<unknown>
}
const TX_SELECT = (90 << 16) | 10
const TX_COMMIT = (90 << 16) | 20

async function transactions(url: string, world: World): Promise<void> {
  const { random, ledger } = world
  await world.untilLost(async () => {
    const channel = quiet(await (await open(url)).createChannel())
    await (channel as unknown as Rpc).rpc(TX_SELECT, {}, TX_SELECT + 1)
    for (;;) {
      const ids: string[] = []
      const taken: string[] = []
      for (let i = random.below(4); i > 0; i--) {
        const message = await channel.get('w3')
        if (message === false) break
        const id = message.content.toString()
        ledger.onDelivered('w3', { id, redelivered: message.fields.redelivered })
        ledger.onSettling('w3', [id])
        channel.ack(message)
        taken.push(id)
      }
      for (let i = 1 + random.below(10); i > 0; i--) {
        const id = world.nextId('t')
        const queue = random.pick(['w3', 'w4'])
        ledger.sent(id, [queue])
        channel.sendToQueue(queue, Buffer.from(id), { persistent: true })
        ids.push(id)
      }
      await (channel as unknown as Rpc).rpc(TX_COMMIT, {}, TX_COMMIT + 1)
      for (const id of ids) ledger.onConfirmed(id)
      ledger.onSettled('w3', taken)
      world.settles += taken.length
    }
  })
}

/** Takes messages of a few queues; acks, gives back, or keeps them; now and then makes sure that its acks are on disk. */
async function consumers(url: string, world: World, name: string): Promise<void> {
  const { random, ledger } = world
  await world.untilLost(async () => {
    const connection = await open(url)
    const channel = quiet(await connection.createChannel())
    const flusher = quiet(await connection.createConfirmChannel())
    await channel.prefetch(1 + random.below(50))
    const kept: ConsumeMessage[] = []
    let settled: [queue: string, id: string][] = []
    const onMessage = (queue: string, message: ConsumeMessage | null) => {
      if (message === null) return
      const id = message.content.toString()
      try {
        ledger.onDelivered(queue, { id, redelivered: message.fields.redelivered })
      } catch (error) {
        world.violation ??= error as Violation
      }
      const dice = random.below(100)
      if (dice < 70) {
        if (dice < 60) ledger.onSettling(queue, [id])
        else ledger.onRejecting(queue, id)
        settled.push([queue, id])
        world.settles++
        if (dice < 60) channel.ack(message)
        else channel.reject(message, false)
      } else if (dice < 90) channel.nack(message, false, true)
      else kept.push(message)
    }
    for (const queue of random.some(LASTING_QUEUES))
      await channel.consume(queue, (message) => onMessage(queue, message))
    for (;;) {
      const onDisk = settled
      settled = []
      await channel.checkQueue('flushes') // its answer says that the acks before it were read
      await confirmed(world, flusher, '', 'flushes', world.nextId(name), ['flushes'])
      for (const [queue, id] of onDisk) ledger.onSettled(queue, [id])
      for (const message of kept.splice(0)) channel.nack(message, false, true)
    }
  })
}

/** Declares, purges and deletes queues that nobody consumes, moves a binding, and declares and deletes an exchange. */
async function churn(url: string, world: World): Promise<void> {
  const { random, ledger } = world
  await world.untilLost(async () => {
    const channel = quiet(await (await open(url)).createConfirmChannel())
    const flush = () => confirmed(world, channel, '', 'flushes', world.nextId('d'), ['flushes'])
    for (;;) {
      const queue = random.pick(CHURN_QUEUES)
      const dice = random.below(5)
      if (world.churn.get(queue) !== 'yes') {
        world.churn.set(queue, 'maybe')
        await channel.assertQueue(queue, { durable: true })
        world.churn.set(queue, 'yes')
      } else if (dice === 0) {
        world.churn.set(queue, 'maybe')
        const ids = ledger.idsIn(queue)
        ledger.onSettling(queue, ids)
        await channel.deleteQueue(queue)
        ledger.onSettled(queue, ids)
        world.churn.set(queue, 'no')
      } else if (dice === 1) {
        const ids = ledger.idsIn(queue)
        ledger.onSettling(queue, ids)
        await channel.purgeQueue(queue)
        await flush()
        ledger.onSettled(queue, ids)
      } else if (dice === 3) {
        const wanted = world.exchange === 'yes' ? 'no' : 'yes'
        world.exchange = 'maybe'
        if (wanted === 'yes') await channel.assertExchange(CHURN_EXCHANGE, 'direct', { durable: true })
        else await channel.deleteExchange(CHURN_EXCHANGE)
        world.exchange = wanted
      } else if (dice === 2) {
        const wanted = world.binding === 'yes' ? 'no' : 'yes'
        world.binding = 'maybe'
        if (wanted === 'yes') await channel.bindQueue('w4', TOPIC, 'a.#')
        else await channel.unbindQueue('w4', TOPIC, 'a.#')
        world.binding = wanted
      } else {
        const burst = Array.from({ length: 1 + random.below(20) }, () =>
          confirmed(world, channel, '', queue, world.nextId('c'), [queue]),
        )
        if (world.binding !== 'maybe') {
          burst.push(confirmed(world, channel, TOPIC, 'a.b', world.nextId('c'), world.binding === 'yes' ? ['w4'] : []))
        }
        await Promise.all(burst)
      }
    }
  })
}
