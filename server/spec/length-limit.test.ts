// Length limits: x-max-length, x-max-length-bytes and what a full queue does with what is too much. RabbitMQ docs "Queue Length Limit".
import { describe, expect, it } from '@jest/globals'
import type { FieldTable } from '../../protocol'
import { withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  const on = withRestarts()
  const declare = (args: FieldTable, queue = 'q') =>
    on.channel.call('queue.declare', { queue, durable: true, arguments: args })

  describe('a queue that drops its head', () => {
    it.each<[string, FieldTable, string[]]>([
      ['by number', { 'x-max-length': 2 }, ['cc', 'dddd']],
      ['by bytes', { 'x-max-length-bytes': 5 }, ['dddd']],
      ['by whatever is reached first', { 'x-max-length': 3, 'x-max-length-bytes': 6 }, ['cc', 'dddd']],
      ['with nothing allowed', { 'x-max-length': 0 }, []],
      ['when told to', { 'x-max-length': 1, 'x-overflow': 'drop-head' }, ['dddd']],
    ])('%s', async (_title, args, left) => {
      await declare(args)
      for (const body of ['a', 'bbb', 'cc', 'dddd']) await on.publish({ routingKey: 'q' }, body, { deliveryMode: 2 })
      expect((await on.channel.call('queue.declare', { queue: 'q', passive: true })).messageCount).toBe(left.length)
      await on.flush()
      await on.crash()
      expect(await on.channel.empty('q')).toEqual(left)
    })

    it('counts what is ready, not what consumers have', async () => {
      await declare({ 'x-max-length': 1 })
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', consumerTag: 'c' })
      for (const body of ['1', '2', '3']) await on.publish({ routingKey: 'q' }, body)
      expect(await channel.bodies(3)).toEqual(['1', '2', '3'])
      await channel.close()
      await on.channel.sync()
      expect(await on.channel.empty('q')).toEqual(['3'])
    })

    it('gives a waiting consumer all of a burst', async () => {
      await declare({ 'x-max-length': 1 })
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', consumerTag: 'c', noAck: true })
      const bodies = Array.from({ length: 100 }, (_, i) => String(i))
      for (const body of bodies) channel.publish({ routingKey: 'q' }, body)
      expect(await channel.bodies(100)).toEqual(bodies)
    })

    it('takes a limit from a policy at once', async () => {
      await declare({})
      for (const body of ['1', '2', '3']) await on.publish({ routingKey: 'q' }, body)
      const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
      const body = JSON.stringify({ pattern: '^q$', definition: { 'max-length': 1 }, 'apply-to': 'queues' })
      const headers = { authorization, 'content-type': 'application/json' }
      await fetch(`${on.broker.adminUrl}/api/policies/%2F/p`, { method: 'PUT', headers, body })
      await on.channel.sync()
      expect(await on.channel.empty('q')).toEqual(['3'])
    })
  })

  describe('a queue that refuses', () => {
    const publish = async (body: string, routingKey = 'q', exchange = '') => {
      on.channel.publish({ exchange, routingKey }, body, { deliveryMode: 2 })
      const answer = await on.channel.next()
      return answer.kind === 'method' ? answer.name : answer.kind
    }

    it.each<[string, FieldTable, string[]]>([
      ['by number', { 'x-max-length': 2 }, ['basic.ack', 'basic.ack', 'basic.nack', 'basic.nack']],
      ['by bytes', { 'x-max-length-bytes': 3 }, ['basic.ack', 'basic.nack', 'basic.ack', 'basic.nack']],
      ['with nothing allowed', { 'x-max-length': 0 }, new Array(4).fill('basic.nack')],
    ])('%s nacks', async (_title, args, answers) => {
      await declare({ ...args, 'x-overflow': 'reject-publish' })
      const got: string[] = []
      for (const body of ['a', 'bbb', 'cc', 'dddd']) got.push(await publish(body))
      expect(got).toEqual(answers)
      expect(await on.channel.empty('q')).toEqual(
        ['a', 'bbb', 'cc', 'dddd'].filter((_, i) => answers[i] === 'basic.ack'),
      )
    })

    it('nacks in one burst what is too much, in order', async () => {
      await declare({ 'x-max-length': 3, 'x-overflow': 'reject-publish' })
      expect(await nackedOf(10)).toEqual([4, 5, 6, 7, 8, 9, 10])
    })

    /** The tags of those that are refused of a burst. */
    const nackedOf = async (count: number) => {
      for (let i = 0; i < count; i++) on.channel.publish({ routingKey: 'q' }, String(i), { deliveryMode: 2 })
      const nacked: number[] = []
      for (let last = 0; last < count; ) {
        const answer = await on.channel.next()
        if (answer.kind !== 'method') throw new Error(answer.kind)
        const { deliveryTag, multiple } = answer.args as { deliveryTag: number; multiple: boolean }
        for (let tag = multiple ? last + 1 : deliveryTag; tag <= deliveryTag; tag++) {
          if (answer.name === 'basic.nack') nacked.push(tag)
        }
        last = deliveryTag
      }
      return nacked
    }

    it.each<[string, FieldTable, number, number[]]>([
      ['takes it without acknowledgement', { noAck: true }, 0, []],
      ['takes any number', {}, 0, []],
      ['takes two', {}, 2, [4, 5, 6, 7, 8, 9, 10]],
    ])('refuses nothing of a burst that a waiting consumer takes: %s', async (_title, args, prefetchCount, refused) => {
      await declare({ 'x-max-length': 1, 'x-overflow': 'reject-publish' })
      const channel = await on.openChannel()
      await channel.call('basic.qos', { prefetchCount })
      await channel.call('basic.consume', { queue: 'q', consumerTag: 'c', ...args })
      expect(await nackedOf(10)).toEqual(refused)
      const taken = prefetchCount || 10
      expect(await channel.bodies(taken)).toEqual(Array.from({ length: taken }, (_, i) => String(i)))
    })

    it('is not heard of again in what comes after', async () => {
      await declare({ 'x-max-length': 0, 'x-overflow': 'reject-publish' })
      await declare({ 'x-queue-type': 'stream' }, 'stream')
      expect(await publish('1')).toBe('basic.nack')
      expect(await publish('2', 'stream')).toBe('basic.ack')
    })

    it('is not heard of by who publishes to a queue whose dead letters it refuses', async () => {
      await declare({ 'x-max-length': 0, 'x-overflow': 'reject-publish' })
      const letters = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q' }
      await declare({ 'x-max-length': 1, ...letters }, 'other')
      expect(await publish('1', 'other')).toBe('basic.ack')
      expect(await publish('2', 'other')).toBe('basic.ack')
      expect(await on.channel.empty('other')).toEqual(['2'])
    })

    it('lets others have the message, and takes again when there is room', async () => {
      await declare({ 'x-max-length': 1, 'x-overflow': 'reject-publish' })
      await declare({}, 'other')
      for (const queue of ['q', 'other']) await on.channel.call('queue.bind', { queue, exchange: 'amq.fanout' })
      expect(await publish('1', '', 'amq.fanout')).toBe('basic.ack')
      expect(await publish('2', '', 'amq.fanout')).toBe('basic.nack')
      expect(await on.channel.empty('q')).toEqual(['1'])
      expect(await publish('3', '', 'amq.fanout')).toBe('basic.ack')
      expect(await on.channel.empty('other')).toEqual(['1', '2', '3'])
      await on.channel.call('queue.delete', { queue: 'q' })
      expect(await publish('4', '', 'amq.fanout')).toBe('basic.ack')
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))
