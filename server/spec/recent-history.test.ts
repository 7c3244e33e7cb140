// x-recent-history: a fanout that gives each new binding the last messages.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type FieldValue, Typed } from '../../protocol'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const LENGTH = 'x-recent-history-length'
const type = 'x-recent-history'

describe('refusals', () => {
  const broker = withBroker()
  const lengths: [FieldValue, string][] = [
    [0, '0'],
    [-1, '-1'],
    [1.5, '1.5'],
    ['a', '<<"a">>'],
    ['', '<<>>'],
    [null, 'undefined'],
    [true, 'true'],
  ]
  itRefuses(
    broker,
    lengths.map(
      ([value, shown]): Refusal => ({
        when: `a length of ${shown}`,
        does: ['exchange.declare', { exchange: '$x', type, arguments: { [LENGTH]: value } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - Invalid argument ${shown}, '${LENGTH}' must be a positive integer`,
      }),
    ),
  )
})

describe('what only we refuse', () => {
  const broker = withBroker()
  if (process.env.AMQP_SPEC_URL !== undefined) {
    it.skip('on another broker', () => {})
    return
  }
  itRefuses(broker, [
    {
      when: 'a history that is to delay messages as well',
      does: ['exchange.declare', { exchange: '$x', type, arguments: { 'x-delayed-exchange': true } }],
      scope: 'channel',
      code: 406,
      text: "PRECONDITION_FAILED - Invalid argument, 'x-delayed-exchange' can't be used for 'x-recent-history'",
    },
  ])
})

describe('a new binding', () => {
  const broker = withBroker()

  async function published(channel: RawChannel, length: FieldValue | undefined, count: number): Promise<string> {
    const exchange = await broker.exchange(channel, type, {
      arguments: length === undefined ? {} : { [LENGTH]: length },
    })
    for (let i = 0; i < count; i++) channel.publish({ exchange, routingKey: `k${i}` }, String(i), { messageId: `${i}` })
    await channel.sync()
    return exchange
  }

  async function boundQueue(channel: RawChannel, exchange: string, routingKey = '') {
    const queue = await broker.queue(channel)
    await channel.call('queue.bind', { queue, exchange, routingKey })
    return queue
  }

  it('of a queue brings the last messages, oldest first, as they were published', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 3, 5)
    const queue = await boundQueue(channel, exchange, 'whatever')
    for (const i of [2, 3, 4]) {
      const message = await channel.get(queue, { noAck: true })
      expect(message?.args).toMatchObject({ exchange, routingKey: `k${i}`, redelivered: false })
      expect(message?.properties).toEqual({ messageId: `${i}` })
      expect(message?.body.toString()).toBe(`${i}`)
    }
    expect(await channel.empty(queue)).toEqual([])
  })

  it('brings 20 where no length is given, and all there are where there are fewer', async () => {
    const channel = await broker.channel()
    expect(await channel.empty(await boundQueue(channel, await published(channel, undefined, 25)))).toHaveLength(20)
    expect(await channel.empty(await boundQueue(channel, await published(channel, 3_000_000_000, 2)))).toEqual([
      '0',
      '1',
    ])
    expect(await channel.empty(await boundQueue(channel, await published(channel, new Typed('b', 1), 2)))).toEqual([
      '1',
    ])
  })

  it('again brings nothing, with another key everything', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 2, 2)
    const queue = await boundQueue(channel, exchange)
    expect(await channel.empty(queue)).toHaveLength(2)
    await channel.call('queue.bind', { queue, exchange })
    expect(await channel.empty(queue)).toEqual([])
    await channel.call('queue.bind', { queue, exchange, routingKey: 'other' })
    expect(await channel.empty(queue)).toHaveLength(2)
  })

  it('does not bring what was not to be stored', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 5, 0)
    for (const value of [true, false, 1, 'true', null]) {
      const headers = { 'x-recent-history-no-store': value }
      channel.publish({ exchange }, JSON.stringify(value), { headers })
    }
    await channel.sync()
    expect(await channel.empty(await boundQueue(channel, exchange))).toEqual(['false', '1', '"true"', 'null'])
  })

  it('of an exchange routes them through it', async () => {
    if (broker.kind !== 'leveret') return // 541 there
    const channel = await broker.channel()
    const source = await published(channel, 3, 3)
    const destination = await broker.exchange(channel, 'direct')
    const queue = await boundQueue(channel, destination, 'k1')
    await channel.call('exchange.bind', { source, destination })
    expect(await channel.empty(queue)).toEqual(['1'])
  })

  it('is followed by what comes after', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 2, 3)
    const queue = await boundQueue(channel, exchange)
    channel.publish({ exchange }, 'new')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['1', '2', 'new'])
  })

  it('keeps its messages though those of the exchange are pushed out', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 2, 2)
    const queue = await boundQueue(channel, exchange)
    await channel.call('queue.unbind', { queue, exchange })
    for (let i = 0; i < 10; i++) channel.publish({ exchange }, 'new')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['0', '1'])
  })

  it('a mandatory message without a queue is returned, and kept', async () => {
    const channel = await broker.channel()
    const exchange = await published(channel, 2, 0)
    channel.publish({ exchange, mandatory: true }, 'm')
    await channel.message('basic.return')
    expect(await channel.empty(await boundQueue(channel, exchange))).toEqual(['m'])
  })
})

describe('what is kept', () => {
  const on = withRestarts()
  const persistent = { deliveryMode: 2 }

  /** The bodies that a new binding brings; they may have to be read from disk first. */
  async function replayed(exchange: string, count: number): Promise<string[]> {
    const { queue } = await on.channel.call('queue.declare', { exclusive: true })
    await on.channel.call('queue.bind', { queue, exchange })
    const { consumerTag } = await on.channel.call('basic.consume', { queue, noAck: true })
    const bodies = await on.channel.bodies(count)
    await on.channel.call('basic.cancel', { consumerTag })
    await on.channel.call('queue.delete', { queue })
    return bodies
  }

  it.each(['restart', 'crash'] as const)('by a durable exchange of persistent messages outlives a %s', async (how) => {
    const exchange = 'kept'
    await on.channel.call('exchange.declare', { exchange, type, durable: true, arguments: { [LENGTH]: 3 } })
    for (let i = 0; i < 5; i++) await on.publish({ exchange }, `${i}`, persistent)
    await on[how]()
    expect(await replayed(exchange, 3)).toEqual(['2', '3', '4'])
    await on.publish({ exchange }, '5', persistent)
    await on[how]()
    expect(await replayed(exchange, 3)).toEqual(['3', '4', '5'])
    await on.channel.call('exchange.delete', { exchange })
    await on.channel.call('exchange.declare', { exchange, type, durable: true })
    expect(await replayed(exchange, 0)).toEqual([])
    await on[how]()
    expect(await replayed(exchange, 0)).toEqual([])
  })

  it('of transient messages, and by a transient exchange, does not', async () => {
    await on.channel.call('exchange.declare', { exchange: 'durable', type, durable: true })
    await on.channel.call('exchange.declare', { exchange: 'transient', type })
    await on.publish({ exchange: 'durable' }, 'transient')
    await on.publish({ exchange: 'durable' }, 'persistent', persistent)
    await on.publish({ exchange: 'transient' }, 'persistent', persistent)
    expect(await replayed('durable', 2)).toEqual(['transient', 'persistent'])
    await on.restart()
    expect(await replayed('durable', 1)).toEqual(['persistent'])
    await on.channel.call('exchange.declare', { exchange: 'transient', type })
    expect(await replayed('transient', 0)).toEqual([])
  })

  it('is no queue that a client sees, and its name cannot be had', async () => {
    await on.channel.call('exchange.declare', { exchange: 'kept', type, durable: true })
    on.channel.send('queue.declare', { queue: 'amq.shelf.kept', passive: true })
    expect(await on.channel.expectClose()).toMatchObject({ code: 404 })
    await on.channel.call('channel.open')
    on.channel.send('queue.declare', { queue: 'amq.shelf.kept', durable: true })
    expect(await on.channel.expectClose()).toMatchObject({ code: 403 })
    await on.channel.call('channel.open')
  })
})
