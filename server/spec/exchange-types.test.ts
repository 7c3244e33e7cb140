// The exchange types beyond the specification's four: x-consistent-hash, x-modulus-hash, x-random, x-local-random.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldValue, Properties } from '../../protocol'
import { type Call, itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'

const channelError = (text: string) => ({ scope: 'channel', code: 406, text: `PRECONDITION_FAILED - ${text}` }) as const

describe('refusals', () => {
  const broker = withBroker()

  describe('of types', () => {
    itRefuses(broker, [
      ...['', 'DIRECT', 'x-nonsense', 'direct ', 'constructor', '__proto__'].map(
        (type): Refusal => ({
          when: `'${type}'`,
          does: ['exchange.declare', { exchange: '$x', type }],
          ...channelError(`${type === '' ? 'invalid' : 'unknown'} exchange type '${type}'`),
        }),
      ),
    ])
  })

  describe('of x-consistent-hash', () => {
    const declared = (args: Record<string, FieldValue>): Call => [
      'exchange.declare',
      { exchange: '$x', type: 'x-consistent-hash', arguments: args },
    ]
    const weight = (routingKey: string, text: string): Refusal => ({
      when: `the binding key '${routingKey}'`,
      given: [declared({}), ['queue.declare', { queue: '$q', exclusive: true }]],
      does: ['queue.bind', { queue: '$q', exchange: '$x', routingKey }],
      ...channelError(`The binding key must ${text}`),
    })
    itRefuses(broker, [
      weight('', 'be an integer: <<>>'),
      weight('x', 'be an integer: <<"x">>'),
      weight('1.5', 'be an integer: <<"1.5">>'),
      weight(' 1', 'be an integer: <<" 1">>'),
      weight('0', 'be greater than 0'),
      weight('-1', 'be greater than 0'),
      weight('10001', 'not exceed 10000'),
      weight('9'.repeat(255), 'not exceed 10000'),
      {
        when: 'a weight of an exchange binding',
        given: [declared({})],
        does: ['exchange.bind', { source: '$x', destination: 'amq.fanout', routingKey: 'x' }],
        ...channelError('The binding key must be an integer: <<"x">>'),
      },
      {
        when: 'header and property',
        does: declared({ 'hash-header': 'a', 'hash-property': 'message_id' }),
        ...channelError('hash-header and hash-property are mutually exclusive'),
      },
      {
        when: 'a property that there is not',
        does: declared({ 'hash-property': 'toString' }),
        ...channelError('Unsupported property: toString'),
      },
    ])
  })

  describe('of x-local-random', () => {
    const given: Call[] = [
      ['exchange.declare', { exchange: '$x', type: 'x-local-random' }],
      ['queue.declare', { queue: '$q', exclusive: true }],
    ]
    itRefuses(broker, [
      {
        when: 'a binding key',
        given,
        does: ['queue.bind', { queue: '$q', exchange: '$x', routingKey: 'k' }],
        ...channelError("Non empty binding 'k' key not permitted"),
      },
      {
        when: 'a binding to an exchange',
        given,
        does: ['exchange.bind', { source: '$x', destination: 'amq.fanout' }],
        ...channelError('Destination not found'),
      },
    ])
  })
})

describe('what only we refuse', () => {
  const broker = withBroker()
  if (process.env.AMQP_SPEC_URL !== undefined) {
    it.skip('on another broker', () => {})
    return
  }
  const hash = (args: Record<string, FieldValue>): Call => [
    'exchange.declare',
    { exchange: '$x', type: 'x-consistent-hash', arguments: args },
  ]
  const invalidType = (type: string, name: string) =>
    channelError(`invalid type '${type}' for arg '${name}' in exchange '$x' in vhost '/'`)
  itRefuses(broker, [
    { when: 'hash-header', does: hash({ 'hash-header': 5 }), ...invalidType('signedint', 'hash-header') },
    { when: 'hash-property', does: hash({ 'hash-property': null }), ...invalidType('void', 'hash-property') },
    { when: 'x-hash-on', does: hash({ 'x-hash-on': ['a'] }), ...invalidType('array', 'x-hash-on') },
    { when: 'x-algorithm', does: hash({ 'x-algorithm': true }), ...invalidType('bool', 'x-algorithm') },
    {
      when: 'an algorithm that there is not',
      does: hash({ 'x-algorithm': 'md5' }),
      ...channelError("invalid arg 'x-algorithm' for exchange '$x' in vhost '/': \"unsupported algorithm 'md5'\""),
    },
  ])
})

describe('a message', () => {
  const broker = withBroker()

  /** Publishes `count` messages, and says what each of the queues got. */
  async function spread(
    channel: RawChannel,
    exchange: string,
    keys: string[],
    count: number,
    message: (i: number) => { routingKey?: string; properties?: Properties },
  ): Promise<string[][]> {
    const queues = []
    for (const routingKey of keys) {
      const queue = await broker.queue(channel)
      await channel.call('queue.bind', { queue, exchange, routingKey })
      queues.push(queue)
    }
    for (let i = 0; i < count; i++) {
      const { routingKey = '', properties = {} } = message(i)
      channel.publish({ exchange, routingKey, mandatory: true }, String(i), properties)
    }
    await channel.sync(queues[0])
    const got = []
    for (const queue of queues) got.push(await channel.empty(queue))
    expect(got.flat()).toHaveLength(count)
    return got
  }

  it.each<[string, string[]]>([
    ['x-consistent-hash', ['1', '1', '1']],
    ['x-modulus-hash', ['', 'a', 'b']],
  ])('of %s goes to one queue by its routing key', async (type, keys) => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, type)
    const got = await spread(channel, exchange, keys, 400, (i) => ({ routingKey: `k${i % 200}` }))
    for (const numbers of got) {
      expect(numbers.length).toBeGreaterThan(40)
      for (const n of numbers.map(Number)) expect(numbers).toContain(String(n < 200 ? n + 200 : n - 200))
    }
  })

  it.each<[string, Record<string, string>, (n: number) => Properties]>([
    ['a header', { 'hash-header': 'h' }, (n) => ({ headers: { h: `user ${n}` } })],
    ['the message id', { 'hash-property': 'message_id' }, (n) => ({ messageId: `user ${n}` })],
    ['the correlation id', { 'hash-property': 'correlation_id' }, (n) => ({ correlationId: `user ${n}` })],
    ['the timestamp', { 'hash-property': 'timestamp' }, (n) => ({ timestamp: 1_000_000 + n })],
  ])('of x-consistent-hash goes to one queue by %s', async (_title, args, properties) => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'x-consistent-hash', { arguments: args })
    const got = await spread(channel, exchange, ['1', '1'], 400, (i) => ({
      routingKey: `k${i}`,
      properties: properties(i % 200),
    }))
    for (const numbers of got) {
      expect(numbers.length).toBeGreaterThan(60)
      for (const n of numbers.map(Number)) expect(numbers).toContain(String(n < 200 ? n + 200 : n - 200))
    }
  })

  it.each(['x-random', 'x-local-random'])('of %s goes to any one queue', async (type) => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, type)
    const got = await spread(channel, exchange, ['', '', ''], 300, () => ({ routingKey: 'same' }))
    for (const numbers of got) expect(numbers.length).toBeGreaterThan(40)
  })

  it.each(['x-consistent-hash', 'x-modulus-hash', 'x-random', 'x-local-random'])(
    'of %s without bindings is returned',
    async (type) => {
      const channel = await broker.channel()
      const exchange = await broker.exchange(channel, type)
      channel.publish({ exchange, mandatory: true }, 'm')
      await channel.message('basic.return')
    },
  )

  it('of x-consistent-hash goes through bound exchanges', async () => {
    const channel = await broker.channel()
    const source = await broker.exchange(channel, 'x-consistent-hash')
    const queue = await broker.queue(channel)
    for (const routingKey of ['1', '2']) {
      const destination = await broker.exchange(channel, 'fanout')
      await channel.call('exchange.bind', { source, destination, routingKey })
      await channel.call('queue.bind', { queue, exchange: destination })
    }
    for (let i = 0; i < 20; i++) channel.publish({ exchange: source, routingKey: `k${i}` }, String(i))
    await channel.sync(queue)
    expect(await channel.empty(queue)).toHaveLength(20)
  })
})
