// Streams: what is refused in them, where a reader begins, what it gets, filters. Retention and restarts are stream-retention.test.ts.
import { beforeAll, describe, expect, it } from '@jest/globals'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { type Call, itRefuses, type Refusal } from './refusals'
import { declareStream, fill, fromFirst, nextOf, numbered, read, streamType } from './streams'
import { withAdmin } from './with-admin'
import { withBroker } from './with-broker'

const subject = "queue '$q' in vhost '/'"
const declare = (args: FieldTable = {}, flags: FieldTable = {}): Call => [
  'queue.declare',
  { queue: '$q', durable: true, ...flags, arguments: { ...streamType, ...args } },
]
const consume = (args: FieldTable = {}, flags: FieldTable = {}): Call => [
  'basic.consume',
  { queue: '$q', ...flags, arguments: args },
]
const prefetch: Call = ['basic.qos', { prefetchCount: 10 }]
const refused = (text: string) => ({ scope: 'channel', code: 406, text: `PRECONDITION_FAILED - ${text}` }) as const
const impossible = (text: string) => ({ scope: 'connection', code: 540, text: `NOT_IMPLEMENTED - ${text}` }) as const

describe('a declare is refused', () => {
  const broker = withBroker()
  const notOfStreams: [string, FieldValue][] = [
    ['x-message-ttl', 1000],
    ['x-expires', 1000],
    ['x-max-length', 5],
    ['x-max-priority', 3],
    ['x-dead-letter-exchange', 'a'],
    ['x-overflow', 'drop-head'],
    ['x-single-active-consumer', true],
    ['x-delivery-limit', 3],
    ['x-queue-mode', 'lazy'],
    ['x-consumer-timeout', 10_000],
  ]
  const invalid: [string, FieldValue, string][] = [
    ...['3d', '0s', 'x', '1', '1x', '-1s', '', '1.5h', 'D', '1DD', ' 1D'].map((age): [string, FieldValue, string] => {
      return ['x-max-age', age, 'invalid_max_age']
    }),
    ['x-max-age', 500, '{unacceptable_type,signedint}'],
    ['x-max-length-bytes', -1, '{value_negative,-1}'],
    ['x-max-length-bytes', 'a', '"expected integer, got longstr"'],
    ['x-stream-max-segment-size-bytes', -1, '{value_negative,-1}'],
    ['x-stream-max-segment-size-bytes', 'a', '"expected integer, got longstr"'],
    ['x-stream-filter-size-bytes', -1, '{value_negative,-1}'],
    ['x-stream-filter-size-bytes', 'a', '"expected integer, got longstr"'],
  ]
  const filterSizes = [0, 15, 256]
  itRefuses(broker, [
    {
      when: 'transient',
      does: declare({}, { durable: false }),
      ...refused(`invalid property 'non-durable' for ${subject}`),
    },
    {
      when: 'exclusive',
      does: declare({}, { exclusive: true }),
      ...refused(`invalid property 'exclusive-owner' for ${subject}`),
    },
    {
      when: 'auto-delete',
      does: declare({}, { autoDelete: true }),
      ...refused(`invalid property 'auto-delete' for ${subject}`),
    },
    {
      when: 'without a name',
      does: ['queue.declare', { queue: '', durable: true, arguments: streamType }],
      ...refused('Cannot declare a server-named queue for type rabbit_stream_queue'),
    },
    ...notOfStreams.map(([name, value]): Refusal => {
      const text = `invalid arg '${name}' for ${subject} of queue type rabbit_stream_queue`
      return { when: `with ${name}`, does: declare({ [name]: value }), ...refused(text) }
    }),
    ...invalid.map(([name, value, reason]): Refusal => {
      const text = `invalid arg '${name}' for ${subject}: ${reason}`
      return { when: `with ${name} ${JSON.stringify(value)}`, does: declare({ [name]: value }), ...refused(text) }
    }),
    {
      when: 'with too large a segment size',
      does: declare({ 'x-stream-max-segment-size-bytes': 3_000_000_001 }),
      ...refused('Exceeded max value for x-stream-max-segment-size-bytes'),
    },
    ...filterSizes.map((size): Refusal => {
      const text = 'Invalid value for x-stream-filter-size-bytes'
      return {
        when: `with a filter size of ${size}`,
        does: declare({ 'x-stream-filter-size-bytes': size }),
        ...refused(text),
      }
    }),
  ])
})

describe('a second declare is refused', () => {
  const broker = withBroker()
  const given = [declare({ 'x-max-age': '1D', 'x-max-length-bytes': 1_000_000 })]
  const differs = (name: string, difference: string) =>
    refused(`inequivalent arg '${name}' for ${subject}: ${difference}`)
  itRefuses(broker, [
    {
      when: 'of another age',
      given,
      does: declare({ 'x-max-age': '2D', 'x-max-length-bytes': 1_000_000 }),
      ...differs('x-max-age', "received '172800000' but current is '86400000'"),
    },
    {
      when: 'of no age',
      given,
      does: declare({ 'x-max-length-bytes': 1_000_000 }),
      ...differs('x-max-age', "received none but current is the value '86400000' of type 'longstr'"),
    },
    {
      when: 'with a segment size',
      given,
      does: declare({
        'x-max-age': '1D',
        'x-max-length-bytes': 1_000_000,
        'x-stream-max-segment-size-bytes': 1_000_000,
      }),
      ...differs(
        'x-stream-max-segment-size-bytes',
        "received the value '1000000' of type 'signedint' but current is none",
      ),
    },
    {
      when: 'of no stream',
      given: [declare()],
      does: ['queue.declare', { queue: '$q', durable: true }],
      ...differs('x-queue-type', "received 'classic' but current is 'stream'"),
    },
  ])

  it('but not of the same age in other words', async () => {
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name(), { 'x-max-age': '1D' })
    await declareStream(channel, queue, { 'x-max-age': '24h' })
  })
})

describe('what no stream can do', () => {
  const broker = withBroker()
  const offsets: [FieldValue, string][] = [
    ['FIRST', '{longstr,<<"FIRST">>}'],
    ['0s', '{longstr,<<"0s">>}'],
    ['5', '{longstr,<<"5">>}'],
    ['', '{longstr,<<>>}'],
  ]
  itRefuses(broker, [
    {
      when: 'basic.get',
      given: [declare()],
      does: ['basic.get', { queue: '$q' }],
      ...impossible(`basic.get not supported by stream queues ${subject}`),
    },
    {
      when: 'purge',
      given: [declare()],
      does: ['queue.purge', { queue: '$q' }],
      ...impossible(`queue.purge not supported by stream queues ${subject}`),
    },
    {
      when: 'a consumer without prefetch',
      given: [declare()],
      does: consume({}, { noAck: true }),
      ...refused(`consumer prefetch count is not set for stream ${subject}`),
    },
    {
      when: 'a consumer without acknowledgements',
      given: [declare(), prefetch],
      does: consume({}, { noAck: true }),
      ...impossible(`automatic acknowledgement not supported by stream ${subject}`),
    },
    {
      when: 'prefetch of the channel',
      given: [declare(), prefetch, ['basic.qos', { prefetchCount: 10, global: true }]],
      does: consume(),
      ...impossible(`${subject} does not support global qos`),
    },
    {
      when: 'a priority of a consumer',
      given: [declare(), prefetch],
      does: consume({ 'x-priority': 5 }),
      ...refused(`invalid arg 'x-priority' for ${subject} of queue type rabbit_stream_queue`),
    },
    ...offsets.map(([offset, shown]): Refusal => {
      const text = `invalid arg 'x-stream-offset' for ${subject}: {invalid_stream_offset_arg,${shown}}`
      return {
        when: `an offset of ${shown}`,
        given: [declare(), prefetch],
        does: consume({ 'x-stream-offset': offset }),
        ...refused(text),
      }
    }),
  ])
})

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('what RabbitMQ answers with an internal error', () => {
    const broker = withBroker()
    const offsets: [FieldValue, string][] = [
      [1.5, '{double,1.5}'],
      [true, '{bool,true}'],
      [null, '{void,null}'],
    ]
    const filters: FieldValue[] = [[5], []]
    itRefuses(broker, [
      ...offsets.map(([offset, shown]): Refusal => {
        const text = `invalid arg 'x-stream-offset' for ${subject}: {invalid_stream_offset_arg,${shown}}`
        return {
          when: `an offset of ${shown}`,
          given: [declare(), prefetch],
          does: consume({ 'x-stream-offset': offset }),
          ...refused(text),
        }
      }),
      ...filters.map((filter): Refusal => {
        const text = `invalid arg 'x-stream-filter' for ${subject}: "expected strings"`
        return {
          when: `a filter of ${JSON.stringify(filter)}`,
          given: [declare(), prefetch],
          does: consume({ 'x-stream-filter': filter }),
          ...refused(text),
        }
      }),
    ])
  })
}

describe('a reader begins', () => {
  const broker = withBroker()
  const seconds = (value: number) => new Typed('T', Math.floor(Date.now() / 1000) + value)
  const rows: [string, FieldValue | undefined, string[]][] = [
    ['behind all there is where it does not say', undefined, []],
    ['behind all there is', 'next', []],
    ['at the oldest', 'first', numbered(0, 8)],
    ['at the newest', 'last', ['m7@7']],
    ['at an offset', 3, numbered(3, 8)],
    ['at the newest by its offset', new Typed('l', 7), ['m7@7']],
    ['at the offset that comes next', 8, []],
    ['at a time before all', new Typed('T', 0), numbered(0, 8)],
    ['at a time long after all', seconds(1000), []],
    ['an hour ago', '1h', numbered(0, 8)],
  ]
  it.each(rows)('%s', async (_, offset, expected) => {
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name())
    await channel.call('confirm.select')
    for (let i = 0; i < 8; i++) {
      // One by one: RabbitMQ takes for the last all that was written last.
      fill(channel, queue, 1, i)
      await channel.expect('basic.ack')
    }
    const reading = await broker.channel()
    expect(await read(reading, queue, offset === undefined ? {} : { 'x-stream-offset': offset })).toEqual(expected)
  })

  it('so many from the end, as in LavinMQ', async () => {
    if (broker.kind !== 'leveret') return
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name())
    fill(channel, queue, 8)
    expect(await read(channel, queue, { 'x-stream-offset': -3 })).toEqual(numbered(5, 8))
    expect(await read(channel, queue, { 'x-stream-offset': -100 })).toEqual(numbered(0, 8))
  })

  it('at an offset that is far away, once it is there', async () => {
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name())
    await channel.call('basic.qos', { prefetchCount: 10 })
    await channel.call('basic.consume', { queue, arguments: { 'x-stream-offset': 5 } })
    fill(channel, queue, 7)
    expect([await nextOf(channel), await nextOf(channel)]).toEqual(numbered(5, 7))
  })
})

describe('what a reader gets', () => {
  const broker = withBroker()
  const opened = async (args: FieldTable = {}) => {
    const channel = await broker.channel()
    return { channel, queue: await declareStream(channel, broker.name(), args) }
  }

  it('is what was published, and stays', async () => {
    const { channel, queue } = await opened()
    const properties = { contentType: 'text/plain', headers: { a: 1, b: 'two' }, deliveryMode: 1, messageId: 'id' }
    channel.publishTo(queue, 'body', properties)
    channel.publishTo(queue, '', { contentEncoding: 'gzip', deliveryMode: 2, timestamp: 5 })
    channel.publishTo(queue, 'bare', { deliveryMode: 1 })
    await channel.call('basic.qos', { prefetchCount: 10 })
    for (let round = 0; round < 2; round++) {
      const { consumerTag } = await channel.call('basic.consume', { queue, arguments: fromFirst })
      const messages = [await channel.message(), await channel.message(), await channel.message()]
      expect(messages.map(({ properties }) => properties)).toEqual([
        { ...properties, headers: { ...properties.headers, 'x-stream-offset': new Typed('l', 0) } },
        { contentEncoding: 'gzip', deliveryMode: 2, timestamp: 5, headers: { 'x-stream-offset': new Typed('l', 1) } },
        { deliveryMode: 1, headers: { 'x-stream-offset': new Typed('l', 2) } },
      ])
      expect(messages.map(({ body }) => body.toString())).toEqual(['body', '', 'bare'])
      expect(messages.every(({ args }) => !args.redelivered && args.routingKey === queue)).toBe(true)
      await channel.call('basic.cancel', { consumerTag })
    }
  })

  it('keeps no offset that another stream gave', async () => {
    const { channel, queue } = await opened()
    channel.publishTo(queue, 'a', { headers: { 'x-stream-offset': 77, 'x-leveret-time': 5, kept: true } })
    await channel.call('basic.qos', { prefetchCount: 10 })
    await channel.call('basic.consume', { queue, arguments: fromFirst })
    const { properties } = await channel.message()
    if (broker.kind === 'leveret') {
      expect(properties.headers).toEqual({ kept: true, 'x-stream-offset': new Typed('l', 0) })
    }
  })

  it('is all of it, for each', async () => {
    const { channel, queue } = await opened()
    const other = await broker.channel()
    fill(channel, queue, 500)
    const expected = numbered(0, 500)
    expect(await read(channel, queue, fromFirst)).toEqual(expected)
    expect(await read(other, queue, fromFirst)).toEqual(expected)
  })

  it('is as much as its prefetch allows, whatever it answers', async () => {
    const { channel, queue } = await opened()
    fill(channel, queue, 6)
    await channel.call('basic.qos', { prefetchCount: 2 })
    await channel.call('basic.consume', { queue, arguments: fromFirst })
    expect(await channel.bodies(2)).toEqual(['m0', 'm1'])
    await channel.sync()
    channel.send('basic.nack', { deliveryTag: 1, requeue: true })
    expect(await channel.bodies(1)).toEqual(['m2'])
    channel.send('basic.reject', { deliveryTag: 2, requeue: false })
    expect(await channel.bodies(1)).toEqual(['m3'])
    channel.send('basic.ack', { deliveryTag: 4, multiple: true })
    expect(await channel.bodies(2)).toEqual(['m4', 'm5'])
    await channel.sync()
  })

  it('comes through exchanges beside other queues', async () => {
    const { channel, queue } = await opened()
    const [exchange, plain] = [await broker.exchange(channel, 'topic'), await broker.queue(channel)]
    for (const key of ['a.#', '*.b']) await channel.call('queue.bind', { queue, exchange, routingKey: key })
    await channel.call('queue.bind', { queue: plain, exchange, routingKey: '#' })
    for (const key of ['a.b', 'c.b', 'c', 'a', 'a.b']) channel.publish({ exchange, routingKey: key }, key)
    expect(await read(channel, queue, fromFirst)).toEqual(['a.b@0', 'c.b@1', 'a@2', 'a.b@3'])
    expect(await channel.empty(plain)).toEqual(['a.b', 'c.b', 'c', 'a', 'a.b'])
  })

  it('is cancelled when the stream is deleted', async () => {
    const { channel, queue } = await opened()
    fill(channel, queue, 3)
    await channel.call('basic.qos', { prefetchCount: 10 })
    const { consumerTag } = await channel.call('basic.consume', { queue, arguments: fromFirst })
    expect(await channel.bodies(3)).toEqual(['m0', 'm1', 'm2'])
    const other = await broker.channel()
    await other.call('queue.delete', { queue })
    expect(await channel.expect('basic.cancel')).toMatchObject({ consumerTag })
    await declareStream(channel, queue)
    expect(await read(channel, queue, fromFirst)).toEqual([])
  })

  it('is mandatory enough not to be returned', async () => {
    const { channel, queue } = await opened()
    channel.publish({ routingKey: queue, mandatory: true }, 'a')
    expect(await read(channel, queue, fromFirst)).toEqual(['a@0'])
  })
})

describe('a filter passes', () => {
  const broker = withBroker()
  const rows: [string, FieldTable, string[]][] = [
    ['its value', { 'x-stream-filter': 'f1' }, ['m1@1', 'm4@4', 'm7@7']],
    ['any of its values', { 'x-stream-filter': ['f1', 'f2'] }, ['m1@1', 'm2@2', 'm4@4', 'm5@5', 'm7@7']],
    ['nothing else', { 'x-stream-filter': 'none' }, []],
    [
      'messages without a value where they are asked for',
      { 'x-stream-filter': 'f1', 'x-stream-match-unfiltered': true },
      ['m0@0', 'm1@1', 'm3@3', 'm4@4', 'm6@6', 'm7@7'],
    ],
    [
      'no others where that is no truth value',
      { 'x-stream-filter': 'f1', 'x-stream-match-unfiltered': 'true' },
      ['m1@1', 'm4@4', 'm7@7'],
    ],
  ]
  it.each(rows)('%s', async (_, args, expected) => {
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name())
    await channel.call('confirm.select')
    for (let i = 0; i < 8; i++) {
      // One by one: RabbitMQ passes or leaves out what was written together.
      channel.publishTo(queue, `m${i}`, { headers: i % 3 === 0 ? {} : { 'x-stream-filter-value': `f${i % 3}` } })
      await channel.expect('basic.ack')
    }
    const reading = await broker.channel()
    expect(await read(reading, queue, { ...args, ...fromFirst })).toEqual(expected)
  })

  it('what is rare, and nothing else', async () => {
    if (broker.kind !== 'leveret') return // lets through what was written together
    const channel = await broker.channel()
    const queue = await declareStream(channel, broker.name())
    for (let i = 0; i < 12_000; i++) {
      channel.publishTo(queue, `${i}`, { headers: { 'x-stream-filter-value': i % 4000 === 0 ? 'rare' : 'usual' } })
    }
    const found = await read(channel, queue, { 'x-stream-filter': 'rare', ...fromFirst })
    expect(found).toEqual(['0@0', '4000@4000', '8000@8000'])
  })
})

describe('in the admin API a stream', () => {
  const admin = withAdmin()

  const path = '/api/queues/%2F/s'

  beforeAll(async () => {
    await admin.put(path, { durable: true, arguments: streamType })
    for (let i = 0; i < 3; i++) await admin.publish('s', `m${i}`)
  })

  it('is shown with its type and its messages', async () => {
    expect(await admin.get(path)).toMatchObject({
      type: 'stream',
      messages: 3,
      messages_ready: 3,
      messages_unacknowledged: 0,
      message_bytes: 6,
      arguments: streamType,
    })
  })

  it('is not purged, and nothing is taken out of it', async () => {
    const purge = await admin.request('DELETE', `${path}/contents`)
    expect(purge).toMatchObject({ status: 400, json: { reason: expect.stringContaining('queue.purge not supported') } })
    const get = await admin.request('POST', `${path}/get`, { count: 1, ackmode: 'ack_requeue_true', encoding: 'auto' })
    expect(get).toMatchObject({ status: 400, json: { reason: expect.stringContaining('basic.get not supported') } })
  })
})
