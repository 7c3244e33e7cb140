// Exchanges: declare, redeclare, passive, delete, the predeclared ones, internal, auto-delete, bindings between them.
import { describe, expect, it } from '@jest/globals'
import { type Call, itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'

const types = ['direct', 'fanout', 'topic', 'headers']
const predeclared = [
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  ['amq.topic', 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
]
const inequivalent = (what: string) =>
  `PRECONDITION_FAILED - inequivalent arg '${what}' for exchange '$x' in vhost '/': `
const missing = { scope: 'channel', code: 404, text: "NOT_FOUND - no exchange '$x' in vhost '/'" } as const
const onDefault = {
  scope: 'channel',
  code: 403,
  text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
} as const

describe('refusals', () => {
  const broker = withBroker()

  describe('of an exchange that is not there', () => {
    itRefuses(broker, [
      { when: 'declared passively', does: ['exchange.declare', { exchange: '$x', passive: true }], ...missing },
      { when: 'bound from', does: ['exchange.bind', { source: '$x', destination: 'amq.fanout' }], ...missing },
      { when: 'bound to', does: ['exchange.bind', { source: 'amq.fanout', destination: '$x' }], ...missing },
      { when: 'published to', does: ['basic.publish', { exchange: '$x' }], ...missing },
    ])
  })

  describe('of a declaration that differs', () => {
    const given = (args: object) => [['exchange.declare', { exchange: '$x', type: 'direct', ...args }]] as Call[]
    const differs = { scope: 'channel', code: 406 } as const
    itRefuses(broker, [
      {
        when: 'type',
        given: given({}),
        does: ['exchange.declare', { exchange: '$x', type: 'fanout' }],
        ...differs,
        text: `${inequivalent('type')}received 'fanout' but current is 'direct'`,
      },
      {
        when: 'durable',
        given: given({ durable: true }),
        does: ['exchange.declare', { exchange: '$x', type: 'direct' }],
        ...differs,
        text: `${inequivalent('durable')}received 'false' but current is 'true'`,
      },
      {
        when: 'auto-delete',
        given: given({ autoDelete: true }),
        does: ['exchange.declare', { exchange: '$x', type: 'direct' }],
        ...differs,
        text: `${inequivalent('auto_delete')}received 'false' but current is 'true'`,
      },
      {
        when: 'internal',
        given: given({ internal: true }),
        does: ['exchange.declare', { exchange: '$x', type: 'direct' }],
        ...differs,
        text: `${inequivalent('internal')}received 'false' but current is 'true'`,
      },
      {
        when: 'everything: the type is named first',
        given: given({ durable: true, autoDelete: true }),
        does: ['exchange.declare', { exchange: '$x', type: 'topic' }],
        ...differs,
        text: `${inequivalent('type')}received 'topic' but current is 'direct'`,
      },
      {
        when: 'the alternate exchange is missing now',
        given: given({ arguments: { 'alternate-exchange': 'a' } }),
        does: ['exchange.declare', { exchange: '$x', type: 'direct' }],
        ...differs,
        text: `${inequivalent('alternate-exchange')}received none but current is the value 'a' of type 'longstr'`,
      },
    ])
  })

  describe('of types and names', () => {
    const unknownType = {
      scope: { rabbitmq3: 'connection', rabbitmq4: 'channel' },
      code: { rabbitmq3: 503, rabbitmq4: 406 },
      text: {
        rabbitmq3: "COMMAND_INVALID - unknown exchange type 'nonsense'",
        rabbitmq4: "PRECONDITION_FAILED - unknown exchange type 'nonsense'",
      },
    } as const
    itRefuses(broker, [
      { when: 'an unknown type', does: ['exchange.declare', { exchange: '$x', type: 'nonsense' }], ...unknownType },
      {
        when: 'an unknown type for one that is there',
        given: [['exchange.declare', { exchange: '$x', type: 'direct' }]],
        does: ['exchange.declare', { exchange: '$x', type: 'nonsense' }],
        ...unknownType,
      },
      {
        when: 'a reserved name',
        does: ['exchange.declare', { exchange: 'amq.mine', type: 'direct' }],
        scope: 'channel',
        code: 403,
        text: "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
      },
      {
        when: 'a reserved name declared passively',
        does: ['exchange.declare', { exchange: 'amq.mine', passive: true }],
        scope: 'channel',
        code: 404,
        text: "NOT_FOUND - no exchange 'amq.mine' in vhost '/'",
      },
      {
        when: 'a predeclared one with another type',
        does: ['exchange.declare', { exchange: 'amq.direct', type: 'fanout', durable: true }],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'",
      },
    ])
  })

  describe('of the default exchange', () => {
    itRefuses(broker, [
      { when: 'declared', does: ['exchange.declare', { exchange: '', type: 'direct', durable: true }], ...onDefault },
      { when: 'declared passively', does: ['exchange.declare', { exchange: '', passive: true }], ...onDefault },
      { when: 'deleted', does: ['exchange.delete', { exchange: '' }], ...onDefault },
      { when: 'bound from', does: ['exchange.bind', { source: '', destination: 'amq.fanout' }], ...onDefault },
      { when: 'bound to', does: ['exchange.bind', { source: 'amq.fanout', destination: '' }], ...onDefault },
      { when: 'unbound from', does: ['exchange.unbind', { source: '', destination: 'amq.fanout' }], ...onDefault },
    ])
  })

  describe('of deletes', () => {
    itRefuses(broker, [
      {
        when: 'if-unused and a binding is there',
        given: [
          ['exchange.declare', { exchange: '$x', type: 'direct' }],
          ['queue.declare', { queue: '$q', exclusive: true }],
          ['queue.bind', { queue: '$q', exchange: '$x' }],
        ],
        does: ['exchange.delete', { exchange: '$x', ifUnused: true }],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - exchange '$x' in vhost '/' in use",
      },
      ...predeclared.map(
        ([exchange]): Refusal => ({
          when: `${exchange} deleted`,
          does: ['exchange.delete', { exchange }],
          scope: 'channel',
          code: 403,
          text: `ACCESS_REFUSED - deletion of system exchange '${exchange}' in vhost '/' not allowed`,
        }),
      ),
    ])
  })

  describe('of an internal exchange', () => {
    itRefuses(broker, [
      {
        when: 'published to',
        given: [['exchange.declare', { exchange: '$x', type: 'fanout', internal: true }]],
        does: ['basic.publish', { exchange: '$x' }],
        scope: 'channel',
        code: 403,
        text: "ACCESS_REFUSED - cannot publish to internal exchange '$x' in vhost '/'",
      },
    ])
  })
})

describe('declaring', () => {
  const broker = withBroker()

  it.each(types)('a %s exchange, and the same again', async (type) => {
    const channel = await broker.channel()
    const exchange = broker.name('x')
    for (const _again of [1, 2]) await channel.call('exchange.declare', { exchange, type, durable: true })
    await channel.call('exchange.declare', { exchange, passive: true })
  })

  it.each(predeclared)('%s is there, durable, of type %s', async (exchange, type) => {
    const channel = await broker.channel()
    await channel.call('exchange.declare', { exchange, passive: true })
    await channel.call('exchange.declare', { exchange, type, durable: true })
  })

  it('passively looks at the name alone', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'topic', { durable: true })
    await channel.call('exchange.declare', { exchange, type: 'fanout', passive: true })
    await channel.call('exchange.declare', { exchange, type: 'nonsense', passive: true })
  })

  it('ignores unknown arguments when it compares', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'topic', { arguments: { 'x-whatever': 1 } })
    await channel.call('exchange.declare', { exchange, type: 'topic' })
  })

  it('and deleting with no-wait are not answered, and done', async () => {
    const channel = await broker.channel()
    const exchange = broker.name('x')
    channel.send('exchange.declare', { exchange, type: 'direct', noWait: true })
    await channel.call('exchange.declare', { exchange, passive: true })
    channel.send('exchange.delete', { exchange, noWait: true })
    channel.send('exchange.declare', { exchange, passive: true })
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
  })
})

describe('deleting', () => {
  const broker = withBroker()

  it('one that is not there is no error', async () => {
    const channel = await broker.channel()
    await channel.call('exchange.delete', { exchange: broker.name('x') })
  })

  it('if-unused counts bindings from it, not to it', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout')
    const destination = await broker.exchange(channel, 'fanout')
    await channel.call('exchange.bind', { source, destination })
    await channel.call('exchange.delete', { exchange: destination, ifUnused: true })
    await channel.call('exchange.delete', { exchange: source, ifUnused: true })
  })
})

describe('an auto-delete exchange', () => {
  const broker = withBroker()
  const gone = async (exchange: string) => {
    const channel = await broker.channel()
    channel.send('exchange.declare', { exchange, passive: true })
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
  }

  it('stays while nothing was ever bound, and goes with its last binding', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'direct', { autoDelete: true })
    const queue = await broker.queue(channel)
    await channel.call('exchange.declare', { exchange, passive: true })
    await channel.call('queue.bind', { queue, exchange, routingKey: 'a' })
    await channel.call('queue.bind', { queue, exchange, routingKey: 'b' })
    await channel.call('queue.unbind', { queue, exchange, routingKey: 'a' })
    await channel.call('exchange.declare', { exchange, passive: true })
    await channel.call('queue.unbind', { queue, exchange, routingKey: 'b' })
    await gone(exchange)
  })

  it('goes with its last queue', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'direct', { autoDelete: true })
    const queue = await broker.queue(channel)
    await channel.call('queue.bind', { queue, exchange })
    await channel.call('queue.delete', { queue })
    await gone(exchange)
  })

  it('takes the one before it along', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout', { autoDelete: true })
    const destination = await broker.exchange(channel, 'fanout', { autoDelete: true })
    const queue = await broker.queue(channel)
    await channel.call('exchange.bind', { source, destination })
    await channel.call('queue.bind', { queue, exchange: destination })
    await channel.call('queue.delete', { queue })
    await gone(destination)
    await gone(source)
  })
})

describe('bindings between exchanges', () => {
  const broker = withBroker()

  it('route by the key of each hop', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'topic')
    const destination = await broker.exchange(channel, 'direct')
    const queue = await broker.queue(channel)
    await channel.call('exchange.bind', { source, destination, routingKey: 'a.#' })
    await channel.call('queue.bind', { queue, exchange: destination, routingKey: 'a.b' })
    for (const routingKey of ['a.b', 'a.c', 'b']) channel.publish({ exchange: source, routingKey }, routingKey)
    await channel.sync(queue)
    const message = await channel.get(queue, { noAck: true })
    expect(message?.args).toMatchObject({ exchange: source, routingKey: 'a.b', messageCount: 0 })
  })

  it('reach through an internal exchange', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout')
    const destination = await broker.exchange(channel, 'fanout', { internal: true })
    const queue = await broker.queue(channel)
    await channel.call('exchange.bind', { source, destination })
    await channel.call('queue.bind', { queue, exchange: destination })
    channel.publish({ exchange: source }, 'through')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['through'])
  })

  it('in a circle, and by two ways, bring one copy', async () => {
    const channel = await broker.channel()
    const [a, b] = [await broker.exchange(channel, 'fanout'), await broker.exchange(channel, 'fanout')]
    const queue = await broker.queue(channel)
    await channel.call('exchange.bind', { source: a, destination: b })
    await channel.call('exchange.bind', { source: b, destination: a })
    await channel.call('exchange.bind', { source: a, destination: a })
    await channel.call('queue.bind', { queue, exchange: a })
    await channel.call('queue.bind', { queue, exchange: b })
    channel.publish({ exchange: a }, 'from a')
    channel.publish({ exchange: b }, 'from b')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['from a', 'from b'])
  })

  it('can be taken back', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout')
    const destination = await broker.exchange(channel, 'fanout')
    const queue = await broker.queue(channel)
    await channel.call('queue.bind', { queue, exchange: destination })
    await channel.call('exchange.bind', { source, destination, routingKey: 'k' })
    await channel.call('exchange.unbind', { source, destination, routingKey: 'other' })
    channel.publish({ exchange: source }, 'bound')
    await channel.call('exchange.unbind', { source, destination, routingKey: 'k' })
    channel.publish({ exchange: source }, 'not bound')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['bound'])
  })

  it.each([
    ['what was never bound', { source: 'amq.direct', destination: 'amq.fanout', routingKey: 'never' }],
    ['where the source is not there', { source: 'spec.nowhere', destination: 'amq.fanout' }],
    ['where the destination is not there', { source: 'amq.fanout', destination: 'spec.nowhere' }],
  ])('unbinding %s is no error', async (_title, args) => {
    const channel = await broker.channel()
    await channel.call('exchange.unbind', args)
  })

  it('go with either end', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout')
    const destination = await broker.exchange(channel, 'fanout')
    const queue = await broker.queue(channel)
    await channel.call('exchange.bind', { source, destination })
    await channel.call('exchange.delete', { exchange: destination })
    await channel.call('exchange.declare', { exchange: destination, type: 'fanout' })
    await channel.call('queue.bind', { queue, exchange: destination })
    channel.publish({ exchange: source, mandatory: true }, 'nowhere to go')
    await channel.message('basic.return')
  })

  it('with no-wait are not answered, and done', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'fanout')
    const destination = await broker.exchange(channel, 'fanout')
    const queue = await broker.queue(channel)
    channel.send('exchange.bind', { source, destination, noWait: true })
    channel.send('queue.bind', { queue, exchange: destination, noWait: true })
    channel.publish({ exchange: source }, 'bound')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['bound'])
    channel.send('exchange.unbind', { source, destination, noWait: true })
    channel.publish({ exchange: source, mandatory: true }, 'not bound')
    await channel.message('basic.return')
  })
})
