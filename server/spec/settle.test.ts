// Get, and what settles a message: ack, nack, reject, recover, the end of a channel or connection; order and
// `redelivered` of what goes back.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type Call, itRefuses } from './refusals'
import { type BrokerUnderTest, eventually, withBroker } from './with-broker'

async function filled(broker: BrokerUnderTest, channel: RawChannel, count: number, args = {}): Promise<string> {
  const queue = await broker.queue(channel, args)
  for (let i = 1; i <= count; i++) channel.publishTo(queue, String(i))
  await channel.sync(queue)
  return queue
}

async function take(channel: RawChannel, queue: string, count: number): Promise<number[]> {
  const tags: number[] = []
  for (let i = 0; i < count; i++) tags.push((await channel.get(queue))?.args.deliveryTag as number)
  return tags
}

/** Everything ready, settled: bodies with * where redelivered. */
async function rest(channel: RawChannel, queue: string): Promise<string> {
  const seen: string[] = []
  for (;;) {
    const message = await channel.get(queue, { noAck: true })
    if (!message) return seen.join(' ')
    seen.push(`${message.body}${message.args.redelivered ? '*' : ''}`)
  }
}

/** Resolves when so many messages are ready: what a closed channel leaves behind may come back a little later. */
async function ready(channel: RawChannel, queue: string, count: number): Promise<void> {
  await eventually(async () => {
    const { messageCount } = await channel.call('queue.declare', { queue, passive: true })
    expect(messageCount).toBe(count)
  })
}

describe('get', () => {
  const broker = withBroker()

  it('answers with the message and how many remain', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 3)
    expect((await channel.get(queue))?.args).toEqual({
      deliveryTag: 1,
      redelivered: false,
      exchange: '',
      routingKey: queue,
      messageCount: 2,
    })
    expect((await channel.get(queue, { noAck: true }))?.args).toMatchObject({ deliveryTag: 2, messageCount: 1 })
    expect((await channel.get(queue))?.args).toMatchObject({ deliveryTag: 3, messageCount: 0 })
    expect(await channel.get(queue)).toBeNull()
  })

  it('with no-ack settles at once', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 1)
    await channel.get(queue, { noAck: true })
    await channel.close()
    const next = await channel.connection.openChannel(2)
    expect(await next.get(queue)).toBeNull()
  })
})

describe('settling', () => {
  const broker = withBroker()

  it.each<[string, 'basic.ack' | 'basic.nack' | 'basic.reject', object, string]>([
    ['ack one', 'basic.ack', { deliveryTag: 2 }, '1* 3* 4* 5'],
    ['ack up to', 'basic.ack', { deliveryTag: 2, multiple: true }, '3* 4* 5'],
    ['ack all by 0', 'basic.ack', { deliveryTag: 0, multiple: true }, '5'],
    ['reject one for good', 'basic.reject', { deliveryTag: 2, requeue: false }, '1* 3* 4* 5'],
    ['reject one back', 'basic.reject', { deliveryTag: 2, requeue: true }, '1* 2* 3* 4* 5'],
    ['nack one for good', 'basic.nack', { deliveryTag: 2, requeue: false }, '1* 3* 4* 5'],
    ['nack up to for good', 'basic.nack', { deliveryTag: 3, multiple: true, requeue: false }, '4* 5'],
    ['nack all by 0 for good', 'basic.nack', { deliveryTag: 0, multiple: true, requeue: false }, '5'],
    ['nack up to back', 'basic.nack', { deliveryTag: 3, multiple: true, requeue: true }, '1* 2* 3* 4* 5'],
  ])('%s', async (_title, method, args, left) => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 5)
    await take(channel, queue, 4)
    channel.send(method, args)
    await channel.close() // gives the others back
    const next = await channel.connection.openChannel(2)
    await ready(next, queue, left.split(' ').length)
    expect(await rest(next, queue)).toBe(left)
  })

  it.each<[string, 'basic.ack' | 'basic.nack' | 'basic.reject', object, string]>([
    ['one from the middle', 'basic.nack', { deliveryTag: 2, requeue: true }, '2* 5'],
    ['up to one', 'basic.nack', { deliveryTag: 3, multiple: true, requeue: true }, '1* 2* 3* 5'],
    ['all by 0', 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true }, '1* 2* 3* 4* 5'],
    ['one rejected', 'basic.reject', { deliveryTag: 4, requeue: true }, '4* 5'],
  ])('back to its place goes %s', async (_title, method, args, ready) => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 5)
    await take(channel, queue, 4)
    channel.send(method, args)
    await channel.sync(queue)
    expect(await rest(channel, queue)).toBe(ready)
  })

  it('back in any order, out in the old one', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 5)
    await take(channel, queue, 4)
    for (const deliveryTag of [3, 1, 4, 2]) channel.send('basic.nack', { deliveryTag, requeue: true })
    await channel.sync(queue)
    expect(await rest(channel, queue)).toBe('1* 2* 3* 4* 5')
  })

  it('a message of another connection goes back between', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 3, { exclusive: false })
    const other = await broker.channel()
    await take(channel, queue, 1)
    await take(other, queue, 1)
    channel.send('basic.nack', { deliveryTag: 1, requeue: true })
    await channel.sync(queue)
    other.send('basic.nack', { deliveryTag: 1, requeue: true })
    await other.sync(queue)
    expect(await rest(channel, queue)).toBe('1* 2* 3')
  })

  it('rejected to a consumer comes again, and again', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 1)
    await channel.call('basic.consume', { queue })
    for (let deliveryTag = 1; deliveryTag <= 5; deliveryTag++) {
      expect((await channel.message()).args).toMatchObject({ deliveryTag, redelivered: deliveryTag > 1 })
      channel.send('basic.reject', { deliveryTag, requeue: true })
    }
  })

  it('ack 0 multiple with nothing open is no error', async () => {
    const channel = await broker.channel()
    channel.send('basic.ack', { deliveryTag: 0, multiple: true })
    channel.send('basic.nack', { deliveryTag: 0, multiple: true })
    await channel.sync()
  })

  it('multiple covers every queue of the channel, and that channel only', async () => {
    const channel = await broker.channel()
    const [first, second] = [await filled(broker, channel, 1), await filled(broker, channel, 1)]
    const sibling = await channel.connection.openChannel(2)
    const third = await filled(broker, channel, 1)
    await take(channel, first, 1)
    await take(channel, second, 1)
    await take(sibling, third, 1)
    channel.send('basic.ack', { deliveryTag: 2, multiple: true })
    await channel.close()
    await sibling.close()
    const next = await channel.connection.openChannel(3)
    await ready(next, third, 1)
    expect([await rest(next, first), await rest(next, second), await rest(next, third)]).toEqual(['', '', '1*'])
  })

  const unknown = (tag: number) =>
    ({ scope: 'channel', code: 406, text: `PRECONDITION_FAILED - unknown delivery tag ${tag}` }) as const
  const given: Call[] = [
    ['queue.declare', { queue: '$q', exclusive: true }],
    ['basic.publish', { routingKey: '$q' }],
    ['queue.declare', { queue: '$q', passive: true }],
    ['basic.get', { queue: '$q' }],
  ]
  itRefuses(broker, [
    { when: 'ack of a tag never given', does: ['basic.ack', { deliveryTag: 99 }], ...unknown(99) },
    { when: 'nack of a tag never given', does: ['basic.nack', { deliveryTag: 99 }], ...unknown(99) },
    { when: 'reject of a tag never given', does: ['basic.reject', { deliveryTag: 99 }], ...unknown(99) },
    { when: 'ack of tag 0 alone', does: ['basic.ack', { deliveryTag: 0 }], ...unknown(0) },
    { when: 'reject of tag 0', does: ['basic.reject', { deliveryTag: 0 }], ...unknown(0) },
    { when: 'ack multiple with nothing open', does: ['basic.ack', { deliveryTag: 1, multiple: true }], ...unknown(1) },
    {
      when: 'ack multiple beyond the last',
      given,
      does: ['basic.ack', { deliveryTag: 2, multiple: true }],
      ...unknown(2),
    },
    {
      when: 'ack twice',
      given: [...given, ['basic.ack', { deliveryTag: 1 }]],
      does: ['basic.ack', { deliveryTag: 1 }],
      ...unknown(1),
    },
    {
      when: 'ack after reject',
      given: [...given, ['basic.reject', { deliveryTag: 1 }]],
      does: ['basic.ack', { deliveryTag: 1 }],
      ...unknown(1),
    },
    {
      when: 'ack multiple up to one that is settled',
      given: [...given, ['basic.ack', { deliveryTag: 1 }]],
      does: ['basic.ack', { deliveryTag: 1, multiple: true }],
      ...unknown(1),
    },
    {
      when: 'recover without requeue',
      does: ['basic.recover', { requeue: false }],
      scope: 'connection',
      code: 540,
      text: 'NOT_IMPLEMENTED - requeue=false',
    },
    {
      when: 'recover-async without requeue',
      does: ['basic.recover-async', { requeue: false }],
      scope: 'connection',
      code: 540,
      text: 'NOT_IMPLEMENTED - requeue=false',
    },
  ])

  it('a refused ack gives everything open back', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 2)
    await take(channel, queue, 2)
    channel.send('basic.ack', { deliveryTag: 7 })
    await channel.expectClose()
    await channel.call('channel.open')
    await ready(channel, queue, 2)
    expect(await rest(channel, queue)).toBe('1* 2*')
  })

  it('delivery tags start anew with the channel', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 2)
    expect(await take(channel, queue, 1)).toEqual([1])
    await channel.close()
    await channel.call('channel.open')
    await ready(channel, queue, 2)
    expect(await take(channel, queue, 2)).toEqual([1, 2])
  })
})

describe('going back', () => {
  const broker = withBroker()

  it('by recover', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 4)
    await take(channel, queue, 3)
    channel.send('basic.ack', { deliveryTag: 2 })
    await channel.call('basic.recover', { requeue: true })
    expect(await rest(channel, queue)).toBe('1* 3* 4')
  })

  it('by recover-async, which is not answered', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 3)
    await take(channel, queue, 2)
    channel.send('basic.recover-async', { requeue: true })
    await channel.sync(queue)
    expect(await rest(channel, queue)).toBe('1* 2* 3')
  })

  it('by recover to the consumer it came from', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 2)
    await channel.call('basic.consume', { queue })
    await channel.bodies(2)
    await channel.call('basic.recover', { requeue: true })
    const again = [await channel.message(), await channel.message()]
    expect(again.map((message) => [message.body.toString(), message.args.redelivered])).toEqual([
      ['1', true],
      ['2', true],
    ])
  })

  it('when the channel closes', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 3)
    const consumer = await channel.connection.openChannel(2)
    await consumer.call('basic.qos', { prefetchCount: 2 })
    await consumer.call('basic.consume', { queue })
    await consumer.bodies(2)
    await consumer.close()
    await ready(channel, queue, 3)
    expect(await rest(channel, queue)).toBe('1* 2* 3')
  })

  it.each(['closes', 'breaks'])('when the connection %s', async (how) => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 3, { exclusive: false })
    const consumer = await broker.channel()
    await take(consumer, queue, 2)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue })
    expect((await channel.message()).body.toString()).toBe('3')
    if (how === 'closes') await consumer.connection.close()
    else await consumer.connection.destroy()
    channel.send('basic.ack', { deliveryTag: 1 })
    const next = await channel.message()
    expect([next.body.toString(), next.args.redelivered]).toEqual(['1', true])
  })

  it('says redelivered to another consumer too', async () => {
    const channel = await broker.channel()
    const queue = await filled(broker, channel, 1, { exclusive: false })
    await take(channel, queue, 1)
    channel.send('basic.nack', { deliveryTag: 1, requeue: true })
    const other = await broker.channel()
    await channel.sync(queue)
    expect((await other.get(queue))?.args.redelivered).toBe(true)
  })
})
