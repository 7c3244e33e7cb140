// Consumer priorities: whoever has the highest x-priority is served as long as it can take messages, by turns among equals.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { type Call, itRefuses } from './refusals'
import { type BrokerUnderTest, withBroker } from './with-broker'

describe('refusals', () => {
  const broker = withBroker()
  const wrong: [type: string, value: FieldValue][] = [
    ['longstr', '5'],
    ['bool', true],
    ['double', 1.5],
    ['array', [1]],
    ['table', {}],
  ]
  const queue: Call = ['queue.declare', { queue: '$q', exclusive: true }]

  itRefuses(
    broker,
    wrong.map(([type, value]) => ({
      when: `a priority of type ${type}`,
      given: [queue],
      does: ['basic.consume', { queue: '$q', arguments: { 'x-priority': value } }],
      scope: 'channel',
      code: 406,
      text: `PRECONDITION_FAILED - invalid arg 'x-priority' for queue '$q' in vhost '/': "expected integer, got ${type}"`,
    })),
  )
})

describe('a consumer with a priority', () => {
  const broker = withBroker()

  it('is what the server says it knows', async () => {
    const { capabilities } = (await broker.connect()).serverProperties
    expect(capabilities).toMatchObject({ consumer_priorities: true })
  })

  it.each<[string, FieldValue]>([
    ['an octet', new Typed('b', 7)],
    ['a short', new Typed('s', 300)],
    ['a long', new Typed('l', 2n ** 40n)],
  ])('may give it as %s', async (_type, value) => {
    const { channel, queue } = await consumed(broker, { low: 1, high: value })
    expect(await takers(channel, queue, 3)).toEqual(['high', 'high', 'high'])
  })

  it('is served alone while it has credit, whenever it came', async () => {
    for (const priorities of [
      { low: -1, none: undefined, high: 1 },
      { high: 1, none: undefined, low: -1 },
    ]) {
      const { channel, queue } = await consumed(broker, priorities)
      expect(await takers(channel, queue, 10)).toEqual(new Array(10).fill('high'))
      await channel.call('basic.cancel', { consumerTag: 'high' })
      expect(await takers(channel, queue, 10)).toEqual(new Array(10).fill('none'))
      await channel.call('basic.cancel', { consumerTag: 'none' })
      expect(await takers(channel, queue, 10)).toEqual(new Array(10).fill('low'))
    }
  })

  it('shares with its equals by turns', async () => {
    const { channel, queue } = await consumed(broker, { low: 1, a: 2, b: 2 })
    expect((await takers(channel, queue, 10)).sort()).toEqual([...new Array(5).fill('a'), ...new Array(5).fill('b')])
  })

  it('leaves to lower ones what it has no credit for, and takes over when it has again', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.qos', { prefetchCount: 2 })
    for (const [consumerTag, priority] of [
      ['low', 1],
      ['high', 9],
      ['middle', 5],
    ] as const) {
      await channel.call('basic.consume', { queue, consumerTag, arguments: { 'x-priority': priority } })
    }
    expect(await takers(channel, queue, 5)).toEqual(['high', 'high', 'middle', 'middle', 'low'])
    channel.send('basic.ack', { deliveryTag: 2 })
    expect(await takers(channel, queue, 2)).toEqual(['high', 'low'])
    channel.send('basic.ack', { deliveryTag: 3 })
    channel.send('basic.ack', { deliveryTag: 1 })
    await channel.sync(queue)
    expect((await takers(channel, queue, 2)).sort()).toEqual(['high', 'middle'])
  })

  it('comes late, and gets what waits from then on', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue, consumerTag: 'plain' })
    for (let i = 1; i <= 4; i++) channel.publishTo(queue, String(i))
    expect(await channel.bodies(1)).toEqual(['1'])
    await channel.call('basic.qos', { prefetchCount: 2 })
    await channel.call('basic.consume', { queue, consumerTag: 'high', arguments: { 'x-priority': 1 } })
    expect(await channel.bodies(2)).toEqual(['2', '3'])
    channel.send('basic.ack', { deliveryTag: 1 })
    expect((await channel.message()).args.consumerTag).toBe('plain')
  })

  it('gets all of a backlog that no turn can carry', async () => {
    if (broker.kind !== 'leveret') return // RabbitMQ gives some to lower ones: for flow control the higher one is full
    const publisher = await broker.channel()
    const queue = broker.name()
    await publisher.call('queue.declare', { queue })
    for (let i = 0; i < 300; i++) publisher.publishTo(queue, Buffer.alloc(10_000))
    await publisher.sync(queue)
    const [low, high] = [await broker.channel(), await broker.channel()]
    high.send('basic.consume', { queue, noAck: true, arguments: { 'x-priority': 1 } })
    await high.expect('basic.consume-ok')
    await low.call('basic.consume', { queue, noAck: true })
    expect(await high.bodies(300)).toHaveLength(300)
    await low.sync(queue)
  })

  it('that does not read leaves the rest to lower ones', async () => {
    const publisher = await broker.channel()
    const queue = broker.name()
    await publisher.call('queue.declare', { queue })
    const [low, high] = [await broker.channel(), await broker.channel()]
    await high.call('basic.qos', { prefetchCount: 100 })
    await high.call('basic.consume', { queue, arguments: { 'x-priority': 1 } })
    await low.call('basic.consume', { queue, noAck: true })
    high.connection.pause()
    for (let i = 0; i < 200; i++) publisher.publishTo(queue, Buffer.alloc(200_000))
    for (let i = 0; i < 100; i++) await low.message()
  })
})

/** A queue with consumers of one channel, by tag and priority. */
async function consumed(broker: BrokerUnderTest, priorities: Record<string, FieldValue | undefined>) {
  const channel = await broker.channel()
  const queue = await broker.queue(channel)
  for (const [consumerTag, priority] of Object.entries(priorities)) {
    const args: FieldTable = priority === undefined ? {} : { 'x-priority': priority }
    await channel.call('basic.consume', { queue, consumerTag, noAck: true, arguments: args })
  }
  return { channel, queue }
}

/** Who gets the next messages. */
async function takers(channel: RawChannel, queue: string, count: number): Promise<string[]> {
  for (let i = 0; i < count; i++) channel.publishTo(queue, String(i))
  const tags: string[] = []
  while (tags.length < count) tags.push((await channel.message()).args.consumerTag)
  return tags
}
