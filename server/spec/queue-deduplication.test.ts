// Deduplication on queues: a message whose id the queue has seen lately does not enter it, by whatever way it comes. The names are
// LavinMQ's and those of RabbitMQ's plugin.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldTable } from '../../protocol'
import { ManualClock } from '../index'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const ENABLED = 'x-message-deduplication'
const HEADER = 'x-deduplication-header'

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('refusals', () => {
    const broker = withBroker()
    const rows: [FieldTable, string, string][] = [
      [{ [ENABLED]: 'yes' }, ENABLED, '"expected bool, got longstr"'],
      [{ [ENABLED]: true, 'x-cache-size': 0 }, 'x-cache-size', '{value_zero,0}'],
      [{ [ENABLED]: true, 'x-cache-size': 1_000_001 }, 'x-cache-size', '"at most 1000000"'],
      [{ [ENABLED]: true, 'x-cache-ttl': -1 }, 'x-cache-ttl', '{value_negative,-1}'],
      [{ [ENABLED]: true, [HEADER]: 5 }, HEADER, '"expected longstr, got signedint"'],
    ]
    itRefuses(
      broker,
      rows.map(
        ([args, name, reason]): Refusal => ({
          when: JSON.stringify(args),
          does: ['queue.declare', { queue: '$q', arguments: args }],
          scope: 'channel',
          code: 406,
          text: `PRECONDITION_FAILED - invalid arg '${name}' for queue '$q' in vhost '/': ${reason}`,
        }),
      ),
    )
  })

  describe('a message', () => {
    const clock = new ManualClock(1_000_000)
    const broker = withBroker({ clock })

    async function start(args: FieldTable = {}) {
      const channel = await broker.channel()
      const queue = await broker.queue(channel, { arguments: { [ENABLED]: true, ...args } })
      const publish = (body: string, headers: FieldTable = { [HEADER]: body }) =>
        channel.publish({ routingKey: queue, mandatory: true }, body, { headers })
      const arrived = async () => {
        await channel.sync(queue)
        return await channel.empty(queue)
      }
      return { channel, queue, publish, arrived }
    }

    it('enters once, also when the first is consumed', async () => {
      const { publish, arrived } = await start()
      for (const id of ['a', 'b', 'a']) publish(id)
      expect(await arrived()).toEqual(['a', 'b'])
      publish('a')
      expect(await arrived()).toEqual([])
    })

    it('without an id enters each time', async () => {
      const { publish, arrived } = await start()
      for (let i = 0; i < 3; i++) publish('m', {})
      expect(await arrived()).toHaveLength(3)
    })

    it.each<[string, FieldTable, string[]]>([
      ['header', { [HEADER]: 'id' }, ['1', '2', '3', '4']],
      ['cache size', { 'x-cache-size': 1 }, ['1', '2', '1', '3']],
      ['false', { [ENABLED]: false }, ['1', '1', '2', '1', '3']],
    ])('is known as the arguments say: %s', async (_what, args, expected) => {
      const { publish, arrived } = await start(args)
      if (args[HEADER] === 'id') for (const id of [1, 2, 1, 3, 2, 4]) publish(String(id), { id, [HEADER]: 'same' })
      else for (const id of ['1', '1', '2', '1', '3']) publish(id)
      expect(await arrived()).toEqual(expected)
    })

    it('is forgotten in time', async () => {
      const { channel, queue, publish, arrived } = await start({ 'x-cache-ttl': 1000 })
      publish('a')
      await channel.sync(queue)
      clock.advance(999)
      publish('a')
      expect(await arrived()).toEqual(['a'])
      clock.advance(1)
      publish('a')
      expect(await arrived()).toEqual(['a'])
    })

    it('enters the other queues all the same', async () => {
      const { channel, queue, arrived } = await start()
      const other = await broker.queue(channel)
      const exchange = await broker.exchange(channel, 'fanout')
      for (const bound of [queue, other]) await channel.call('queue.bind', { queue: bound, exchange })
      for (const body of ['1', '2']) channel.publish({ exchange }, body, { headers: { [HEADER]: 'a' } })
      expect(await arrived()).toEqual(['1'])
      expect(await channel.empty(other)).toEqual(['1', '2'])
    })

    it('is looked at once, however many bindings lead it here', async () => {
      const { channel, queue, arrived } = await start()
      const exchange = await broker.exchange(channel, 'topic')
      for (const routingKey of ['#', 'a.*', 'a.b']) await channel.call('queue.bind', { queue, exchange, routingKey })
      const headers = { [HEADER]: 'a', CC: [queue, 'a.c'] }
      for (const body of ['1', '2']) channel.publish({ exchange, routingKey: 'a.b' }, body, { headers })
      expect(await arrived()).toEqual(['1'])
    })

    it('that is a duplicate is confirmed and not returned', async () => {
      const { channel, publish, arrived } = await start()
      await channel.call('confirm.select')
      for (let i = 1; i <= 2; i++) {
        publish('a')
        expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: i })
      }
      expect(await arrived()).toEqual(['a'])
    })

    it('is looked at in transactions', async () => {
      const { channel, publish, arrived } = await start()
      await channel.call('tx.select')
      publish('a')
      await channel.call('tx.rollback')
      publish('a')
      publish('a')
      await channel.call('tx.commit')
      expect(await arrived()).toEqual(['a'])
    })

    it('is a new one to a queue that was deleted and declared again', async () => {
      const { channel, queue, publish, arrived } = await start()
      publish('a')
      await channel.call('queue.delete', { queue })
      await channel.call('queue.declare', { queue, exclusive: true, arguments: { [ENABLED]: true } })
      publish('a')
      expect(await arrived()).toEqual(['a'])
    })
  })

  describe.each(['restart', 'crash'] as const)('after a %s', (again) => {
    const on = withRestarts()
    const publish = (id: string, deliveryMode = 2) =>
      on.publish({ routingKey: 'q' }, id, { headers: { [HEADER]: id }, deliveryMode })
    const declare = (channel: RawChannel, args: FieldTable = {}) =>
      channel.call('queue.declare', { queue: 'q', durable: true, arguments: { [ENABLED]: true, ...args } })

    it('persistent messages are known, transient ones are new', async () => {
      await declare(on.channel)
      await publish('kept')
      await publish('lost', 1)
      await on[again]()
      await publish('kept')
      await publish('lost')
      await publish('lost')
      expect(await on.channel.empty('q')).toEqual(['kept', 'lost'])
    })

    it('they are forgotten in the order they came, and in time', async () => {
      await declare(on.channel, { 'x-cache-size': 2, 'x-cache-ttl': 10_000 })
      for (const id of ['a', 'b', 'c']) await publish(id)
      await on[again]()
      for (const id of ['c', 'b', 'a', 'c', 'b']) await publish(id)
      expect(await on.channel.empty('q')).toEqual(['a', 'b', 'c', 'a', 'b'])
      await on.flush()
      await on[again]()
      await publish('b')
      on.clock.advance(10_000)
      await publish('b')
      expect(await on.channel.empty('q')).toEqual(['b'])
    })

    it('nothing is left of a queue that was deleted', async () => {
      await declare(on.channel)
      await publish('a')
      await on.channel.call('queue.delete', { queue: 'q' })
      await declare(on.channel)
      await on[again]()
      await publish('a')
      expect(await on.channel.empty('q')).toEqual(['a'])
    })
  })
}
