// Delayed messages under random work: commits that fail or wait, reads that fail, messages out of memory, crashes and clean
// restarts. None that is durable is lost, none comes before it is due, none twice but for a crash. A failure names its seed.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import { encodeProperties } from '../../protocol'
import { FaultyBackend } from '../../storage/faulty-backend'
import { MemoryBackend } from '../../storage/memory-backend'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { storedBodyLength } from '../../storage/segment'
import { ManualClock } from './clock'
import { Core } from './core'
import { Declarations } from './declarations'
import { LOGGED } from './publishing'
import type { Queue } from './queue'
import { Session } from './session'
import { Random } from './simulation/random'
import type { User } from './users'
import type { Vhost } from './vhost'

const SEEDS = 60
const STEPS = 120
const MEMORY_LIMIT = 2 * 1024 * 1024
const DELAY_MAX = 3000

interface Published {
  due: number
  batch: number // of this life
  seen: number
  isDurable: boolean
}

class Run {
  private readonly disk = new MemoryBackend({ remembers: true })
  private readonly messages: Published[] = []
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private clock = new ManualClock(1_000_000)
  private log!: FaultyBackend
  private core!: Core
  private vhost!: Vhost
  private crashes = 0

  constructor(private readonly random: Random) {}

  async go(): Promise<void> {
    await this.start()
    const exchange = { type: 'x-delayed-message', durable: true, autoDelete: false, internal: false }
    const declare = this.declarations()
    declare.declareExchange('late', { ...exchange, arguments: { 'x-delayed-type': 'fanout' } })
    declare.declareQueue('q', { durable: true, exclusive: false, autoDelete: false, arguments: {} })
    declare.bindQueue('q', 'late', '', {})
    await this.core.journal.whenDurable()
    for (let i = 0; i < STEPS; i++) await this.step()
    await this.finish()
  }

  private async step(): Promise<void> {
    const { random, log } = this
    const dice = random.below(100)
    if (dice < 35) this.publish()
    else if (dice < 50) this.take()
    else if (dice < 70) this.clock.advance(random.below(300))
    else if (dice < 80) await nextTurn()
    else if (dice < 83) this.core.journal.store.pageOutTo(0)
    else if (dice < 86) log.hold()
    else if (dice < 90) log.release()
    else if (dice < 93) this.failCommits()
    else if (dice < 95) this.failOneRead()
    else if (dice < 97) await this.stop()
    else if (dice < 99) await this.crash()
    else await this.rest()
  }

  private publish(): void {
    for (let count = 1 + this.random.below(5); count > 0; count--) {
      const delay = this.random.below(DELAY_MAX)
      const body = `${this.messages.length}${' '.repeat(this.random.chance(10) ? 90_000 : 0)}`
      const outcome = this.vhost.publishing.publish(null, delayed(delay, body))
      expect(outcome).toBe(LOGGED)
      const { gathering } = this.core.journal
      this.messages.push({ due: this.clock.now() + delay, batch: gathering, seen: 0, isDurable: false })
    }
  }

  private take(): boolean {
    const queue = this.vhost.queues.get('q') as Queue | undefined
    const taken = queue?.take(true, this.range)
    if (queue === undefined || taken === undefined || typeof taken === 'string') return false
    const { buf, end } = this.range
    const length = storedBodyLength(buf, this.range.start)
    const message = this.messages[Number(buf.toString('latin1', end - 1 - length, end - 1))]
    expect(message.due).toBeLessThanOrEqual(this.clock.now())
    message.seen++
    if (this.crashes === 0) expect(message.seen).toBe(1)
    queue.settleTaken(taken.ticket)
    return true
  }

  private failCommits(): void {
    const last = this.log.commits + 1 + this.random.below(2)
    this.log.faultOf = (commit) => (commit <= last ? { kind: 'unavailable' } : undefined)
  }

  private failOneRead(): void {
    const { log } = this
    log.readFaultOf = () => {
      log.readFaultOf = () => undefined
      return 'unavailable'
    }
  }

  // -- lives ----------------------------------------------------------------------------------------------------------

  private async start(): Promise<void> {
    this.clock = new ManualClock(this.clock.now())
    this.log = new FaultyBackend(this.disk)
    const options = { defaultUser: 'guest', defaultPassword: 'guest', defaultVhost: '/', loopbackUsers: [] }
    this.core = new Core(
      this.log,
      { ...options, memoryLimit: MEMORY_LIMIT, clock: this.clock, log() {} },
      {
        onCommitted: (batch) => this.onCommitted(batch),
        onCommitFailed() {},
        onBlocked() {},
        onLoaded() {},
        flushConnections() {},
      },
    )
    await this.core.start()
    this.vhost = this.core.vhosts.get('/') as Vhost
  }

  private declarations(): Declarations {
    return new Declarations(this.vhost, new Session('test', this.core.users.all.get('guest') as User, '/'))
  }

  private onCommitted(batch: number): void {
    for (const message of this.messages) if (message.batch <= batch) message.isDurable = true
  }

  private async stop(): Promise<void> {
    this.heal()
    await this.core.stop()
    this.onCommitted(Number.MAX_SAFE_INTEGER)
    this.forgetBatches()
    await this.start()
  }

  private async crash(): Promise<void> {
    this.crashes++
    await this.log.crash()
    this.log.hold()
    this.forgetBatches() // what the dead one commits counts no more
    await this.start()
  }

  private forgetBatches(): void {
    for (const message of this.messages) message.batch = Number.POSITIVE_INFINITY
  }

  private heal(): void {
    this.log.release()
    this.log.faultOf = () => undefined
    this.log.readFaultOf = () => undefined
  }

  /** Everything under way ends. */
  private async rest(): Promise<void> {
    this.heal()
    for (let i = 0; i < 8; i++) {
      for (let turn = 0; turn < 12; turn++) await nextTurn()
      this.clock.advance(1000)
    }
  }

  private async finish(): Promise<void> {
    if (this.random.chance(50)) await this.stop()
    await this.rest()
    for (let idle = 0; idle < 20; idle++) {
      while (this.take()) idle = 0
      await nextTurn()
    }
    for (const [n, { seen, isDurable }] of this.messages.entries()) {
      if (isDurable || this.crashes === 0) expect(`message ${n}: ${seen > 0}`).toBe(`message ${n}: true`)
    }
    expect(this.vhost.exchanges.get('late')?.delayedCount).toBe(0)
    await this.core.stop()
  }
}

function delayed(delay: number, body: string): IncomingMessage {
  const { headerBuf, ...rest } = sampleMessage({ exchange: 'late', routingKey: 'k', body })
  const properties = encodeProperties({ deliveryMode: 2, headers: { 'x-delay': delay } })
  const header = Buffer.concat([headerBuf.subarray(0, 12), properties])
  return { ...rest, headerBuf: header, headerEnd: header.length }
}

describe('delayed messages', () => {
  // 809: a crash between the trim of a row and the commit of what had taken its messages' place.
  it('are neither lost, nor early, nor twice', async () => {
    for (const seed of [809, ...Array(SEEDS).keys()]) {
      await new Run(new Random(seed)).go().catch((error: Error) => {
        throw new Error(`seed ${seed}: ${error.stack}`)
      })
    }
  }, 120_000)
})
