// Consumers that hold a message for too long. RabbitMQ docs "Consumers", "Delivery Acknowledgement Timeout"; unlike RabbitMQ 3, the one
// message goes back and the channel stays. The time is the test's own.
import { describe, expect, it } from '@jest/globals'
import { type RawChannel, RawConnection } from '../../clients/raw'
import type { FieldTable } from '../../protocol'
import { Broker, type BrokerOptions, ManualClock } from '../index'
import { itRefuses } from './refusals'
import { withBroker } from './with-broker'

const BEATS_MS = 1000 // it is looked at twice a second

class Rig {
  readonly clock = new ManualClock(1_000_000_000_000)
  broker!: Broker
  private readonly connections: RawConnection[] = []

  async open(options: BrokerOptions = {}): Promise<void> {
    this.broker = await Broker.start({ port: 0, adminPort: 0, heartbeat: 0, clock: this.clock, ...options })
  }

  async channel(capabilities: FieldTable = { consumer_cancel_notify: true }): Promise<RawChannel> {
    const connection = await RawConnection.connect(this.broker.url)
    this.connections.push(connection)
    await connection.handshake({ clientProperties: { capabilities } })
    return await connection.openChannel(1)
  }

  /** The channel's deliveries so far are counted from now on. */
  async advance(ms: number, ...channels: RawChannel[]): Promise<void> {
    this.clock.advance(ms)
    for (const channel of channels) await channel.sync()
  }

  async close(): Promise<void> {
    for (const connection of this.connections) await connection.close()
    await this.broker.stop()
  }
}

if (process.env.AMQP_SPEC_URL === undefined) {
  const using = async (work: (rig: Rig) => Promise<void>, options?: BrokerOptions) => {
    const rig = new Rig()
    await rig.open(options)
    await work(rig).finally(() => rig.close())
  }
  const declare = (channel: RawChannel, args: FieldTable = {}) =>
    channel.call('queue.declare', { queue: 'q', durable: true, arguments: args })
  const consume = (channel: RawChannel, args: FieldTable = {}, consumerTag = 'c') =>
    channel.call('basic.consume', { queue: 'q', consumerTag, arguments: args })
  const ready = async (channel: RawChannel) =>
    (await channel.call('queue.declare', { queue: 'q', passive: true })).messageCount
  const timeout = (ms: number) => ({ 'x-consumer-timeout': ms })

  describe('a message that is held too long', () => {
    it.each<[string, FieldTable, FieldTable, number | null, number | null, number | null]>([
      ['by the queue', timeout(5000), {}, null, null, 5000],
      ['by the consumer', {}, timeout(5000), null, null, 5000],
      ['by the policy', {}, {}, 5000, null, 5000],
      ['by the setting', {}, {}, null, 5000, 5000],
      ['the consumer before the queue', timeout(60_000), timeout(5000), null, null, 5000],
      ['the queue before the policy', timeout(5000), {}, 60_000, null, 5000],
      ['the policy before the setting', {}, {}, 5000, 60_000, 5000],
      ['the consumer wants none', timeout(5000), timeout(0), 5000, 5000, null],
      ['nobody says', {}, {}, null, null, null],
    ])('%s', (_title, ofQueue, ofConsumer, policy, consumerTimeout, expected) =>
      using(
        async (rig) => {
          const [taker, other] = [await rig.channel(), await rig.channel()]
          await declare(other, ofQueue)
          const api = (method: string, path: string, body?: object) => {
            const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
            const headers = { authorization, 'content-type': 'application/json' }
            return fetch(`${rig.broker.adminUrl}/api/${path}`, { method, headers, body: JSON.stringify(body) })
          }
          if (policy !== null) {
            await api('PUT', 'policies/%2F/p', { pattern: '', definition: { 'consumer-timeout': policy } })
          }
          await consume(taker, ofConsumer)
          const [shown] = (await (await api('GET', 'consumers')).json()) as { consumer_timeout: number | null }[]
          expect(shown.consumer_timeout).toBe(expected)
          await rig.advance(BEATS_MS, taker)
          other.publishTo('q', 'a')
          const { args } = await taker.message()
          await rig.advance((expected ?? 100_000) - 1, other)
          expect(await ready(other)).toBe(0)
          await rig.advance(BEATS_MS, other)
          if (expected === null) {
            expect(await ready(other)).toBe(0)
            await taker.sync()
            return
          }
          expect((await taker.expect('basic.cancel')).consumerTag).toBe('c')
          const again = await other.get('q')
          expect(again?.args.redelivered).toBe(true)
          taker.send('basic.ack', { deliveryTag: args.deliveryTag }) // late, and no fault
          await taker.sync()
          taker.send('basic.ack', { deliveryTag: args.deliveryTag })
          expect((await taker.expectClose()).text).toBe(
            `PRECONDITION_FAILED - unknown delivery tag ${args.deliveryTag}`,
          )
        },
        { consumerTimeout },
      ),
    )

    it('goes back alone: what came later can still be acknowledged', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel(), await rig.channel()]
        await declare(other, { ...timeout(5000), 'x-delivery-limit': 0 })
        await consume(taker)
        await rig.advance(BEATS_MS, taker)
        other.publishTo('q', 'early')
        const early = await taker.message()
        await rig.advance(4000, taker)
        other.publishTo('q', 'late')
        const late = await taker.message()
        await rig.advance(2000)
        await taker.expect('basic.cancel')
        expect(await ready(other)).toBe(1) // and has not failed: the limit lets it stay
        taker.send('basic.ack', { deliveryTag: late.args.deliveryTag, multiple: true })
        taker.send('basic.nack', { deliveryTag: early.args.deliveryTag, requeue: true })
        await taker.sync()
        expect((await other.get('q'))?.body.toString()).toBe('early')
        await rig.advance(60_000, taker)
        expect(await ready(other)).toBe(0)
      }))

    it('that a transaction holds gives its place back once', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel(), await rig.channel()]
        await declare(other, timeout(5000))
        await taker.call('tx.select')
        await taker.call('basic.qos', { prefetchCount: 1, global: true })
        await consume(taker)
        await rig.advance(BEATS_MS, taker)
        other.publishTo('q', 'a')
        const { args } = await taker.message()
        taker.send('basic.ack', { deliveryTag: args.deliveryTag })
        await taker.sync()
        await rig.advance(6000)
        await taker.expect('basic.cancel')
        await taker.call('tx.commit')
        other.publishTo('q', 'b')
        await other.sync('q')
        await consume(taker)
        await taker.message()
        await taker.sync() // and no second one
        expect(await ready(other)).toBe(1)
      }))

    it('is not given longer by others on the channel who may take longer', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel(), await rig.channel()]
        await declare(other)
        await consume(taker, timeout(5000), 'short')
        await rig.advance(BEATS_MS, taker)
        other.publishTo('q', 'early')
        await taker.message()
        await rig.advance(3000, taker)
        other.publishTo('q', 'late')
        await taker.message()
        await consume(taker, timeout(500_000), 'long')
        await taker.call('basic.qos', { prefetchCount: 0 })
        await rig.advance(3000)
        expect((await taker.expect('basic.cancel')).consumerTag).toBe('short')
        expect((await taker.message()).args).toMatchObject({ consumerTag: 'long', redelivered: true })
        await rig.advance(3000)
        expect((await taker.message()).body.toString()).toBe('late')
      }))

    it('closes the channel of a client that cannot be told otherwise', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel({}), await rig.channel()]
        await declare(other, timeout(5000))
        await consume(taker)
        await rig.advance(BEATS_MS, taker)
        other.publishTo('q', 'a')
        await taker.message()
        rig.clock.advance(6000)
        expect(await taker.expectClose()).toMatchObject({
          code: 406,
          text:
            'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 5000 ms. ' +
            'This timeout value can be configured, see consumers doc guide to learn more',
        })
        await other.sync('q')
        expect(await ready(other)).toBe(1)
      }))

    it('is told from those of consumers on the same channel that may take longer', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel(), await rig.channel()]
        await declare(other)
        await taker.call('basic.qos', { prefetchCount: 1 })
        for (const [tag, ms] of Object.entries({ long: 50_000, short: 5000, patient: 0 })) {
          await consume(taker, timeout(ms), tag)
        }
        await rig.advance(BEATS_MS, taker)
        for (let i = 0; i < 3; i++) {
          other.publishTo('q', 'a')
          await taker.message()
        }
        await rig.advance(6000)
        expect((await taker.expect('basic.cancel')).consumerTag).toBe('short')
        expect(await other.get('q', { noAck: true })).not.toBeNull()
        await rig.advance(45_000)
        expect((await taker.expect('basic.cancel')).consumerTag).toBe('long')
        expect(await other.get('q', { noAck: true })).not.toBeNull()
        await rig.advance(500_000, taker)
        expect(await ready(other)).toBe(0)
      }))

    it('is taken from a consumer that was cancelled, too', () =>
      using(async (rig) => {
        const [taker, other] = [await rig.channel(), await rig.channel()]
        await declare(other, timeout(5000))
        await consume(taker)
        other.publishTo('q', 'a')
        await taker.message()
        await rig.advance(BEATS_MS, taker)
        await taker.call('basic.cancel', { consumerTag: 'c' })
        await rig.advance(6000, taker)
        expect(await ready(other)).toBe(1)
      }))
  })

  describe('an argument is refused', () => {
    const rows: [number | string, string][] = [
      [-1, '{value_negative,-1}'],
      ['1s', '"expected integer, got longstr"'],
      [315_360_000_001, '{value_too_large,315360000001}'],
    ]
    itRefuses(
      withBroker(),
      rows.flatMap(([value, why]) => [
        {
          when: `of a queue: ${value}`,
          does: ['queue.declare', { queue: '$q', arguments: { 'x-consumer-timeout': value } }],
          scope: 'channel',
          code: 406,
          text: `PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue '$q' in vhost '/': ${why}`,
        },
        {
          when: `of a consumer: ${value}`,
          given: [['queue.declare', { queue: '$q', exclusive: true }]],
          does: ['basic.consume', { queue: '$q', arguments: { 'x-consumer-timeout': value } }],
          scope: 'channel',
          code: 406,
          text: `PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue '$q' in vhost '/': ${why}`,
        },
      ]),
    )
  })
} else describe.skip('on another broker', () => it('', () => {}))
