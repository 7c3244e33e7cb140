// Queues with x-single-active-consumer: one consumer at a time, the next in order when it leaves, and what goes with it.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type Call, itRefuses } from './refusals'
import { withAdmin } from './with-admin'
import { type BrokerUnderTest, withBroker } from './with-broker'

const singleActive = { 'x-single-active-consumer': true }

describe('refusals', () => {
  const broker = withBroker()
  const single: Call = ['queue.declare', { queue: '$q', exclusive: true, arguments: singleActive }]
  const invalid = (type: string) =>
    ({
      scope: 'channel',
      code: 406,
      text: `PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for queue '$q' in vhost '/': {unacceptable_type,${type}}`,
    }) as const
  const declare = (value: string | number): Call => [
    'queue.declare',
    { queue: '$q', exclusive: true, arguments: { 'x-single-active-consumer': value } },
  ]

  itRefuses(broker, [
    { when: 'a text for the argument', does: declare('true'), ...invalid('longstr') },
    { when: 'a number for the argument', does: declare(1), ...invalid('signedint') },
    {
      when: 'an exclusive consumer',
      given: [single],
      does: ['basic.consume', { queue: '$q', exclusive: true }],
      scope: 'channel',
      code: 403,
      text: "ACCESS_REFUSED - queue '$q' in vhost '/' in exclusive use",
    },
    {
      when: 'a declare without the argument',
      given: [single],
      does: ['queue.declare', { queue: '$q', exclusive: true }],
      scope: 'channel',
      code: 406,
      text:
        "PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue '$q' in vhost '/': received none but " +
        "current is the value 'true' of type 'bool'",
    },
  ])
})

describe('a single active consumer', () => {
  const broker = withBroker()

  it('gets everything, the others nothing', async () => {
    const { channel, queue } = await consumed(broker, ['a', 'b', 'c'])
    expect(await takers(channel, queue, 20)).toEqual(new Array(20).fill('a'))
  })

  it('is followed by the others in the order in which they came', async () => {
    const { channel, queue } = await consumed(broker, ['c', 'a', 'b'])
    const order: string[] = []
    for (const _ of 'cab') {
      const [active] = await takers(channel, queue, 1)
      order.push(active)
      await channel.call('basic.cancel', { consumerTag: active })
    }
    expect(order).toEqual(['c', 'a', 'b'])
  })

  it('is followed by the highest priority first', async () => {
    const { channel, queue } = await consumed(broker, ['a', 'b', 'c'])
    await channel.call('basic.consume', { queue, consumerTag: 'high', arguments: { 'x-priority': 5 } })
    const order: string[] = []
    for (const _ of 'abcd') {
      const [active] = await takers(channel, queue, 1)
      order.push(active)
      await channel.call('basic.cancel', { consumerTag: active })
    }
    expect(order).toEqual(['a', 'high', 'b', 'c'])
  })

  it('without credit holds the queue up', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel, { arguments: singleActive })
    await channel.call('basic.qos', { prefetchCount: 1 })
    for (const consumerTag of ['a', 'b']) await channel.call('basic.consume', { queue, consumerTag })
    for (const body of ['1', '2', '3']) channel.publishTo(queue, body)
    expect((await channel.message()).args).toMatchObject({ consumerTag: 'a', deliveryTag: 1 })
    await channel.sync(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    expect((await channel.message()).args).toMatchObject({ consumerTag: 'a', deliveryTag: 2 })
    await channel.call('basic.cancel', { consumerTag: 'a' })
    const { args, body } = await channel.message()
    expect({ tag: args.consumerTag, body: body.toString() }).toEqual({ tag: 'b', body: '3' })
  })

  it('of a waiting one that leaves nobody takes notice', async () => {
    const { channel, queue } = await consumed(broker, ['a', 'b', 'c'])
    await channel.call('basic.cancel', { consumerTag: 'b' })
    expect(await takers(channel, queue, 2)).toEqual(['a', 'a'])
    await channel.call('basic.cancel', { consumerTag: 'a' })
    expect(await takers(channel, queue, 2)).toEqual(['c', 'c'])
  })

  it.each<[string, (channel: RawChannel) => Promise<unknown>]>([
    ['channel', (channel) => channel.close()],
    ['connection', (channel) => channel.connection.close()],
  ])('that goes with its %s leaves what it held, in order, to the next', async (_what, end) => {
    const owner = await broker.channel()
    const queue = broker.name()
    await owner.call('queue.declare', { queue, arguments: singleActive })
    const first = await broker.channel()
    await first.call('basic.consume', { queue })
    const second = await broker.channel()
    await second.call('basic.consume', { queue })
    for (const body of ['1', '2', '3']) owner.publishTo(queue, body)
    await first.bodies(3)
    await end(first)
    for (const body of ['1', '2', '3']) {
      const message = await second.message()
      expect({ body: message.body.toString(), again: message.args.redelivered }).toEqual({ body, again: true })
    }
  })

  it('does not keep others from getting', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel, { arguments: singleActive })
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue })
    for (const body of ['1', '2']) channel.publishTo(queue, body)
    await channel.bodies(1)
    expect(await channel.empty(queue)).toEqual(['2'])
  })

  it('is not what false asks for', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel, { arguments: { 'x-single-active-consumer': false } })
    for (const consumerTag of ['a', 'b']) await channel.call('basic.consume', { queue, consumerTag, noAck: true })
    expect((await takers(channel, queue, 2)).sort()).toEqual(['a', 'b'])
  })
})

describe('the admin API', () => {
  const admin = withAdmin()

  it('tells who is active and who waits', async () => {
    const channel = await (await admin.client()).createChannel()
    await channel.assertQueue('single', { arguments: singleActive })
    for (const consumerTag of ['a', 'b']) await channel.consume('single', () => {}, { consumerTag })
    await shows('a', { a: 'single_active', b: 'waiting' })
    await channel.cancel('a')
    await shows('b', { b: 'single_active' })
    await channel.cancel('b')
    await shows(null, {})
  })

  async function shows(tag: string | null, states: Record<string, string>): Promise<void> {
    const queue = await admin.get('/api/queues/%2F/single')
    expect(queue.single_active_consumer_tag).toBe(tag)
    const shown: Record<string, string> = {}
    for (const { consumer_tag, active, activity_status } of queue.consumer_details) {
      shown[consumer_tag] = activity_status
      expect(active).toBe(activity_status === 'single_active')
    }
    expect(shown).toEqual(states)
  }
})

/** A queue with a single active consumer of which there are several, all of one channel. */
async function consumed(broker: BrokerUnderTest, tags: string[]) {
  const channel = await broker.channel()
  const queue = await broker.queue(channel, { arguments: singleActive })
  for (const consumerTag of tags) await channel.call('basic.consume', { queue, consumerTag, noAck: true })
  return { channel, queue }
}

/** Who gets the next messages. */
async function takers(channel: RawChannel, queue: string, count: number): Promise<string[]> {
  for (let i = 0; i < count; i++) channel.publishTo(queue, String(i))
  const tags: string[] = []
  while (tags.length < count) tags.push((await channel.message()).args.consumerTag)
  return tags
}
