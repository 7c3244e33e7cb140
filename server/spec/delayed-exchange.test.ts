// x-delayed-message exchanges: x-delay keeps a message for so many milliseconds. The names, texts and headers are those of
// RabbitMQ's plugin, which is not part of RabbitMQ; the time is the test's own.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { ManualClock } from '../index'
import { type Call, itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const type = 'x-delayed-message'
const DAY = 86_400_000

/** Can also go on without running the timers that lie on the way. */
class LeapingClock extends ManualClock {
  private leapt = 0

  override now(): number {
    return super.now() + this.leapt
  }

  leap(ms: number): void {
    this.leapt += ms
  }
}

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('refusals', () => {
    const broker = withBroker()
    const declare = (args: FieldTable): Call => ['exchange.declare', { exchange: '$x', type, arguments: args }]
    const refused = (when: string, does: Call, text: string, given: Call[] = []): Refusal => ({
      when,
      given,
      does,
      scope: 'channel',
      code: 406,
      text: `PRECONDITION_FAILED - ${text}`,
    })
    const none = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    const cannot = (name: string) => `Invalid argument, '${name}' can't be used for 'x-delayed-type'`
    itRefuses(broker, [
      refused('no type', declare({}), none),
      refused('a type that is no name', declare({ 'x-delayed-type': 5 }), none),
      refused('null for a type', declare({ 'x-delayed-type': null }), none),
      refused('an unknown type', declare({ 'x-delayed-type': 'nonsense' }), "unknown exchange type 'nonsense'"),
      refused('the empty type', declare({ 'x-delayed-type': '' }), "invalid exchange type ''"),
      refused('itself', declare({ 'x-delayed-type': type }), cannot(type)),
      refused('history', declare({ 'x-delayed-type': 'x-recent-history' }), cannot('x-recent-history')),
      refused(
        'arguments that its type refuses',
        declare({ 'x-delayed-type': 'x-consistent-hash', 'hash-property': 'a' }),
        'Unsupported property: a',
      ),
      refused(
        'a binding that its type refuses',
        ['queue.bind', { queue: '$q', exchange: '$x', routingKey: 'a' }],
        'The binding key must be an integer: <<"a">>',
        [declare({ 'x-delayed-type': 'x-consistent-hash' }), ['queue.declare', { queue: '$q', exclusive: true }]],
      ),
    ])
  })

  describe('a message', () => {
    const clock = new LeapingClock(1_700_000_000_000)
    const broker = withBroker({ clock })

    async function start(args: FieldTable = {}, delayedType = 'direct', routingKey = 'k') {
      const channel = await broker.channel()
      const exchange = await broker.exchange(channel, type, { arguments: { 'x-delayed-type': delayedType, ...args } })
      const queue = await broker.queue(channel)
      await channel.call('queue.bind', { queue, exchange, routingKey })
      const publish = (body: string, delay: FieldValue, headers: FieldTable = {}) =>
        channel.publish({ exchange, routingKey: 'k' }, body, { headers: { 'x-delay': delay, ...headers } })
      return { channel, exchange, queue, publish, arrived: () => arrived(channel, queue) }
    }

    /** What is due is routed at the end of the turn. */
    async function arrived(channel: RawChannel, queue: string): Promise<string[]> {
      for (let i = 0; i < 3; i++) await channel.sync(queue)
      return await channel.empty(queue)
    }

    it('comes when it is due, to the millisecond', async () => {
      const { channel, publish, arrived } = await start()
      publish('m', 5000)
      await channel.sync()
      clock.advance(4999)
      expect(await arrived()).toEqual([])
      clock.advance(1)
      expect(await arrived()).toEqual(['m'])
      clock.advance(DAY)
      expect(await arrived()).toEqual([])
    })

    it('comes in order of time, and of publish where the time is the same', async () => {
      const { channel, publish, arrived } = await start()
      for (const [body, delay] of <[string, number][]>[
        ['3', 3000],
        ['1', 1000],
        ['2a', 2000],
        ['2b', 2000],
        ['2c', 2000],
      ]) {
        publish(body, delay)
      }
      await channel.sync()
      clock.advance(1000)
      expect(await arrived()).toEqual(['1'])
      clock.advance(2000)
      expect(await arrived()).toEqual(['2a', '2b', '2c', '3'])
    })

    it.each<[string, FieldValue]>([
      ['a short', new Typed('s', 1000)],
      ['a long', new Typed('l', 1000)],
      ['an unsigned int', new Typed('i', 1000)],
      ['a double', 1000.9],
      ['text', '1000'],
    ])('waits for a delay that is %s', async (_title, delay) => {
      const { channel, publish, arrived } = await start()
      publish('m', delay)
      await channel.sync()
      clock.advance(999)
      expect(await arrived()).toEqual([])
      clock.advance(1)
      expect(await arrived()).toEqual(['m'])
    })

    it.each<[string, FieldValue]>([
      ['0', 0],
      ['negative', -1000],
      ['negative text', '-1000'],
      ['null', null],
      ['no number', '1 s'],
      ['true', true],
      ['an array', [1000]],
      ['a timestamp', new Typed('T', 1000)],
    ])('does not wait for a delay that is %s, and keeps its header', async (_title, delay) => {
      const { channel, queue, publish } = await start()
      publish('m', delay)
      const message = await channel.get(queue, { noAck: true })
      expect(message?.properties.headers).toEqual({ 'x-delay': delay })
    })

    it('does not wait without the header, or without any', async () => {
      const { channel, exchange, arrived } = await start()
      channel.publish({ exchange, routingKey: 'k' }, '1', { headers: { other: 1 } })
      channel.publish({ exchange, routingKey: 'k' }, '2')
      expect(await arrived()).toEqual(['1', '2'])
    })

    it('arrives as it was, its delay negated', async () => {
      const { channel, exchange, queue } = await start()
      const headers = { a: 1, 'x-delay': 1000, n: { deep: ['x', null] }, z: 'last' }
      const properties = { headers, contentType: 'text/plain', deliveryMode: 2, messageId: 'id', expiration: '5000' }
      const body = Buffer.alloc(300_000, 'b')
      channel.publish({ exchange, routingKey: 'k' }, body, properties)
      await channel.sync()
      clock.advance(1000)
      for (let i = 0; i < 3; i++) await channel.sync(queue)
      const message = await channel.get(queue, { noAck: true })
      expect(message?.args).toMatchObject({ exchange, routingKey: 'k', redelivered: false })
      expect(message?.properties).toEqual({ ...properties, headers: { ...headers, 'x-delay': new Typed('l', -1000) } })
      expect(message?.body.equals(body)).toBe(true)
    })

    it('may wait for years', async () => {
      const { channel, publish, arrived } = await start()
      publish('100 days', 100 * DAY)
      publish('10 years', 3650 * DAY)
      publish('for ever', new Typed('l', 2n ** 62n))
      await channel.sync()
      for (const [days, expected] of <[number, string][]>[
        [100, '100 days'],
        [3550, '10 years'],
      ]) {
        clock.leap((days - 1) * DAY)
        clock.advance(DAY - 1)
        expect(await arrived()).toEqual([])
        clock.advance(1)
        expect(await arrived()).toEqual([expected])
      }
    })

    it('is at most ten seconds late when the clock is set', async () => {
      const { channel, publish, arrived } = await start()
      publish('m', DAY)
      await channel.sync()
      clock.leap(DAY)
      expect(await arrived()).toEqual([])
      clock.advance(10_000)
      expect(await arrived()).toEqual(['m'])
    })

    it.each([
      ['topic', '*.#', true],
      ['fanout', 'whatever', true],
      ['direct', 'other', false],
      ['headers', '', true],
      ['x-consistent-hash', '1', true],
      ['x-random', '', true],
    ])('is routed as by a %s exchange when it is due', async (delayedType, key, isRouted) => {
      const { channel, publish, arrived } = await start({}, delayedType, key)
      publish('m', 1000)
      await channel.sync()
      clock.advance(1000)
      expect(await arrived()).toEqual(isRouted ? ['m'] : [])
    })

    it('goes by the bindings of that moment', async () => {
      const { channel, exchange, queue, publish, arrived } = await start()
      const late = await broker.queue(channel)
      publish('m', 1000)
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'k' })
      await channel.call('queue.bind', { queue: late, exchange, routingKey: 'k' })
      clock.advance(1000)
      expect(await arrived()).toEqual([])
      expect(await channel.empty(late)).toEqual(['m'])
    })

    it('with CC and BCC comes to all of them, BCC gone', async () => {
      const { channel, exchange, publish, queue } = await start()
      const queues = [queue, await broker.queue(channel), await broker.queue(channel)]
      for (const [i, name] of queues.entries()) {
        await channel.call('queue.bind', { queue: name, exchange, routingKey: `k${i}` })
      }
      publish('m', 1000, { CC: ['k1'], BCC: ['k2'] })
      await channel.sync()
      clock.advance(1000)
      for (const name of queues) {
        for (let i = 0; i < 3; i++) await channel.sync(name)
        const message = await channel.get(name, { noAck: true })
        expect(message?.properties.headers).toEqual({ CC: ['k1'], 'x-delay': new Typed('l', -1000) })
      }
    })

    it('that is mandatory is confirmed and not returned; it may find no queue in the end', async () => {
      const { channel, exchange } = await start()
      await channel.call('confirm.select')
      channel.publish({ exchange, routingKey: 'nowhere', mandatory: true }, 'm', { headers: { 'x-delay': 1000 } })
      await channel.expect('basic.ack')
      clock.advance(1000)
      await channel.sync()
    })

    it('goes to the alternate exchange when it is due, not before', async () => {
      const { channel, exchange } = await start({ 'alternate-exchange': 'amq.fanout' })
      const lost = await broker.queue(channel)
      await channel.call('queue.bind', { queue: lost, exchange: 'amq.fanout' })
      channel.publish({ exchange, routingKey: 'nowhere' }, 'm', { headers: { 'x-delay': 1000 } })
      expect(await arrived(channel, lost)).toEqual([])
      clock.advance(1000)
      expect(await arrived(channel, lost)).toEqual(['m'])
    })

    it('waits once only, though it comes through two such exchanges', async () => {
      const { channel, exchange: destination, arrived } = await start()
      const source = await broker.exchange(channel, type, { arguments: { 'x-delayed-type': 'fanout' } })
      await channel.call('exchange.bind', { source, destination })
      channel.publish({ exchange: source, routingKey: 'k' }, 'm', { headers: { 'x-delay': 1000 } })
      await channel.sync()
      clock.advance(1000)
      expect(await arrived()).toEqual(['m'])
    })

    it('waits where it comes through another exchange, and not for others bound there', async () => {
      const { channel, exchange: destination, arrived } = await start()
      const source = await broker.exchange(channel, 'fanout')
      const atOnce = await broker.queue(channel)
      await channel.call('exchange.bind', { source, destination })
      await channel.call('queue.bind', { queue: atOnce, exchange: source })
      channel.publish({ exchange: source, routingKey: 'k' }, 'm', { headers: { 'x-delay': 1000 } })
      expect((await channel.get(atOnce, { noAck: true }))?.properties.headers).toEqual({ 'x-delay': 1000 })
      clock.advance(1000)
      expect(await arrived()).toEqual(['m'])
    })

    it('is gone with its exchange', async () => {
      const { channel, exchange, publish, arrived, queue } = await start()
      publish('m', 1000)
      await channel.call('exchange.delete', { exchange })
      await channel.call('exchange.declare', { exchange, type: 'direct' })
      await channel.call('queue.bind', { queue, exchange, routingKey: 'k' })
      clock.advance(1000)
      expect(await arrived()).toEqual([])
    })

    it('waits from the commit of a transaction on', async () => {
      const { channel, publish, arrived } = await start()
      await channel.call('tx.select')
      publish('m', 1000)
      await channel.sync()
      clock.advance(1000)
      expect(await arrived()).toEqual([])
      await channel.call('tx.commit')
      clock.advance(999)
      expect(await arrived()).toEqual([])
      clock.advance(1)
      expect(await arrived()).toEqual(['m'])
    })

    it('is one of thousands that are due at once', async () => {
      const { channel, publish, queue } = await start()
      const bodies = Array.from({ length: 2500 }, (_, i) => String(i))
      for (const body of bodies) publish(body, 1000)
      await channel.call('basic.consume', { queue, noAck: true })
      await channel.sync()
      clock.advance(1000)
      expect(await channel.bodies(2500)).toEqual(bodies)
    })

    it('waits at any exchange with x-delayed-exchange', async () => {
      const channel = await broker.channel()
      const exchange = await broker.exchange(channel, 'topic', { arguments: { 'x-delayed-exchange': true } })
      const queue = await broker.queue(channel)
      await channel.call('queue.bind', { queue, exchange, routingKey: '#' })
      channel.publish({ exchange }, 'm', { headers: { 'x-delay': 1000 } })
      expect(await arrived(channel, queue)).toEqual([])
      clock.advance(1000)
      expect(await arrived(channel, queue)).toEqual(['m'])
    })
  })

  describe('what is kept', () => {
    const on = withRestarts()
    const persistent = (delay: number) => ({ deliveryMode: 2, headers: { 'x-delay': delay } })

    async function declare(durable: boolean): Promise<void> {
      const args = { 'x-delayed-type': 'direct' }
      await on.channel.call('exchange.declare', { exchange: 'late', type, durable, arguments: args })
      await on.channel.call('queue.declare', { queue: 'q', durable: true })
      await on.channel.call('queue.bind', { queue: 'q', exchange: 'late', routingKey: 'k' })
    }
    const publish = (body: string, properties: object) =>
      on.publish({ exchange: 'late', routingKey: 'k' }, body, properties)

    async function consumed(count: number): Promise<string[]> {
      const { consumerTag } = await on.channel.call('basic.consume', { queue: 'q', noAck: true })
      const bodies = await on.channel.bodies(count)
      await on.channel.call('basic.cancel', { consumerTag })
      return bodies
    }

    it.each(['restart', 'crash'] as const)('outlives a %s and comes when it is due', async (how) => {
      await declare(true)
      await publish('c', persistent(3000))
      await publish('a', persistent(1000))
      await publish('b', persistent(2000))
      await publish('far', persistent(200 * DAY))
      await on[how]()
      on.clock.advance(999)
      for (let i = 0; i < 5; i++) await on.channel.sync('q')
      expect(await on.channel.get('q')).toBeNull()
      on.clock.advance(1)
      expect(await consumed(1)).toEqual(['a'])
      on.clock.advance(2000)
      await on.flush()
      await on[how]()
      expect(await consumed(2)).toEqual(['b', 'c'])
      await on.flush()
      await on[how]()
      await on.channel.sync('q')
      expect(await on.channel.get('q')).toBeNull()
      const kept = await fetchJson(`${on.broker.adminUrl}/api/exchanges/%2F/late`)
      expect(kept).toMatchObject({ type, messages_delayed: 1 })
    })

    it('comes at once when it fell due meanwhile, with what it had', async () => {
      await declare(true)
      await on.channel.call('queue.bind', { queue: 'q', exchange: 'late', routingKey: 'blind' })
      const headers = { 'x-delay': 1000, CC: ['no'], BCC: ['blind'] }
      await on.publish({ exchange: 'late', routingKey: 'nowhere' }, 'm', { deliveryMode: 2, headers })
      on.clock.advance(5000)
      await on.restart()
      await on.channel.call('basic.consume', { queue: 'q', noAck: true })
      const { properties } = await on.channel.message()
      expect(properties).toEqual({ deliveryMode: 2, headers: { CC: ['no'], 'x-delay': new Typed('l', -1000) } })
    })

    it('is thousands, of which each comes once', async () => {
      await declare(true)
      const bodies = Array.from({ length: 2500 }, (_, i) => String(i))
      for (const body of bodies) {
        on.channel.publish({ exchange: 'late', routingKey: 'k' }, body, persistent(1000))
      }
      for (let confirmed = 0; confirmed < 2500; ) confirmed = (await on.channel.expect('basic.ack')).deliveryTag
      await on.crash()
      on.clock.advance(1000)
      expect(await consumed(2500)).toEqual(bodies)
      await on.restart()
      expect(await on.channel.get('q')).toBeNull()
    })

    it('ends with transient messages, and with the exchange', async () => {
      await declare(true)
      await publish('transient', { headers: { 'x-delay': 1000 } })
      await publish('persistent', persistent(1000))
      await on.channel.call('exchange.declare', {
        exchange: 'gone',
        type,
        durable: true,
        arguments: { 'x-delayed-type': 'fanout' },
      })
      await on.publish({ exchange: 'gone' }, 'gone', persistent(1000))
      await on.channel.call('exchange.delete', { exchange: 'gone' })
      await on.restart()
      on.clock.advance(1000)
      expect(await consumed(1)).toEqual(['persistent'])
      on.channel.send('queue.declare', { queue: 'amq.shelf.gone', passive: true })
      expect(await on.channel.expectClose()).toMatchObject({ code: 404 })
      await on.channel.call('channel.open')
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))

async function fetchJson(url: string): Promise<unknown> {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
  return await (await fetch(url, { headers: { authorization } })).json()
}
