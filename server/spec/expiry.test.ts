// Time-to-live of messages and of queues. RabbitMQ docs "Time-To-Live and Expiration"; the time is the test's own.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldTable } from '../../protocol'
import { withRestarts } from './with-restarts'

/** A property, and what a queue says of itself. */
interface Case {
  args: FieldTable
  expiration?: string
  lives: number // ms
}

if (process.env.AMQP_SPEC_URL === undefined) {
  const on = withRestarts()
  const declare = (args: FieldTable = {}, queue = 'q') =>
    on.channel.call('queue.declare', { queue, durable: true, arguments: args })
  const publish = (body: string, expiration?: string, queue = 'q') =>
    on.publish({ routingKey: queue }, body, { deliveryMode: 2, expiration })
  const count = async (channel: RawChannel = on.channel, queue = 'q') => {
    await channel.sync()
    return (await channel.call('queue.declare', { queue, passive: true })).messageCount
  }
  const advance = async (ms: number) => {
    on.clock.advance(ms)
    await on.channel.sync()
  }

  const http = async (method: string, path: string, body?: object) => {
    const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
    const headers = { authorization, 'content-type': 'application/json' }
    const response = await fetch(`${on.broker.adminUrl}/api/${path}`, { method, headers, body: JSON.stringify(body) })
    expect(response.ok).toBe(true)
  }

  /** Bytes that left memory must come back before a message is given up. */
  const comesTo = async (expected: number, queue = 'q') => {
    for (let turns = 0; turns < 1000 && (await count(on.channel, queue)) !== expected; turns++);
    expect(await count(on.channel, queue)).toBe(expected)
  }

  describe('a message', () => {
    it.each<[string, Case]>([
      ['with an expiration', { args: {}, expiration: '100', lives: 100 }],
      ['in a queue with a TTL', { args: { 'x-message-ttl': 100 }, lives: 100 }],
      ['with both, the message has the lower', { args: { 'x-message-ttl': 200 }, expiration: '100', lives: 100 }],
      ['with both, the queue has the lower', { args: { 'x-message-ttl': 100 }, expiration: '200', lives: 100 }],
      ['for days', { args: {}, expiration: '604800000', lives: 604_800_000 }],
    ])('%s expires on the millisecond', async (_title, { args, expiration, lives }) => {
      await declare(args)
      await publish('a', expiration)
      await advance(lives - 1)
      expect(await count()).toBe(1)
      await advance(1)
      expect(await count()).toBe(0)
      expect(await on.channel.get('q')).toBeNull()
    })

    it.each(['before', 'after'])('keeps its time over a restart; a crash %s that comes', async (when) => {
      await declare({}, 'plain')
      await declare({ 'x-message-ttl': 300 })
      await publish('a', '100', 'plain')
      await publish('b', undefined, 'plain')
      await publish('c')
      await advance(60)
      if (when === 'after') await on.restart()
      await on.crash()
      expect([await count(on.channel, 'plain'), await count()]).toEqual([2, 1])
      await advance(39)
      expect([await count(on.channel, 'plain'), await count()]).toEqual([2, 1])
      await advance(1)
      await comesTo(1, 'plain')
      await advance(199)
      expect(await count()).toBe(1)
      await advance(1)
      await comesTo(0)
      expect(await on.channel.empty('plain')).toEqual(['b'])
    })

    it('expires while the broker is down', async () => {
      await declare({ 'x-message-ttl': 100 })
      await publish('a')
      on.clock.advance(100)
      await on.restart()
      await advance(0)
      await comesTo(0)
    })

    it('expires behind others that do not', async () => {
      await declare()
      for (const [body, expiration] of [['1'], ['2', '50'], ['3'], ['4', '20'], ['5', '90']])
        await publish(body, expiration)
      await advance(20)
      expect(await count()).toBe(4)
      await advance(30)
      expect(await count()).toBe(3)
      expect(await on.channel.empty('q')).toEqual(['1', '3', '5'])
    })

    it('does not expire while a consumer has it, and does when it comes back', async () => {
      await declare({ 'x-message-ttl': 100 })
      const channel = await on.openChannel()
      await publish('a')
      await publish('b')
      const first = await channel.get('q')
      await advance(100)
      expect(await count()).toBe(0)
      channel.send('basic.nack', { deliveryTag: first?.args.deliveryTag, requeue: true })
      await channel.sync()
      await advance(0)
      expect(await count(channel)).toBe(0)
    })

    it('that comes back in time keeps its time', async () => {
      await declare({ 'x-message-ttl': 100 })
      const channel = await on.openChannel()
      await publish('a')
      const first = await channel.get('q')
      await advance(60)
      channel.send('basic.nack', { deliveryTag: first?.args.deliveryTag, requeue: true })
      await channel.sync()
      await advance(39)
      expect(await count()).toBe(1)
      await advance(1)
      expect(await count()).toBe(0)
    })

    describe('that was delivered, came back', () => {
      const comeBack = async (channel: RawChannel) => {
        const first = await channel.get('q')
        channel.send('basic.nack', { deliveryTag: first?.args.deliveryTag, requeue: true })
        await channel.sync()
      }

      it.each<[string, (channel: RawChannel) => Promise<unknown>]>([
        ['was taken for good by a get', (channel) => channel.get('q', { noAck: true })],
        [
          'was taken for good by a consumer',
          async (channel) => {
            await channel.call('basic.consume', { queue: 'q', consumerTag: 'c', noAck: true })
            await channel.bodies(1)
            await channel.call('basic.cancel', { consumerTag: 'c' })
          },
        ],
        ['was purged', (channel) => channel.call('queue.purge', { queue: 'q' })],
        [
          'was purged as a part',
          async () => {
            await publish('z')
            await http('DELETE', 'queues/%2F/q/contents?count=1')
            await on.channel.get('q', { noAck: true })
          },
        ],
      ])('and %s, is not missed when its time comes', async (_title, take) => {
        await declare({ 'x-message-ttl': 100 })
        const channel = await on.openChannel()
        await publish('a')
        await comeBack(channel)
        await take(channel)
        await advance(99)
        await publish('b')
        await advance(1)
        expect(await count()).toBe(1)
        expect(await on.channel.empty('q')).toEqual(['b'])
      })

      it('and saw a clean stop, expires', async () => {
        await declare({ 'x-message-ttl': 100 })
        await publish('a')
        await publish('b')
        await comeBack(await on.openChannel())
        await on.restart()
        await advance(100)
        await comesTo(0)
      })
    })

    it('with expiration 0 goes to who waits for it, or nowhere', async () => {
      await declare()
      await publish('lost', '0')
      await advance(0)
      expect(await count()).toBe(0)
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', noAck: true })
      await publish('got', '0')
      expect(await channel.bodies(1)).toEqual(['got'])
    })

    it('expires in one queue and not in another', async () => {
      for (const [queue, args] of [
        ['a', { 'x-message-ttl': 10 }],
        ['b', {}],
      ] as const) {
        await declare(args, queue)
        await on.channel.call('queue.bind', { queue, exchange: 'amq.fanout' })
      }
      await on.publish({ exchange: 'amq.fanout' }, 'm', { deliveryMode: 2 })
      await advance(10)
      expect([await count(on.channel, 'a'), await count(on.channel, 'b')]).toEqual([0, 1])
      await on.crash()
      await advance(0)
      await comesTo(0, 'a')
      expect(await count(on.channel, 'b')).toBe(1)
    })

    it('of a policy expires too, those that come after it', async () => {
      await declare()
      await publish('before')
      await http('PUT', 'policies/%2F/p', { pattern: '^q$', definition: { 'message-ttl': 50 }, 'apply-to': 'queues' })
      await publish('after')
      await advance(50)
      expect(await on.channel.empty('q')).toEqual(['before'])
    })

    it('may be one of twenty thousand, each with its own time, in any order', async () => {
      await declare()
      const channel = await on.openChannel()
      const n = 20_000
      for (let i = 0; i < n; i++)
        channel.publish({ routingKey: 'q' }, String(i), { expiration: String(1 + ((i * 7919) % n)) })
      await channel.sync()
      expect(await count(channel)).toBe(n)
      for (let t = n / 4; t <= n; t += n / 4) {
        await advance(n / 4)
        let left = await count(channel)
        for (let turns = 0; left !== n - t && turns < 1000; turns++) left = await count(channel)
        expect(left).toBe(n - t)
      }
    })

    it('is purged as any other', async () => {
      await declare({ 'x-message-ttl': 100 })
      for (const body of ['a', 'b', 'c']) await publish(body)
      await publish('d', '10')
      await advance(10)
      expect((await on.channel.call('queue.purge', { queue: 'q' })).messageCount).toBe(3)
      await publish('e')
      await advance(90)
      expect(await on.channel.empty('q')).toEqual(['e'])
    })
  })

  describe('a queue with x-expires', () => {
    it('goes when it was unused for so long, with its messages, and over a restart begins anew', async () => {
      await declare({ 'x-expires': 100 })
      await publish('a')
      await advance(99)
      expect(await count()).toBe(1)
      await on.restart()
      await advance(99)
      expect(await count()).toBe(1)
      await advance(100)
      const channel = await on.openChannel()
      channel.send('queue.declare', { queue: 'q', passive: true })
      expect((await channel.expect('channel.close')).replyCode).toBe(404)
    })

    it.each<[string, (channel: RawChannel) => Promise<unknown>]>([
      ['a get', (channel) => channel.get('q')],
      ['a declare', () => declare({ 'x-expires': 100 })],
      [
        'a consumer that came and went',
        async (channel) => {
          await channel.call('basic.consume', { queue: 'q', consumerTag: 'c' })
          await channel.call('basic.cancel', { consumerTag: 'c' })
        },
      ],
    ])('is used by %s', async (_title, use) => {
      await declare({ 'x-expires': 100 })
      await advance(60)
      await use(await on.openChannel())
      await advance(99)
      expect(await count()).toBe(0)
      await advance(100)
      const channel = await on.openChannel()
      channel.send('queue.declare', { queue: 'q', passive: true })
      expect((await channel.expect('channel.close')).replyCode).toBe(404)
    })

    it('stays while it has a consumer', async () => {
      await declare({ 'x-expires': 100 })
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', consumerTag: 'c' })
      await advance(1000)
      expect(await count()).toBe(0)
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))
