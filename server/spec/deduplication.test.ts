// Deduplication on exchanges: a message whose id was seen lately is taken and goes nowhere. LavinMQ's names; RabbitMQ has none.
import { describe, expect, it } from '@jest/globals'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { ManualClock } from '../index'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const ENABLED = 'x-message-deduplication'

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('refusals', () => {
    const broker = withBroker()
    const rows: [FieldTable, string, string][] = [
      [{ [ENABLED]: 'yes' }, ENABLED, '"expected bool, got longstr"'],
      [{ [ENABLED]: 1 }, ENABLED, '"expected bool, got signedint"'],
      [{ [ENABLED]: true, 'x-cache-size': 0 }, 'x-cache-size', '{value_zero,0}'],
      [{ [ENABLED]: true, 'x-cache-size': -1 }, 'x-cache-size', '{value_negative,-1}'],
      [{ [ENABLED]: true, 'x-cache-size': 'a' }, 'x-cache-size', '"expected integer, got longstr"'],
      [{ [ENABLED]: true, 'x-cache-size': 1_000_001 }, 'x-cache-size', '"at most 1000000"'],
      [{ [ENABLED]: true, 'x-cache-ttl': -1 }, 'x-cache-ttl', '{value_negative,-1}'],
      [{ [ENABLED]: true, 'x-cache-ttl': 1.5 }, 'x-cache-ttl', '"expected integer, got double"'],
      [{ [ENABLED]: true, 'x-deduplication-header': 5 }, 'x-deduplication-header', '"expected longstr, got signedint"'],
    ]
    itRefuses(
      broker,
      rows.map(
        ([args, name, reason]): Refusal => ({
          when: JSON.stringify(args),
          does: ['exchange.declare', { exchange: '$x', type: 'direct', arguments: args }],
          scope: 'channel',
          code: 406,
          text: `PRECONDITION_FAILED - invalid arg '${name}' for exchange '$x' in vhost '/': ${reason}`,
        }),
      ),
    )
  })

  describe('a message', () => {
    const clock = new ManualClock(1_000_000)
    const broker = withBroker({ clock })

    async function start(args: FieldTable = {}, type = 'fanout') {
      const channel = await broker.channel()
      const exchange = await broker.exchange(channel, type, { arguments: { [ENABLED]: true, ...args } })
      const queue = await broker.queue(channel)
      await channel.call('queue.bind', { queue, exchange, routingKey: 'k' })
      const publish = (body: string, headers: FieldTable, mandatory = false) =>
        channel.publish({ exchange, routingKey: 'k', mandatory }, body, { headers })
      const arrived = async () => {
        await channel.sync(queue)
        return await channel.empty(queue)
      }
      return { channel, exchange, queue, publish, arrived }
    }

    const header = 'x-deduplication-header'

    it.each(['direct', 'fanout', 'topic', 'headers', 'x-random'])('comes through a %s exchange once', async (type) => {
      const { publish, arrived } = await start({}, type)
      for (const id of ['a', 'b', 'a', 'a', 'c', 'b']) publish(id, { [header]: id })
      expect(await arrived()).toEqual(['a', 'b', 'c'])
    })

    it('without an id comes through each time', async () => {
      const { publish, arrived } = await start()
      for (const headers of <FieldTable[]>[{}, {}, { other: 1 }, { [header]: null }, { [header]: null }])
        publish('m', headers)
      expect(await arrived()).toHaveLength(5)
    })

    it('is known by the header that the argument names', async () => {
      const { publish, arrived } = await start({ [header]: 'order' })
      for (const order of [1, 2, 1]) publish(String(order), { order, [header]: 'same' })
      expect(await arrived()).toEqual(['1', '2'])
    })

    it('is known by value: integers of any width are one, other types are others', async () => {
      const { publish, arrived } = await start()
      const ids: FieldValue[] = [
        1,
        new Typed('l', 1),
        new Typed('b', 1),
        '1',
        true,
        [1],
        { a: 1 },
        { a: 1 },
        new Typed('d', 1),
      ]
      for (const [i, id] of ids.entries()) publish(String(i), { [header]: id })
      expect(await arrived()).toEqual(['0', '3', '4', '5', '6', '8'])
    })

    it('is known by all of a long id', async () => {
      const { publish, arrived } = await start()
      const long = 'x'.repeat(60_000)
      for (const id of [`${long}a`, `${long}b`, `${long}a`]) publish(id.slice(-1), { [header]: id })
      expect(await arrived()).toEqual(['a', 'b'])
    })

    it('is forgotten when newer ones fill the cache', async () => {
      const { publish, arrived } = await start({ 'x-cache-size': 2 })
      for (const id of ['a', 'b', 'a', 'c', 'b', 'a']) publish(id, { [header]: id })
      expect(await arrived()).toEqual(['a', 'b', 'c', 'a'])
    })

    it('is forgotten when 128 newer ones came, unless said otherwise', async () => {
      const { publish, arrived } = await start()
      for (let i = 0; i < 129; i++) publish(String(i), { [header]: i })
      publish('second', { [header]: 1 })
      publish('first', { [header]: 0 })
      expect((await arrived()).slice(129)).toEqual(['first'])
    })

    it('is forgotten in time, the exchange or the message says when', async () => {
      const { publish, arrived } = await start({ 'x-cache-ttl': 1000 })
      const all = () => {
        publish('a', { [header]: 'a' })
        publish('b', { [header]: 'b', 'x-cache-ttl': 3000 })
        publish('c', { [header]: 'c', 'x-cache-ttl': 0 })
      }
      all()
      expect(await arrived()).toEqual(['a', 'b', 'c'])
      clock.advance(999)
      all()
      expect(await arrived()).toEqual(['c'])
      clock.advance(1)
      all()
      expect(await arrived()).toEqual(['a', 'c'])
      clock.advance(2000)
      all()
      expect(await arrived()).toEqual(['a', 'b', 'c'])
    })

    it('that is a duplicate is confirmed, not returned, and does not go to the alternate exchange', async () => {
      const { channel, exchange, arrived } = await start({ 'alternate-exchange': 'amq.fanout' })
      const lost = await broker.queue(channel)
      await channel.call('queue.bind', { queue: lost, exchange: 'amq.fanout' })
      await channel.call('confirm.select')
      for (let i = 1; i <= 2; i++) {
        channel.publish({ exchange, mandatory: true }, 'm', { headers: { [header]: 'a' }, deliveryMode: 2 })
        expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: i })
      }
      expect(await arrived()).toEqual(['m'])
      expect(await channel.empty(lost)).toEqual([])
    })

    it('is not remembered when it found no queue', async () => {
      const { channel, exchange, queue, publish, arrived } = await start()
      await channel.call('queue.unbind', { queue, exchange, routingKey: 'k' })
      publish('first', { [header]: 'a' }, true)
      await channel.message('basic.return')
      await channel.call('queue.bind', { queue, exchange, routingKey: 'k' })
      publish('second', { [header]: 'a' }, true)
      expect(await arrived()).toEqual(['second'])
    })

    it('that comes through another exchange is looked at as well', async () => {
      const { channel, exchange, arrived } = await start()
      const source = await broker.exchange(channel, 'fanout')
      await channel.call('exchange.bind', { source, destination: exchange })
      for (const body of ['1', '2']) channel.publish({ exchange: source }, body, { headers: { [header]: 'a' } })
      expect(await arrived()).toEqual(['1'])
    })

    it('is not looked at where the argument is false', async () => {
      const { publish, arrived } = await start({ [ENABLED]: false, 'x-cache-size': -1 })
      for (const body of ['1', '2']) publish(body, { [header]: 'a' })
      expect(await arrived()).toEqual(['1', '2'])
    })
  })

  describe('after a restart', () => {
    const on = withRestarts()

    it.each(['restart', 'crash'] as const)('(%s) the exchange knows what it had seen', async (again) => {
      await on.channel.call('exchange.declare', {
        exchange: 'x',
        type: 'fanout',
        durable: true,
        arguments: { [ENABLED]: true },
      })
      await on.channel.call('queue.declare', { queue: 'q', durable: true })
      await on.channel.call('queue.bind', { queue: 'q', exchange: 'x' })
      const publish = () =>
        on.publish({ exchange: 'x' }, 'm', { headers: { 'x-deduplication-header': 1 }, deliveryMode: 2 })
      await publish()
      await publish()
      await on[again]()
      await publish()
      expect(await on.channel.empty('q')).toHaveLength(1)
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))
