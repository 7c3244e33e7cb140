// Priorities of messages: x-max-priority, and quorum queues, which have them unasked. RabbitMQ docs "Priority Queue Support".
import { describe, expect, it } from '@jest/globals'
import type { FieldTable } from '../../protocol'
import { withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  const on = withRestarts()
  const declare = (args: FieldTable, queue = 'q') =>
    on.channel.call('queue.declare', { queue, durable: true, arguments: args })
  /** A message of each priority, called by it; '-' has none. */
  const publish = async (priorities: string, expiration?: string) => {
    for (const name of priorities.split(' ')) {
      const priority = name === '-' ? undefined : Number.parseInt(name, 10)
      await on.publish({ routingKey: 'q' }, name, { deliveryMode: 2, priority, expiration })
    }
  }
  const left = async () => (await on.channel.empty('q')).join(' ')

  describe('a queue with priorities', () => {
    it.each<[string, FieldTable, string, string]>([
      ['the highest first, in order', { 'x-max-priority': 9 }, '1 9a 5 9b 0 1', '9a 9b 5 1 1 0'],
      ['none counts as 0', { 'x-max-priority': 9 }, '- 0 1 -', '1 - 0 -'],
      ['more than the highest counts as that', { 'x-max-priority': 5 }, '5a 255 4 6 5b', '5a 255 6 5b 4'],
      ['up to 255', { 'x-max-priority': 255 }, '0 254 255 1', '255 254 1 0'],
      ['without priorities, in order', {}, '1 9 5', '1 9 5'],
      ['with 0 as the highest, in order', { 'x-max-priority': 0 }, '1 9 5', '1 9 5'],
      ['a quorum queue: 32 levels, none is 4', { 'x-queue-type': 'quorum' }, '0 3 - 4 5 31 99', '31 99 5 - 4 3 0'],
    ])('%s', async (_title, args, sent, expected) => {
      await declare(args)
      await publish(sent)
      expect(await left()).toBe(expected)
    })

    it.each(['restart', 'crash'] as const)('keeps them over a %s', async (how) => {
      await declare({ 'x-max-priority': 9 })
      await on.channel.call('queue.declare', { queue: 'plain', durable: true })
      for (const queue of ['q', 'plain']) await on.channel.call('queue.bind', { queue, exchange: 'amq.fanout' })
      await publish('1a 1b 7 - 1c 9')
      await on.publish({ exchange: 'amq.fanout' }, '8', { deliveryMode: 2, priority: 8 })
      await on[how]()
      expect(await left()).toBe('9 8 7 1a 1b 1c -')
      expect(await on.channel.empty('plain')).toEqual(['8'])
    })

    it('takes what comes back in before what is lower, at its place', async () => {
      await declare({ 'x-max-priority': 9 })
      await publish('5a 5b 1')
      const channel = await on.openChannel()
      const taken = await channel.get('q')
      await publish('9')
      channel.send('basic.reject', { deliveryTag: taken?.args.deliveryTag, requeue: true })
      await channel.sync()
      expect(await left()).toBe('9 5a 5b 1')
    })

    it.each([
      ['x-max-length', 3],
      ['x-max-length-bytes', 3],
    ])('gives up the lowest, the oldest first, when %s is reached', async (name, limit) => {
      await declare({ 'x-max-priority': 9, [name]: limit })
      await publish('9 1 2 5 0')
      expect(await left()).toBe('9 5 2')
    })

    it('lets messages of any priority expire', async () => {
      await declare({ 'x-max-priority': 9 })
      await publish('1 9')
      await publish('5 0', '1000')
      on.clock.advance(999)
      await on.channel.sync()
      await on.restart()
      expect((await declare({ 'x-max-priority': 9 })).messageCount).toBe(4)
      on.clock.advance(1)
      await on.channel.sync()
      expect(await left()).toBe('9 1')
    })

    it('is looked at where a message was dead-lettered to', async () => {
      await declare({ 'x-max-priority': 9 })
      const args = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q', 'x-max-length': 0 }
      await declare(args, 'source')
      for (const priority of [1, 8, 3]) await on.publish({ routingKey: 'source' }, String(priority), { priority })
      expect(await left()).toBe('8 3 1')
    })

    it('purges all levels', async () => {
      await declare({ 'x-max-priority': 9 })
      await publish('1 9 - 5')
      expect((await on.channel.call('queue.purge', { queue: 'q' })).messageCount).toBe(4)
      await publish('2')
      expect(await left()).toBe('2')
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))
