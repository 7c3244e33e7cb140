// What queues give up under random work: messages with and without a TTL, length limits, rejections, requeues, gets, purges; commits
// that fail or wait, reads that fail, messages out of memory, crashes and clean restarts. Each durable message is somewhere once, or was
// taken; none outlives its time; counts and bytes are those of what is there. A failure names its seed.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import { decodeProperties, encodeProperties } from '../../protocol'
import type { IncomingMessage } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { storedBodyLength } from '../../storage/segment'
import type { Arguments, Ticket } from './core-api'
import { LOGGED } from './publishing'
import type { Queue } from './queue'
import { asIncoming } from './shelf'
import { FaultyLife, liveEach, type Published } from './simulation/faulty-life'
import type { Random } from './simulation/random'

const SEEDS = 150
const STEPS = 200

interface Mortal extends Published {
  due: number
  taken: number
  mayBePurged: boolean
}

interface Held {
  ticket: Ticket
  bodyBytes: number
  n: number
}

class Run extends FaultyLife<Mortal> {
  private readonly ttl: number
  private readonly arguments: Arguments
  private unacked: Held[] = []

  constructor(random: Random) {
    super(random)
    this.ttl = random.chance(50) ? 1 + random.below(2000) : Number.POSITIVE_INFINITY
    this.arguments = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
    if (this.ttl !== Number.POSITIVE_INFINITY) this.arguments['x-message-ttl'] = this.ttl
    if (random.chance(40)) this.arguments['x-max-length'] = random.below(30)
    else if (random.chance(30)) this.arguments['x-max-length-bytes'] = random.below(300_000)
  }

  async go(): Promise<void> {
    await this.start()
    const spec = { durable: true, exclusive: false, autoDelete: false }
    this.declarations().declareQueue('q', { ...spec, arguments: this.arguments })
    this.declarations().declareQueue('dead', { ...spec, arguments: {} })
    await this.core.journal.whenDurable()
    for (let i = 0; i < STEPS; i++) await this.step()
    await this.finish()
  }

  override async start(): Promise<void> {
    this.unacked = []
    await super.start()
  }

  private queue(name: 'q' | 'dead'): Queue {
    return this.vhost.queues.get(name) as Queue
  }

  private async step(): Promise<void> {
    const { random } = this
    const dice = random.below(100)
    if (dice < 30) this.publish()
    else if (dice < 40) this.hold()
    else if (dice < 52) this.settleOne()
    else if (dice < 57) this.takeForGood()
    else if (dice < 59) this.queue('q').dropHead(this.range) === 'dropped' && this.noteDropped()
    else if (dice < 60) this.purge()
    else if (dice < 75) this.clock.advance(random.below(400))
    else await this.suffer()
  }

  private publish(): void {
    for (let count = 1 + this.random.below(6); count > 0; count--) {
      const own = this.random.chance(40) ? this.random.below(3000) : Number.POSITIVE_INFINITY
      const body = `${this.messages.length}${' '.repeat(this.random.chance(10) ? 60_000 : 0)}`
      expect(this.vhost.publishing.publish(null, mortal(body, own))).toBe(LOGGED)
      const due = this.clock.now() + Math.min(own, this.ttl)
      this.messages.push({ due, taken: 0, mayBePurged: false, batch: this.core.journal.gathering, isDurable: false })
    }
    this.core.runTurn() // the log gets to know the time
  }

  /** The number of the message in `range`. */
  private numberHere(): number {
    const { buf, start, end } = this.range
    const length = storedBodyLength(buf, start)
    return Number(buf.toString('latin1', end - 1 - length, end - 1))
  }

  private hold(): void {
    const taken = this.queue('q').take(false, this.range)
    if (typeof taken === 'string') return
    const n = this.numberHere()
    expect(this.messages[n].due).toBeGreaterThan(this.clock.now())
    this.unacked.push({ ticket: taken.ticket, bodyBytes: taken.bodyBytes, n })
  }

  private settleOne(): void {
    if (this.unacked.length === 0) return
    const [{ ticket, bodyBytes, n }] = this.unacked.splice(this.random.below(this.unacked.length), 1)
    const dice = this.random.below(3)
    if (dice === 0) {
      this.queue('q').ack(ticket, bodyBytes)
      this.messages[n].taken++
    } else if (dice === 1) this.queue('q').reject(ticket, bodyBytes)
    else this.queue('q').requeue(ticket, bodyBytes, 'failed')
  }

  private takeForGood(from: 'q' | 'dead' = 'q'): boolean {
    const taken = this.queue(from).take(true, this.range)
    if (typeof taken === 'string') return taken === 'loading'
    const message = this.messages[this.numberHere()]
    message.taken++
    if (from === 'dead') this.checkDead(message)
    if (this.crashes === 0) expect(message.taken).toBe(1)
    this.queue(from).settleTaken(taken.ticket)
    return true
  }

  /** None came before its time. */
  private checkDead({ due }: Mortal): void {
    const { headerBuf, headerStart, headerEnd } = asIncoming(this.range)
    const { headers } = decodeProperties(headerBuf, headerStart + 12, headerEnd)
    if (headers?.['x-first-death-reason'] === 'expired') expect(due).toBeLessThanOrEqual(this.clock.now())
  }

  private purge(): void {
    this.queue('q').purge()
    for (const message of this.messages) message.mayBePurged = true
  }

  private noteDropped(): void {
    this.messages[this.numberHere()].taken++
  }

  private async finish(): Promise<void> {
    const end = this.random.below(3)
    if (end === 0) await this.stop()
    else if (end === 1) await this.crash()
    while (this.unacked.length > 0) this.settleOne()
    await this.rest()
    expect(this.queue('q').unackedCount).toBe(0)
    for (const name of ['q', 'dead'] as const) {
      const { readyCount } = this.queue(name)
      const before = this.messages.reduce((sum, { taken }) => sum + taken, 0)
      while (this.takeForGood(name)) await nextTurn()
      expect(this.messages.reduce((sum, { taken }) => sum + taken, 0) - before).toBe(readyCount)
      expect(this.queue(name)).toMatchObject({ readyCount: 0, readyBytes: 0, unackedBytes: 0 })
    }
    for (const [n, { taken, isDurable, mayBePurged }] of this.messages.entries()) {
      if (mayBePurged) continue
      if (isDurable || this.crashes === 0) expect(`message ${n}: ${taken > 0}`).toBe(`message ${n}: true`)
    }
    await this.core.stop()
  }
}

function mortal(body: string, expiration: number): IncomingMessage {
  const { headerBuf, ...rest } = sampleMessage({ exchange: '', routingKey: 'q', body })
  const own = expiration === Number.POSITIVE_INFINITY ? {} : { expiration: String(expiration) }
  const header = Buffer.concat([headerBuf.subarray(0, 12), encodeProperties({ deliveryMode: 2, ...own })])
  return { ...rest, headerBuf: header, headerEnd: header.length }
}

describe('what a queue gives up', () => {
  it('is neither lost nor there twice, and goes in time', async () => {
    // 193: a crash between the trim of a row and the commit of what had taken its messages' place.
    await liveEach([193, ...Array(SEEDS).keys()], (random) => new Run(random))
  }, 120_000)
})
