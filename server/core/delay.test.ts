// Delayed messages under random work: commits that fail or wait, reads that fail, messages out of memory, crashes and clean
// restarts. None that is durable is lost, none comes before it is due, none twice but for a crash. A failure names its seed.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from '@jest/globals'
import { encodeProperties } from '../../protocol'
import type { IncomingMessage } from '../../storage/message-store'
import { sampleMessage } from '../../storage/sample-message'
import { storedBodyLength } from '../../storage/segment'
import { LOGGED } from './publishing'
import type { Queue } from './queue'
import { FaultyLife, liveEach, type Published } from './simulation/faulty-life'

const SEEDS = 60
const STEPS = 120
const DELAY_MAX = 3000

interface Delayed extends Published {
  due: number
  seen: number
}

class Run extends FaultyLife<Delayed> {
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
    const dice = this.random.below(100)
    if (dice < 35) this.publish()
    else if (dice < 50) this.take()
    else if (dice < 70) this.clock.advance(this.random.below(300))
    else await this.suffer()
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
    await liveEach([809, ...Array(SEEDS).keys()], (random) => new Run(random))
  }, 120_000)
})
