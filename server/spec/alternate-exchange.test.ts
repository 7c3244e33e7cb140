// Alternate exchanges: where messages go that no binding takes, and what a declare with one refuses.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldValue } from '../../protocol'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'

const wrongTypes: [FieldValue, string][] = [
  [5, 'signedint'],
  [true, 'bool'],
  [null, 'void'],
  [['a'], 'array'],
  [{ a: 1 }, 'table'],
]

describe('refusals', () => {
  const broker = withBroker()
  itRefuses(broker, [
    ...wrongTypes.map(
      ([value, type]): Refusal => ({
        when: `the argument is of type ${type}`,
        does: ['exchange.declare', { exchange: '$x', type: 'direct', arguments: { 'alternate-exchange': value } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid type '${type}' for arg 'alternate-exchange' in exchange '$x' in vhost '/'`,
      }),
    ),
    {
      when: 'declared again with another one',
      given: [['exchange.declare', { exchange: '$x', type: 'direct', arguments: { 'alternate-exchange': 'a' } }]],
      does: ['exchange.declare', { exchange: '$x', type: 'direct', arguments: { 'alternate-exchange': 'b' } }],
      scope: 'channel',
      code: 406,
      text: "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '$x' in vhost '/': received 'b' but current is 'a'",
    },
  ])
})

describe('a message that no binding takes', () => {
  const broker = withBroker()

  async function withAlternate(channel: RawChannel, type: string, alternate: string, name = 'alternate-exchange') {
    return await broker.exchange(channel, type, { arguments: { [name]: alternate } })
  }

  async function sink(channel: RawChannel) {
    const exchange = await broker.exchange(channel, 'fanout')
    const queue = await broker.queue(channel)
    await channel.call('queue.bind', { queue, exchange })
    return { exchange, queue }
  }

  it.each(['direct', 'fanout', 'topic', 'headers'])('of a %s exchange goes to the alternate exchange', async (type) => {
    const channel = await broker.channel()
    const { exchange: alternate, queue } = await sink(channel)
    const exchange = await withAlternate(channel, type, alternate)
    const bound = await broker.queue(channel)
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'not bound')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['not bound'])
    await channel.call('queue.bind', { queue: bound, exchange, routingKey: 'k' })
    channel.publish({ exchange, routingKey: 'k' }, 'bound')
    await channel.sync(bound)
    expect(await channel.empty(bound)).toEqual(['bound'])
    expect(await channel.empty(queue)).toEqual([])
  })

  it('keeps exchange and routing key of its publish', async () => {
    const channel = await broker.channel()
    const { exchange: alternate, queue } = await sink(channel)
    const exchange = await withAlternate(channel, 'direct', alternate)
    channel.publish({ exchange, routingKey: 'k' }, 'm')
    await channel.sync(queue)
    expect((await channel.get(queue, { noAck: true }))?.args).toMatchObject({ exchange, routingKey: 'k' })
  })

  it('goes on along a chain', async () => {
    const channel = await broker.channel()
    const { exchange: last, queue } = await sink(channel)
    const middle = await withAlternate(channel, 'topic', last)
    const exchange = await withAlternate(channel, 'direct', middle)
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'm')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })

  it('is returned if mandatory where the chain ends without a queue, a circle included', async () => {
    const channel = await broker.channel()
    const [a, b] = [broker.name('a'), broker.name('b')]
    for (const [exchange, alternate] of [
      [a, b],
      [b, a],
    ]) {
      await channel.call('exchange.declare', {
        exchange,
        type: 'direct',
        arguments: { 'alternate-exchange': alternate },
      })
    }
    const itself = broker.name('itself')
    await channel.call('exchange.declare', {
      exchange: itself,
      type: 'direct',
      arguments: { 'alternate-exchange': itself },
    })
    const nowhere = await withAlternate(channel, 'direct', broker.name('nowhere'))
    // The default exchange has no bindings to follow, as in RabbitMQ 4.
    const toDefault = await withAlternate(channel, 'direct', '')
    const queue = await broker.queue(channel)
    for (const exchange of [a, itself, nowhere, toDefault]) {
      channel.publish({ exchange, routingKey: queue, mandatory: true }, 'm')
      expect((await channel.message('basic.return')).args).toMatchObject({ replyCode: 312, exchange })
    }
  })

  it('reaches an alternate exchange that came later', async () => {
    const channel = await broker.channel()
    const alternate = broker.name('later')
    const exchange = await withAlternate(channel, 'direct', alternate)
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'too early')
    await channel.message('basic.return')
    const queue = await broker.queue(channel)
    await channel.call('exchange.declare', { exchange: alternate, type: 'fanout' })
    await channel.call('queue.bind', { queue, exchange: alternate })
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'm')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })

  it('counts as taken by a binding to an exchange that leads nowhere', async () => {
    const channel = await broker.channel()
    const { exchange: alternate, queue } = await sink(channel)
    const source = await withAlternate(channel, 'fanout', alternate)
    const destination = await broker.exchange(channel, 'fanout')
    await channel.call('exchange.bind', { source, destination })
    channel.publish({ exchange: source, mandatory: true }, 'm')
    await channel.message('basic.return')
    expect(await channel.empty(queue)).toEqual([])
  })

  it('reaches an internal alternate exchange, and that of an exchange behind a binding', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const alternate = await broker.exchange(channel, 'fanout', { internal: true })
    await channel.call('queue.bind', { queue, exchange: alternate })
    const destination = await withAlternate(channel, 'direct', alternate)
    await channel.call('exchange.bind', { source: 'amq.fanout', destination, routingKey: queue })
    channel.publish({ exchange: 'amq.fanout', routingKey: queue }, 'm')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })
})

describe('the argument x-alternate-exchange', () => {
  const broker = withBroker()

  it('means the same', async () => {
    const channel = await broker.channel()
    if (broker.kind !== 'leveret') return
    const queue = await broker.queue(channel)
    const exchange = await broker.exchange(channel, 'direct', { arguments: { 'x-alternate-exchange': 'amq.fanout' } })
    await channel.call('queue.bind', { queue, exchange: 'amq.fanout' })
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'm')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })
})
