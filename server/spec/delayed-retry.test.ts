// Messages that came back and wait before they go out again. RabbitMQ docs "Quorum Queues", "Delayed Retries"; the time is the
// test's own, and the curve and the jitter are ours alone.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldTable, FieldValue } from '../../protocol'
import { itRefuses } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('an argument is refused', () => {
    const broker = withBroker()
    const rows: [string, FieldValue, string][] = [
      ['type', 'sometimes', 'invalid_delayed_retry_type'],
      ['type', 3, '{unacceptable_type,signedint}'],
      ['min', -1, '{value_negative,-1}'],
      ['min', 'a', '"expected integer, got longstr"'],
      ['min', 315_360_000_001, '{value_too_large,315360000001}'],
      ['max', -1, '{value_negative,-1}'],
      ['max', 1e15, '{value_too_large,1000000000000000}'],
      ['curve', 'steep', 'invalid_delayed_retry_curve'],
      ['jitter', 101, '{max_value_exceeded,101}'],
      ['jitter', true, '"expected integer, got bool"'],
    ]
    itRefuses(
      broker,
      rows.map(([name, value, why]) => ({
        when: `${name} is ${value}`,
        does: ['queue.declare', { queue: '$q', arguments: { [`x-delayed-retry-${name}`]: value } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid arg 'x-delayed-retry-${name}' for queue '$q' in vhost '/': ${why}`,
      })),
    )
  })

  describe('a message', () => {
    const on = withRestarts()
    const declare = (args: FieldTable) =>
      on.channel.call('queue.declare', { queue: 'q', durable: true, arguments: args })
    const take = async (): Promise<number> => {
      const got = await on.channel.get('q')
      if (got === null) throw new Error('there is none')
      return got.args.deliveryTag
    }
    const takeAnd = async (how: 'reject' | 'nack') => {
      on.channel.send(`basic.${how}`, { deliveryTag: await take(), requeue: true })
      await on.channel.sync('q')
    }
    const counts = async (channel: RawChannel = on.channel) => {
      const { messageCount } = await channel.call('queue.declare', { queue: 'q', passive: true })
      return messageCount
    }
    const advance = async (ms: number) => {
      on.clock.advance(ms)
      await on.channel.sync('q')
    }
    const publish = async (...bodies: string[]) => {
      for (const body of bodies) await on.publish({ routingKey: 'q' }, body, { deliveryMode: 2 })
    }

    const at = (min: number, more: FieldTable = {}): FieldTable => ({
      'x-delayed-retry-type': 'all',
      'x-delayed-retry-min': min,
      ...more,
    })
    const exponential = { 'x-delayed-retry-curve': 'exponential' }

    it.each<[string, FieldTable, ('reject' | 'nack')[], number[]]>([
      ['waits longer each time it fails', at(100), ['reject', 'reject', 'reject'], [100, 200, 300]],
      [
        'no longer than the longest',
        at(100, { 'x-delayed-retry-max': 250 }),
        ['reject', 'reject', 'reject'],
        [100, 200, 250],
      ],
      ['twice as long each time', at(100, exponential), ['reject', 'reject', 'reject', 'reject'], [100, 200, 400, 800]],
      ['always as long when given back', at(100), ['nack', 'nack', 'reject', 'nack'], [100, 100, 100, 100]],
      ['only after failures', { ...at(100), 'x-delayed-retry-type': 'failed' }, ['nack', 'reject'], [0, 100]],
      ['only when given back', { ...at(100), 'x-delayed-retry-type': 'returned' }, ['nack', 'reject'], [100, 0]],
      ['not at all without a shortest time', { 'x-delayed-retry-type': 'all' }, ['reject', 'nack'], [0, 0]],
      ['not at all where it is disabled', { ...at(100), 'x-delayed-retry-type': 'disabled' }, ['reject'], [0]],
    ])('%s', async (_title, args, how, waits) => {
      await declare(args)
      await publish('a')
      for (let i = 0; i < how.length; i++) {
        await takeAnd(how[i])
        if (waits[i] > 0) {
          await advance(waits[i] - 1)
          expect({ i, ready: await counts() }).toEqual({ i, ready: 0 })
          await advance(1)
        }
        expect({ i, ready: await counts() }).toEqual({ i, ready: 1 })
      }
    })

    it('goes to a consumer when its time has come, behind those that came meanwhile', async () => {
      await declare(at(100))
      await publish('a')
      await takeAnd('reject')
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', noAck: true })
      await publish('b')
      expect(await channel.bodies(1)).toEqual(['b'])
      await advance(100)
      const message = await channel.message()
      expect(message.body.toString()).toBe('a')
      expect(message.args.redelivered).toBe(true)
    })

    it('waits up to so much less as the jitter says, and no two the same', async () => {
      await declare(at(1000, { 'x-delayed-retry-jitter': 50 }))
      await publish(...Array.from({ length: 40 }, String))
      for (let i = 0; i < 40; i++) await takeAnd('reject')
      const back: number[] = []
      await advance(499)
      for (let ms = 500; ms <= 1000; ms++) {
        await advance(1)
        back.push(await counts())
      }
      expect(back[0]).toBeLessThan(3)
      expect(back[250]).toBeGreaterThan(10)
      expect(back[250]).toBeLessThan(30)
      expect(back[500]).toBe(40)
      expect(new Set(back).size).toBeGreaterThan(25)
    })

    it.each(['restart', 'crash'] as const)('waits on over a %s', async (how) => {
      await declare(at(1000))
      await publish('a', 'b')
      await takeAnd('reject')
      await on.flush()
      await on[how]()
      expect(await counts()).toBe(1)
      await advance(999)
      expect(await counts()).toBe(1)
      await advance(1)
      expect(await counts()).toBe(2)
      const got = await on.channel.get('q', { noAck: true })
      expect([got?.body.toString(), got?.args.redelivered]).toEqual(['a', true])
    })

    it.each(['restart', 'crash'] as const)('is not waited for after a %s that took longer', async (how) => {
      await declare(at(1000))
      await publish('a')
      await takeAnd('reject')
      await on.flush()
      on.clock.advance(1000)
      await on[how]()
      expect(await counts()).toBe(1)
    })

    it('is purged, and settled for good', async () => {
      await declare(at(1000))
      await publish('a', 'b')
      await takeAnd('reject')
      expect((await on.channel.call('queue.purge', { queue: 'q' })).messageCount).toBe(2)
      await on.flush()
      await on.crash()
      await advance(1000)
      expect(await counts()).toBe(0)
    })

    it('keeps its queue from being deleted as an empty one', async () => {
      await declare(at(1000))
      await publish('a')
      await takeAnd('reject')
      const channel = await on.openChannel()
      channel.send('queue.delete', { queue: 'q', ifEmpty: true })
      expect(await channel.expectClose()).toMatchObject({ code: 406 })
      expect((await on.channel.call('queue.delete', { queue: 'q' })).messageCount).toBe(1)
    })

    it.each(['', 'restart', 'crash'] as const)('expires when its time comes meanwhile; over a %s', async (how) => {
      await declare({ ...at(1000), 'x-message-ttl': 500 })
      await publish('a')
      await takeAnd('reject')
      await on.flush()
      if (how !== '') await on[how]()
      await advance(1000)
      expect(await counts()).toBe(0)
      expect(await on.channel.get('q')).toBeNull()
    })

    it('is given up at the limit, without a further wait', async () => {
      await declare(at(100, { 'x-delivery-limit': 1 }))
      await publish('a')
      await takeAnd('reject')
      await advance(100)
      await takeAnd('reject')
      await advance(10_000)
      expect(await counts()).toBe(0)
    })

    it('is not kept waiting by whoever looks at it with the admin API', async () => {
      await declare(at(100))
      await publish('a')
      const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
      const get = (ackmode: string) =>
        fetch(`${on.broker.adminUrl}/api/queues/%2F/q/get`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: JSON.stringify({ count: 1, ackmode, encoding: 'auto' }),
        }).then((response) => response.json())
      expect(await get('reject_requeue_true')).toHaveLength(1)
      expect(await get('ack_requeue_true')).toHaveLength(1)
      expect(await counts()).toBe(1)
      await takeAnd('reject')
      const path = `${on.broker.adminUrl}/api/queues/%2F/q`
      const shown = await (await fetch(path, { headers: { authorization } })).json()
      expect(shown).toMatchObject({ messages: 1, messages_ready: 0, messages_unacknowledged: 0, messages_delayed: 1 })
    })
  })
} else describe.skip('on another broker', () => it('', () => {}))
