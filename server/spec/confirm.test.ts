// Publisher confirms: every publish is answered once, in whatever groups, after what it promises.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { itRefuses } from './refusals'
import { withBroker } from './with-broker'

/** Reads acks until all of 1..count are covered; fails on a nack and where one is covered twice. */
async function allConfirmed(channel: RawChannel, count: number): Promise<void> {
  const open = new Set(Array.from({ length: count }, (_value, index) => index + 1))
  while (open.size > 0) {
    const { deliveryTag, multiple } = await channel.expect('basic.ack')
    const covered = multiple ? [...open].filter((tag) => tag <= deliveryTag) : [deliveryTag]
    expect(covered.length).toBeGreaterThan(0)
    for (const tag of covered) expect(open.delete(tag)).toBe(true)
  }
}

describe('confirms', () => {
  const broker = withBroker()

  it.each([
    ['transient to a transient queue', {}, {}],
    ['persistent to a transient queue', {}, { deliveryMode: 2 }],
    ['transient to a durable queue', { durable: true }, {}],
    ['persistent to a durable queue', { durable: true }, { deliveryMode: 2 }],
  ])('cover each publish once: %s', async (_title, args, properties) => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, ...args })
    await channel.call('confirm.select')
    for (let i = 0; i < 500; i++) channel.publishTo(queue, String(i), properties)
    await allConfirmed(channel, 500)
    expect(await channel.call('queue.delete', { queue })).toEqual({ messageCount: 500 })
  })

  it('come for a single persistent message at once', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, durable: true })
    await channel.call('confirm.select')
    for (let tag = 1; tag <= 5; tag++) {
      channel.publishTo(queue, 'alone', { deliveryMode: 2 })
      expect(await channel.expect('basic.ack')).toEqual({ deliveryTag: tag, multiple: false })
    }
  })

  it('come for a message to several queues once', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'fanout')
    for (const durable of [true, false]) {
      const queue = broker.name()
      await channel.call('queue.declare', { queue, durable })
      await channel.call('queue.bind', { queue, exchange })
    }
    await channel.call('confirm.select')
    for (let i = 0; i < 10; i++) channel.publish({ exchange }, 'to both', { deliveryMode: 2 })
    await allConfirmed(channel, 10)
    await channel.sync()
  })

  it('come when a consumer has settled it already', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, durable: true })
    const consumer = await broker.channel()
    await consumer.call('basic.consume', { queue, noAck: true })
    await channel.call('confirm.select')
    for (let i = 0; i < 50; i++) channel.publishTo(queue, String(i), { deliveryMode: 2 })
    await consumer.bodies(50)
    await allConfirmed(channel, 50)
  })

  it('count from the select on', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.publishTo(queue, 'before')
    await channel.call('confirm.select')
    channel.publishTo(queue, 'after')
    expect(await channel.expect('basic.ack')).toEqual({ deliveryTag: 1, multiple: false })
  })

  it('select again changes nothing', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('confirm.select')
    channel.publishTo(queue, '1')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 1 })
    await channel.call('confirm.select')
    channel.publishTo(queue, '2')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 2 })
  })

  it('with no-wait are on without an answer', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.send('confirm.select', { noWait: true })
    channel.publishTo(queue, '1')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 1 })
  })

  it('of a message that is returned come after the return', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('confirm.select')
    channel.publish({ routingKey: 'spec.nobody', mandatory: true }, 'unwanted')
    await channel.message('basic.return')
    await allConfirmed(channel, 1)
    channel.publishTo(queue, 'wanted')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 2 })
  })

  it('do not come for a publish that closes the channel', async () => {
    const channel = await broker.channel()
    await channel.call('confirm.select')
    channel.publish({ exchange: 'spec.nowhere' }, 'refused')
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
  })

  itRefuses(broker, [
    {
      when: 'select on a channel with transactions',
      given: [['tx.select']],
      does: ['confirm.select'],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
    },
    {
      when: 'transactions on a channel with confirms',
      given: [['confirm.select']],
      does: ['tx.select'],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - cannot switch from confirm to tx mode',
    },
  ])
})
