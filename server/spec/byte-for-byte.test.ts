// Messages of every size on four channels at once, their frames interleaved and cut anywhere, to queues that keep, delay, drop and
// replay them: what comes out is what went in, each byte. Memory is used again all the way; here anything used too early would show.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from '@jest/globals'
import type { RawChannel, RawConnection, RawMessage } from '../../clients/raw'
import type { Properties } from '../../protocol'
import { Random } from '../core/simulation/random'
import { type BrokerUnderTest, eventually, withBroker } from './with-broker'

const CHANNELS = [1, 2, 3, 4]
const TX_CHANNEL = 4
const MESSAGES = 480
const SIZES = [
  0, 3, 4, 100, 1000, 4087, 4088, 4096, 5000, 20_000, 32_760, 33_000, 65_528, 65_536, 131_064, 131_072, 262_100,
]
const LARGE = [262_144, 300_000, 700_000]
const FRAME_SIZES = [4096, 50_000, 131_072]
const PIECES = [1, 7, 100, 1000, 4096, 20_000, 65_536, 200_000]

function bodyOf(id: number, size: number): Buffer {
  const body = Buffer.alloc(size)
  for (let i = 0; i < size; i++) body[i] = id * 31 + i * 7 + (i >> 8)
  if (size >= 4) body.writeUInt32BE(id)
  return body
}

class Run {
  private readonly random: Random
  private readonly sizes = new Map<number, number>()
  /** Sent to each queue; what goes nowhere under 'returned'. */
  private readonly sent: Record<string, number> = { plain: 0, short: 0, late: 0, history: 0, returned: 0 }
  private inTransaction = 0
  private readonly replays: string[] = []
  private readonly names: Record<string, string> = {}

  constructor(
    private readonly broker: BrokerUnderTest,
    seed: number,
  ) {
    this.random = new Random(seed)
  }

  async declare(): Promise<void> {
    const channel = await this.broker.channel()
    const { names } = this
    names.dlx = await this.broker.exchange(channel, 'fanout')
    const short = { 'x-max-length': 2, 'x-dead-letter-exchange': names.dlx }
    for (const queue of ['plain', 'short', 'dead', 'late', 'recent']) {
      names[queue] = this.broker.name(queue)
      await channel.call('queue.declare', {
        queue: names[queue],
        durable: true,
        arguments: queue === 'short' ? short : {},
      })
    }
    const delayed = { 'x-delayed-type': 'fanout' }
    names.delay = await this.broker.exchange(channel, 'x-delayed-message', { durable: true, arguments: delayed })
    const lately = { 'x-recent-history-length': 3 }
    names.history = await this.broker.exchange(channel, 'x-recent-history', { arguments: lately })
    const bindings = [
      ['dead', 'dlx'],
      ['late', 'delay'],
      ['recent', 'history'],
    ] // prettier-ignore
    for (const [queue, exchange] of bindings) {
      await channel.call('queue.bind', { queue: names[queue], exchange: names[exchange] })
    }
  }

  /** All of it. Consumers take what comes, or begin when everything is there, part of it no longer in memory. */
  async play(consumesEarly: boolean): Promise<void> {
    const publisher = await this.broker.connect()
    const channels: RawChannel[] = []
    for (const number of CHANNELS) channels.push(await publisher.openChannel(number))
    await channels[TX_CHANNEL - 1].call('tx.select')
    const frames = channels.map((channel) => this.framesFor(channel, publisher))
    const returned = this.checkAll(channels[0], this.sent.returned, 'basic.return')
    const consume = () =>
      Promise.all([
        this.consume('plain', this.sent.plain),
        this.consume('late', this.sent.late),
        this.consume('recent', this.sent.history),
      ])
    const early = consumesEarly ? consume() : null
    await this.write(publisher, this.interleaved(frames))
    const consumed = early ?? consume()
    await channels[TX_CHANNEL - 1].expect('tx.commit-ok', 20_000)
    await Promise.all([returned, consumed])
    await this.checkRest()
  }

  /** The frames of all publishes of a channel, in order. */
  private framesFor(channel: RawChannel, connection: RawConnection): Buffer[] {
    const frames: Buffer[] = []
    const add = (action: () => void) => frames.push(connection.gather(action))
    for (let i = 0; i < MESSAGES / CHANNELS.length; i++) {
      if (channel.number === 2 && i % 15 === 7) this.replay(channel, add)
      this.addPublish(channel, add)
    }
    if (channel.number !== TX_CHANNEL) return frames
    this.sent.plain += this.inTransaction
    add(() => channel.send('tx.commit'))
    return frames
  }

  private addPublish(channel: RawChannel, add: (action: () => void) => void): void {
    const { random, names } = this
    const id = this.sizes.size + 1
    const size = random.chance(10) ? random.pick(LARGE) : random.pick(SIZES)
    this.sizes.set(id, size)
    const isTx = channel.number === TX_CHANNEL
    const to = isTx ? 'plain' : random.pick(['plain', 'short', 'late', 'history', 'returned'])
    if (isTx) this.inTransaction++
    else if (to !== 'returned' || channel.number === 1) this.sent[to]++
    const properties: Properties = { deliveryMode: random.pick([1, 2]), messageId: String(id) }
    if (to === 'late') properties.headers = { 'x-delay': random.below(100) }
    const exchange = to === 'late' ? names.delay : to === 'history' ? names.history : ''
    const routingKey = to === 'returned' ? 'spec.nobody' : (names[to] ?? '')
    const mandatory = to === 'returned' && channel.number === 1
    add(() => channel.send('basic.publish', { exchange, routingKey, mandatory }))
    add(() => channel.sendHeader(size, properties))
    const body = bodyOf(id, size)
    const frameMax = random.pick(FRAME_SIZES)
    for (let at = 0; at < size; at += frameMax - 8) {
      add(() => channel.sendBody(body.subarray(at, at + frameMax - 8), frameMax))
    }
  }

  /** Binds one more queue, which gets what the exchange remembers. */
  private replay(channel: RawChannel, add: (action: () => void) => void): void {
    const queue = this.broker.name('replay')
    this.replays.push(queue)
    add(() => channel.send('queue.declare', { queue, noWait: true }))
    add(() => channel.send('queue.bind', { queue, exchange: this.names.history, noWait: true }))
  }

  private interleaved(frames: Buffer[][]): Buffer {
    const all: Buffer[] = []
    for (let left = frames; left.length > 0; left = left.filter((of) => of.length > 0)) {
      const frame = this.random.pick(left).shift()
      if (frame !== undefined) all.push(frame)
    }
    return Buffer.concat(all)
  }

  private async write(connection: RawConnection, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const piece = this.random.pick(PIECES)
      connection.write(bytes.subarray(at, at + piece))
      at += piece
      if (this.random.chance(40)) await connection.written()
    }
  }

  private async consume(queue: string, count: number): Promise<void> {
    const channel = await this.broker.channel({ tune: { frameMax: this.random.pick(FRAME_SIZES) } })
    await channel.call('basic.qos', { prefetchCount: 5 })
    await channel.call('basic.consume', { queue: this.names[queue], noAck: queue === 'late' })
    await this.checkAll(channel, count, 'basic.deliver', queue !== 'late')
  }

  private async checkAll(
    channel: RawChannel,
    count: number,
    method: 'basic.deliver' | 'basic.return',
    acks = false,
  ): Promise<void> {
    for (let i = 0; i < count; i++) {
      const message = await channel.message(method, 20_000)
      this.check(message)
      if (acks && 'deliveryTag' in message.args) channel.send('basic.ack', { deliveryTag: message.args.deliveryTag })
    }
  }

  private check({ properties, body }: Pick<RawMessage, 'properties' | 'body'>): void {
    const id = Number(properties.messageId)
    if (!body.equals(bodyOf(id, this.sizes.get(id) ?? -1))) throw new Error(`message ${id} came out as another`)
  }

  /** What was too much for the short queue, and what history brought back. */
  private async checkRest(): Promise<void> {
    const channel = await this.broker.channel()
    let kept = 0
    const take = async (queue: string) => {
      for (let m = await channel.get(queue, { noAck: true }); m; m = await channel.get(queue, { noAck: true })) {
        this.check(m)
        kept++
      }
    }
    await eventually(async () => {
      for (const queue of ['short', 'dead']) await take(this.names[queue])
      expect(kept).toBe(this.sent.short)
    })
    for (const queue of this.replays) await take(queue)
    for (const queue of ['plain', 'late', 'recent']) expect(await channel.empty(this.names[queue])).toEqual([])
  }
}

const directory = mkdtempSync(join(tmpdir(), 'leveret-bytes-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe.each([
  ['in memory', {}, true],
  ['on disk, with little memory', { data: directory, memoryLimit: 48 * 1024 * 1024 }, false],
])('what goes in comes out, %s', (_, options, consumesEarly) => {
  const broker = withBroker(options)
  it.each([1, 2, 3])('seed %i', async (seed) => {
    const run = new Run(broker, seed)
    await run.declare()
    await run.play(consumesEarly)
  })
})
