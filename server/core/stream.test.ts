// Streams under random work: commits that fail or wait, reads that fail, messages out of memory, messages copied to the log's end,
// crashes and clean restarts. An offset that was seen never means another message, readers miss none and get none twice, and what is
// confirmed stays. A failure names its seed.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import { decodeProperties, fieldValueText } from '../../protocol'
import type { ByteRange } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { ChannelCredit, type Consumer, type ConsumerSink } from './consumer'
import type { Arguments, Ticket } from './core-api'
import { LOGGED } from './publishing'
import type { Queue } from './queue'
import { asIncoming } from './shelf'
import { FaultyLife, liveEach, type Published } from './simulation/faulty-life'
import type { Random } from './simulation/random'

const SEEDS = 60
const STEPS = 150
const BODY_DIGITS = 8

/** A consumer, and what it has got in this life. */
class Reader implements ConsumerSink {
  readonly connectionName = 'test'
  readonly channelNumber = 1
  readonly isTurnOver = false
  readonly parked = new Set<Consumer>()
  readonly credit = new ChannelCredit()
  readonly offsets: number[] = []
  isWritable = true
  private readonly unacked: Ticket[] = []

  constructor(private readonly onMessage: (offset: number, n: number) => void) {}

  deliver(_consumer: Consumer, ticket: Ticket, _redelivered: boolean, range: ByteRange): void {
    const m = asIncoming(range)
    const { headers } = decodeProperties(m.headerBuf, m.headerStart + 12, m.headerEnd)
    const offset = Number(fieldValueText(headers?.['x-stream-offset'] ?? null))
    this.unacked.push(ticket)
    this.offsets.push(offset)
    this.onMessage(offset, Number(m.bodyBuf.toString('latin1', m.bodyStart, m.bodyStart + BODY_DIGITS)))
  }

  ackAll(consumer: Consumer): void {
    for (const ticket of this.unacked.splice(0)) consumer.ack(ticket, 0)
  }

  onCancelled(): void {}
}

class Run extends FaultyLife<Published> {
  /** Which message an offset means, once somebody has seen it. */
  private readonly meaning = new Map<number, number>()
  private readers: { reader: Reader; consumer: Consumer }[] = []
  private readonly arguments: Arguments

  constructor(random: Random) {
    super(random)
    const limits: Arguments = random.chance(50) ? { 'x-max-length-bytes': [400_000, 1000, 0][random.below(3)] } : {}
    if (random.chance(30)) limits['x-max-age'] = '10s'
    this.arguments = { 'x-queue-type': 'stream', ...limits }
  }

  async go(): Promise<void> {
    await this.start()
    const declare = this.declarations()
    const spec = { durable: true, exclusive: false, autoDelete: false }
    declare.declareQueue('s', { ...spec, arguments: this.arguments })
    declare.declareQueue('q', { ...spec, arguments: {} })
    for (const queue of ['s', 'q']) declare.bindQueue(queue, 'amq.fanout', '', {})
    await this.core.journal.whenDurable()
    for (let i = 0; i < STEPS; i++) await this.step()
    await this.finish()
  }

  private async step(): Promise<void> {
    const dice = this.random.below(100)
    if (dice < 35) this.publish()
    else if (dice < 45) this.takeOther()
    else if (dice < 55) this.acknowledge()
    else if (dice < 60) this.addReader()
    else if (dice < 65) this.clock.advance(this.random.below(2000))
    else await this.suffer()
  }

  private publish(): void {
    for (let count = 1 + this.random.below(8); count > 0; count--) {
      const body = `${this.messages.length}`.padStart(BODY_DIGITS) + ' '.repeat(this.random.chance(15) ? 60_000 : 0)
      const exchange = this.random.chance(50) ? 'amq.fanout' : ''
      const message = sampleMessage({ exchange, routingKey: 's', body, persistent: this.random.chance(50) })
      expect(this.vhost.publishing.publish(null, message)).toBe(LOGGED)
      this.messages.push({ batch: this.core.journal.gathering, isDurable: false })
    }
  }

  /** Of the queue beside it, so that the log has something to forget. */
  private takeOther(): void {
    const queue = this.vhost.queues.get('q') as Queue
    for (let taken = queue.take(true, this.range); typeof taken !== 'string'; taken = queue.take(true, this.range)) {
      queue.settleTaken(taken.ticket)
    }
  }

  // -- readers --------------------------------------------------------------------------------------------------------

  private addReader(start: Arguments = {}): Reader {
    const reader = new Reader((offset, n) => this.onMessage(offset, n))
    const offsets = ['first', 'last', 'next', this.random.below(this.messages.length + 1), '5s']
    const args = { 'x-stream-offset': offsets[this.random.below(offsets.length)], ...start }
    const spec = { tag: 't', noAck: false, exclusive: false, prefetch: 1 + this.random.below(20), arguments: args }
    this.readers.push({ reader, consumer: this.declarations().consume('s', reader, spec) })
    return reader
  }

  private onMessage(offset: number, n: number): void {
    const { isDurable, batch } = this.messages[n]
    // What was under way in an earlier life may have been written.
    expect(isDurable || batch === Number.POSITIVE_INFINITY).toBe(true)
    if (this.meaning.has(offset)) expect(`${offset}: ${n}`).toBe(`${offset}: ${this.meaning.get(offset)}`)
    this.meaning.set(offset, n)
  }

  private acknowledge(): void {
    for (const { reader, consumer } of this.readers) {
      reader.isWritable = this.random.chance(80)
      consumer.wake()
      if (this.random.chance(70)) reader.ackAll(consumer)
    }
  }

  /** None twice, none out of order; none is left out but those that went by age or size. */
  private checkReaders(): void {
    const isKept = !('x-max-length-bytes' in this.arguments) && !('x-max-age' in this.arguments)
    for (const { reader } of this.readers) {
      reader.offsets.reduce(
        (before, offset) => {
          if (isKept) expect(offset).toBe(before + 1)
          else expect(offset).toBeGreaterThan(before)
          return offset
        },
        (reader.offsets[0] ?? 0) - 1,
      )
    }
  }

  // -- lives ----------------------------------------------------------------------------------------------------------

  override async start(): Promise<void> {
    this.checkReaders()
    await super.start()
    this.readers = []
  }

  private async finish(): Promise<void> {
    const confirmed = this.messages.flatMap(({ isDurable }, n) => (isDurable ? [n] : []))
    if (this.random.chance(50)) await this.stop()
    await this.rest()
    const reader = this.addReader({ 'x-stream-offset': 'first' })
    for (let idle = 0; idle < 30; idle++) {
      const before = reader.offsets.length
      for (const { reader, consumer } of this.readers) reader.ackAll(consumer)
      await nextTurn()
      if (reader.offsets.length > before) idle = 0
    }
    this.checkReaders()
    const found = reader.offsets.map((offset) => this.meaning.get(offset) as number)
    expect(found).toEqual([...found].sort((a, b) => a - b))
    if (found.length === 0) expect(confirmed).toEqual([])
    else this.checkKept(confirmed, new Set(found))
    expect(this.vhost.queues.get('s')?.readyCount).toBe(found.length)
    await this.core.stop()
  }

  /** What is confirmed is there, but for the oldest where something lets them go. */
  private checkKept(confirmed: readonly number[], found: ReadonlySet<number>): void {
    const isKept = !('x-max-length-bytes' in this.arguments) && !('x-max-age' in this.arguments)
    const oldest = isKept ? 0 : Math.min(...found)
    expect(confirmed.filter((n) => n >= oldest && !found.has(n))).toEqual([])
  }
}

describe('a stream', () => {
  it('is numbered once and for all, whatever happens', async () => {
    await liveEach(Array(SEEDS).keys(), (random) => new Run(random))
  }, 120_000)
})
