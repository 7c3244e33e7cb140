// Consumers: tags, exclusive, no-ack, cancel, the server's own cancel, prefetch of both kinds, fairness.
import { describe, expect, it } from '@jest/globals'
import { fullCapabilities, type RawChannel } from '../../clients/raw'
import { type Call, itRefuses } from './refusals'
import { withBroker } from './with-broker'

describe('refusals', () => {
  const broker = withBroker()
  const queue: Call[] = [['queue.declare', { queue: '$q', exclusive: true }]]
  const shared: Call[] = [['queue.declare', { queue: '$q' }]]
  const exclusiveUse = {
    scope: 'channel',
    code: 403,
    text: "ACCESS_REFUSED - queue '$q' in vhost '/' in exclusive use",
  } as const

  itRefuses(broker, [
    {
      when: 'a tag in use on the channel',
      given: [...queue, ['basic.consume', { queue: '$q', consumerTag: 't' }]],
      does: ['basic.consume', { queue: '$q', consumerTag: 't' }],
      scope: 'connection',
      code: 530,
      text: "NOT_ALLOWED - attempt to reuse consumer tag 't'",
    },
    {
      when: 'an exclusive consumer is there',
      other: [...shared, ['basic.consume', { queue: '$q', exclusive: true }]],
      does: ['basic.consume', { queue: '$q' }],
      ...exclusiveUse,
    },
    {
      when: 'an exclusive consumer is wanted and another is there',
      other: [...shared, ['basic.consume', { queue: '$q' }]],
      does: ['basic.consume', { queue: '$q', exclusive: true }],
      ...exclusiveUse,
    },
    {
      when: 'an exclusive consumer of the same channel is there',
      given: [...queue, ['basic.consume', { queue: '$q', exclusive: true }]],
      does: ['basic.consume', { queue: '$q' }],
      ...exclusiveUse,
    },
    {
      when: 'prefetch by size',
      does: ['basic.qos', { prefetchSize: 10 }],
      scope: 'connection',
      code: 540,
      text: 'NOT_IMPLEMENTED - prefetch_size!=0 (10)',
    },
    {
      when: 'flow off',
      does: ['channel.flow', { active: false }],
      scope: 'connection',
      code: 540,
      text: 'NOT_IMPLEMENTED - active=false',
    },
  ])
})

describe('consuming', () => {
  const broker = withBroker()

  it('delivers what is there and what comes, in order', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const body of ['1', '2']) channel.publishTo(queue, body)
    const { consumerTag } = await channel.call('basic.consume', { queue })
    for (const body of ['3', '4']) channel.publishTo(queue, body)
    for (const [index, body] of ['1', '2', '3', '4'].entries()) {
      const message = await channel.message()
      expect(message.body.toString()).toBe(body)
      expect(message.args).toEqual({
        consumerTag,
        deliveryTag: index + 1,
        redelivered: false,
        exchange: '',
        routingKey: queue,
      })
    }
  })

  it('makes a tag when none is given', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const first = await channel.call('basic.consume', { queue })
    const second = await channel.call('basic.consume', { queue })
    expect(first.consumerTag).toMatch(/^amq\.ctag-[\w-]{22}$/)
    expect(second.consumerTag).toMatch(/^amq\.ctag-[\w-]{22}$/)
    expect(first.consumerTag).not.toBe(second.consumerTag)
  })

  it('keeps tags apart by channel', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const sibling = await channel.connection.openChannel(2)
    expect(await channel.call('basic.consume', { queue, consumerTag: 't' })).toEqual({ consumerTag: 't' })
    expect(await sibling.call('basic.consume', { queue, consumerTag: 't' })).toEqual({ consumerTag: 't' })
  })

  it('with no-ack needs no acknowledgement and takes none', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue, noAck: true })
    for (const body of ['1', '2', '3']) channel.publishTo(queue, body)
    expect(await channel.bodies(3)).toEqual(['1', '2', '3'])
    channel.send('basic.ack', { deliveryTag: 1 })
    expect(await channel.expectClose()).toEqual({
      code: 406,
      text: 'PRECONDITION_FAILED - unknown delivery tag 1',
      method: 'basic.ack',
    })
  })

  it('ignores no-local', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.consume', { queue, noLocal: true })
    channel.publishTo(queue, 'my own')
    expect(await channel.bodies(1)).toEqual(['my own'])
  })

  it('with no-wait is not answered, and delivers', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.send('basic.consume', { queue, consumerTag: 't', noWait: true })
    channel.publishTo(queue, 'hello')
    expect((await channel.message()).args.consumerTag).toBe('t')
    channel.send('basic.cancel', { consumerTag: 't', noWait: true })
    channel.publishTo(queue, 'left')
    await channel.sync(queue)
  })

  it('answers before the first delivery', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (let i = 0; i < 100; i++) channel.publishTo(queue, String(i))
    await channel.sync(queue)
    await channel.call('basic.consume', { queue }) // fails where a delivery comes first
    expect(await channel.bodies(100)).toHaveLength(100)
  })

  it('exclusive consumption ends with the consumer', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.consume', { queue, consumerTag: 'a', exclusive: true })
    await channel.call('basic.cancel', { consumerTag: 'a' })
    await channel.call('basic.consume', { queue, consumerTag: 'b', exclusive: true })
  })

  it('gets are still possible beside an exclusive consumer', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.consume', { queue, exclusive: true })
    expect(await channel.get(queue)).toBeNull()
  })
})

describe('cancelling', () => {
  const broker = withBroker()

  it('ends deliveries and keeps what is unacknowledged open', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const { consumerTag } = await channel.call('basic.consume', { queue })
    channel.publishTo(queue, 'before')
    const message = await channel.message()
    expect(await channel.call('basic.cancel', { consumerTag })).toEqual({ consumerTag })
    channel.publishTo(queue, 'after')
    await channel.sync(queue)
    channel.send('basic.ack', { deliveryTag: message.args.deliveryTag })
    expect(await channel.empty(queue)).toEqual(['after'])
  })

  it('an unknown tag is answered', async () => {
    const channel = await broker.channel()
    expect(await channel.call('basic.cancel', { consumerTag: 'never' })).toEqual({ consumerTag: 'never' })
  })

  it('frees the tag', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const _again of [1, 2]) {
      await channel.call('basic.consume', { queue, consumerTag: 't' })
      await channel.call('basic.cancel', { consumerTag: 't' })
    }
  })

  it('by the server comes when the queue is deleted', async () => {
    const owner = await broker.channel()
    const queue = broker.name()
    await owner.call('queue.declare', { queue })
    const consumer = await broker.channel()
    await consumer.call('basic.consume', { queue, consumerTag: 'a' })
    await consumer.call('basic.consume', { queue, consumerTag: 'b' })
    await owner.call('queue.delete', { queue })
    const cancels = [await consumer.expect('basic.cancel'), await consumer.expect('basic.cancel')]
    expect(cancels.map((cancel) => cancel.consumerTag).sort()).toEqual(['a', 'b'])
    await consumer.sync()
  })

  it.each([false, true])(
    'by the server comes on the channel that deletes, behind the answer; durable: %s',
    async (durable) => {
      const channel = await broker.channel()
      const queue = broker.name()
      await channel.call('queue.declare', { queue, durable, exclusive: !durable })
      await channel.call('basic.consume', { queue, consumerTag: 'a' })
      channel.send('queue.delete', { queue })
      const names = [await channel.next(), await channel.next()].map((frame) => frame.kind === 'method' && frame.name)
      expect(names).toEqual(['queue.delete-ok', 'basic.cancel'])
      await channel.sync()
    },
  )

  it('by the server needs the capability', async () => {
    const { consumer_cancel_notify: _unknown, ...capabilities } = fullCapabilities
    const channel = await broker.channel({ clientProperties: { capabilities } })
    const queue = await broker.queue(channel)
    await channel.call('basic.consume', { queue })
    await channel.call('queue.delete', { queue })
    await channel.sync()
  })
})

describe('prefetch', () => {
  const broker = withBroker()

  async function filled(channel: RawChannel, count: number): Promise<string> {
    const queue = await broker.queue(channel)
    for (let i = 1; i <= count; i++) channel.publishTo(queue, String(i))
    await channel.sync(queue)
    return queue
  }

  it('limits what is unacknowledged, per consumer', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 10)
    await channel.call('basic.qos', { prefetchCount: 2 })
    await channel.call('basic.consume', { queue, consumerTag: 'a' })
    expect(await channel.bodies(2)).toEqual(['1', '2'])
    await channel.sync(queue)
    await channel.call('basic.consume', { queue, consumerTag: 'b' })
    expect(await channel.bodies(2)).toEqual(['3', '4'])
    await channel.sync(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    expect((await channel.message()).args).toMatchObject({ consumerTag: 'a', deliveryTag: 5 })
    await channel.sync(queue)
  })

  it('set later holds for consumers that come later', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 10)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue, consumerTag: 'a' })
    expect(await channel.bodies(1)).toEqual(['1'])
    await channel.call('basic.qos', { prefetchCount: 3 })
    await channel.sync(queue)
    await channel.call('basic.consume', { queue, consumerTag: 'b' })
    expect(await channel.bodies(3)).toEqual(['2', '3', '4'])
    await channel.sync(queue)
  })

  it('global is shared by the consumers of the channel', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 10)
    await channel.call('basic.qos', { prefetchCount: 3, global: true })
    await channel.call('basic.consume', { queue, consumerTag: 'a' })
    await channel.bodies(3)
    await channel.call('basic.consume', { queue, consumerTag: 'b' })
    await channel.sync(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    expect((await channel.message()).args).toMatchObject({ deliveryTag: 4 })
    await channel.sync(queue)
  })

  it('global set later holds at once', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 10)
    await channel.call('basic.qos', { prefetchCount: 2, global: true })
    await channel.call('basic.consume', { queue })
    await channel.bodies(2)
    await channel.call('basic.qos', { prefetchCount: 4, global: true })
    expect(await channel.bodies(2)).toEqual(['3', '4'])
    await channel.sync(queue)
  })

  it('of both kinds: the lower holds', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 10)
    await channel.call('basic.qos', { prefetchCount: 2 })
    await channel.call('basic.qos', { prefetchCount: 3, global: true })
    await channel.call('basic.consume', { queue, consumerTag: 'a' })
    await channel.bodies(2)
    await channel.sync(queue)
    await channel.call('basic.consume', { queue, consumerTag: 'b' })
    await channel.bodies(1)
    await channel.sync(queue)
  })

  it('0 is no limit', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 300)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.qos', { prefetchCount: 0 })
    await channel.call('basic.consume', { queue })
    expect(await channel.bodies(300)).toHaveLength(300)
  })

  it('does not count gets', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 3)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.get(queue)
    await channel.get(queue)
    await channel.call('basic.consume', { queue })
    expect(await channel.bodies(1)).toEqual(['3'])
  })

  it('reject and nack free a place too', async () => {
    const channel = await broker.channel()
    const queue = await filled(channel, 4)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue })
    await channel.bodies(1)
    channel.send('basic.reject', { deliveryTag: 1 })
    await channel.bodies(1)
    channel.send('basic.nack', { deliveryTag: 2 })
    expect(await channel.bodies(1)).toEqual(['3'])
    await channel.sync(queue)
  })
})

describe('several consumers', () => {
  const broker = withBroker()

  it('of one channel take turns', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const consumerTag of ['a', 'b', 'c']) await channel.call('basic.consume', { queue, consumerTag })
    for (let i = 0; i < 300; i++) channel.publishTo(queue, String(i))
    const taken: Record<string, number> = { a: 0, b: 0, c: 0 }
    for (let i = 0; i < 300; i++) taken[(await channel.message()).args.consumerTag]++
    expect(taken).toEqual({ a: 100, b: 100, c: 100 })
  })

  it('of three connections take turns', async () => {
    const publisher = await broker.channel()
    const queue = broker.name()
    await publisher.call('queue.declare', { queue })
    const consumers = [await broker.channel(), await broker.channel(), await broker.channel()]
    for (const consumer of consumers) {
      await consumer.call('basic.qos', { prefetchCount: 50 })
      await consumer.call('basic.consume', { queue })
    }
    for (let i = 0; i < 150; i++) publisher.publishTo(queue, String(i))
    for (const consumer of consumers) await consumer.bodies(50)
    await publisher.sync(queue)
  })

  it('one that is full does not hold up the others', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue, consumerTag: 'slow' })
    await channel.call('basic.qos', { prefetchCount: 0 })
    await channel.call('basic.consume', { queue, consumerTag: 'quick' })
    for (let i = 0; i < 100; i++) channel.publishTo(queue, String(i))
    const tags: string[] = []
    for (let i = 0; i < 100; i++) tags.push((await channel.message()).args.consumerTag)
    expect(tags.filter((tag) => tag === 'slow')).toHaveLength(1)
  })

  it('a queue of its own each gets its own copy', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'fanout')
    const queues = [await broker.queue(channel), await broker.queue(channel)]
    for (const queue of queues) await channel.call('queue.bind', { queue, exchange })
    channel.publish({ exchange }, 'to all')
    for (const queue of queues) {
      await channel.sync(queue)
      expect(await channel.empty(queue)).toEqual(['to all'])
    }
  })
})
