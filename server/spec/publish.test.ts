// Publishing: where each exchange type sends a message, what comes back when nowhere, bodies of every size, properties
// untouched on their way.
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { FieldTable } from '../../protocol'
import { itRefuses } from './refusals'
import { withBroker } from './with-broker'

describe('routing', () => {
  const broker = withBroker()

  /** Publishes with each key to one queue bound with `bindings`; the keys that arrive. */
  async function arriving(
    type: string,
    bindings: object[],
    publishes: { routingKey?: string; headers?: FieldTable }[],
  ) {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, type)
    const queue = await broker.queue(channel)
    for (const binding of bindings) await channel.call('queue.bind', { queue, exchange, ...binding })
    for (const [index, { routingKey = '', headers = {} }] of publishes.entries()) {
      channel.publish({ exchange, routingKey }, String(index), { headers })
    }
    await channel.sync(queue)
    return (await channel.empty(queue)).map(Number)
  }

  it.each<[string, string[], string[], string[]]>([
    ['the same key', ['a'], ['a', 'b', 'A', '', 'a.b', 'aa'], ['a']],
    ['the empty key', [''], ['', 'a'], ['']],
    ['wildcards mean nothing', ['a.*', '#'], ['a.b', 'a.*', '#'], ['a.*', '#']],
    ['several keys', ['a', 'b'], ['a', 'b', 'c'], ['a', 'b']],
    ['keys outside ASCII', ['é'], ['é', 'e'], ['é']],
  ])('direct: %s', async (_title, keys, published, expected) => {
    const indexes = await arriving(
      'direct',
      keys.map((routingKey) => ({ routingKey })),
      published.map((routingKey) => ({ routingKey })),
    )
    expect(indexes.map((index) => published[index])).toEqual(expected)
  })

  it('fanout: whatever the key', async () => {
    expect(await arriving('fanout', [{ routingKey: 'a' }], [{ routingKey: 'a' }, { routingKey: 'b' }, {}])).toEqual([
      0, 1, 2,
    ])
  })

  it.each<[string, string[], string[]]>([
    ['a', ['a'], ['A', 'a.a', '', 'b', 'a.']],
    ['', [''], ['a', '.']],
    ['*', ['a', 'b'], ['a.b', '', '.']],
    ['#', ['', 'a', 'a.b', '.', '..', 'a..b'], []],
    ['*.*', ['a.b', '.', 'a.', '.b'], ['a', 'a.b.c', '..']],
    ['a.*', ['a.b', 'a.'], ['a', 'a.b.c', 'b.a']],
    ['*.a', ['b.a', '.a'], ['a', 'c.b.a', 'a.b']],
    ['a.#', ['a', 'a.b', 'a.b.c', 'a.'], ['b', 'b.a', '']],
    ['#.a', ['a', 'b.a', 'c.b.a', '.a'], ['b', 'a.b', '']],
    ['a.#.b', ['a.b', 'a.x.b', 'a.x.y.b', 'a..b', 'a.b.b'], ['a', 'b', 'a.x', 'a.b.c']],
    ['#.a.#', ['a', 'x.a', 'a.x', 'x.a.y', 'a.a', 'x.y.a.z.w'], ['', 'b', 'x.y', 'ab']],
    ['*.#', ['a', 'a.b', 'a.b.c', '.'], ['']],
    ['#.*', ['a', 'a.b', 'a.b.c'], ['']],
    ['#.#', ['', 'a', 'a.b'], []],
    ['*.#.*', ['a.b', 'a.x.b'], ['a', '']],
    ['a.*.c', ['a.b.c', 'a..c'], ['a.c', 'a.b.b.c']],
    ['a.*.#', ['a.b', 'a.b.c'], ['a', 'b.a']],
    ['a*', ['a*'], ['ab', 'a']],
    ['a#.b', ['a#.b'], ['a.b', 'ax.b']],
    ['a.b', ['a.b'], ['a.*', 'a.#', 'a']],
  ])('topic: %s', async (pattern, matching, others) => {
    const keys = [...matching, ...others]
    const indexes = await arriving(
      'topic',
      [{ routingKey: pattern }],
      keys.map((routingKey) => ({ routingKey })),
    )
    expect(indexes.map((index) => keys[index])).toEqual(matching)
  })

  it('topic: three # in one pattern, which RabbitMQ 4.3 alone refuses', async () => {
    if (broker.kind === 'rabbitmq4') return
    const keys = ['a.b', 'x.a.y.b.z', 'a.a.b', 'b.a', 'a', 'b']
    const published = keys.map((routingKey) => ({ routingKey }))
    expect(await arriving('topic', [{ routingKey: '#.a.#.b.#' }], published)).toEqual([0, 1, 2])
  })

  it.each<[string, FieldTable, FieldTable[], FieldTable[]]>([
    [
      'all is the default',
      { a: 1, b: 'x' },
      [
        { a: 1, b: 'x' },
        { a: 1, b: 'x', c: 2 },
      ],
      [{ a: 1 }, { b: 'x' }, {}, { a: 2, b: 'x' }],
    ],
    ['all', { 'x-match': 'all', a: 1, b: 2 }, [{ a: 1, b: 2 }], [{ a: 1 }, {}]],
    ['any', { 'x-match': 'any', a: 1, b: 2 }, [{ a: 1 }, { b: 2 }, { a: 9, b: 2 }], [{ a: 2 }, {}, { c: 1 }]],
    ['no headers with all matches all', {}, [{}, { a: 1 }], []],
    ['no headers with any matches nothing', { 'x-match': 'any' }, [], [{}, { a: 1 }]],
    ['a header of the type void asks for presence', { a: null }, [{ a: 1 }, { a: 'x' }, { a: null }], [{}, { b: 1 }]],
    [
      'x- headers do not count with all',
      { 'x-match': 'all', 'x-a': 1, b: 2 },
      [{ b: 2 }, { 'x-a': 9, b: 2 }],
      [{ 'x-a': 1 }],
    ],
    ['x- headers do not count with any', { 'x-match': 'any', 'x-a': 1, b: 2 }, [{ b: 2 }], [{ 'x-a': 1 }, {}]],
    [
      'they count with all-with-x',
      { 'x-match': 'all-with-x', 'x-a': 1, b: 2 },
      [{ 'x-a': 1, b: 2 }],
      [{ b: 2 }, { 'x-a': 1 }],
    ],
    [
      'they count with any-with-x',
      { 'x-match': 'any-with-x', 'x-a': 1, b: 2 },
      [{ 'x-a': 1 }, { b: 2 }],
      [{ 'x-a': 2 }, {}],
    ],
    ['a number is not its text', { a: 1 }, [{ a: 1 }], [{ a: '1' }, { a: true }]],
    ['true is true', { a: true }, [{ a: true }], [{ a: false }, { a: 'true' }, { a: 1 }]],
    ['the empty text is a value', { a: '' }, [{ a: '' }], [{}, { a: 'x' }]],
  ])('headers: %s', async (_title, wanted, matching, others) => {
    const all = [...matching, ...others]
    const indexes = await arriving(
      'headers',
      [{ arguments: wanted }],
      all.map((headers) => ({ headers })),
    )
    expect(indexes.map((index) => all[index])).toEqual(matching)
  })

  it('default exchange: to the queue of that name, and no other', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const other = await broker.queue(channel)
    channel.publish({ exchange: '', routingKey: queue }, 'here')
    await channel.sync(queue)
    const message = await channel.get(queue, { noAck: true })
    expect(message).toMatchObject({ args: { exchange: '', routingKey: queue }, body: Buffer.from('here') })
    expect(await channel.get(other)).toBeNull()
  })

  itRefuses(broker, [
    {
      when: 'a bad x-match is refused',
      given: [['queue.declare', { queue: '$q', exclusive: true }]],
      does: ['queue.bind', { queue: '$q', exchange: 'amq.headers', arguments: { 'x-match': 'some' } }],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
    },
    {
      when: 'an x-match that is not text is refused',
      given: [['queue.declare', { queue: '$q', exclusive: true }]],
      does: ['queue.bind', { queue: '$q', exchange: 'amq.headers', arguments: { 'x-match': 70000 } }],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - Invalid x-match field type signedint (value 70000); expected longstr',
    },
  ])
})

describe('a message that nobody takes', () => {
  const broker = withBroker()

  it.each(['', 'amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers'])(
    'comes back when mandatory: %p',
    async (exchange) => {
      const channel = await broker.channel()
      const properties = { contentType: 'text/plain', headers: { a: 1 }, messageId: 'm' }
      channel.publish({ exchange, routingKey: 'spec.nobody', mandatory: true }, 'unwanted', properties)
      const returned = await channel.message('basic.return')
      expect(returned.args).toEqual({ replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey: 'spec.nobody' })
      expect(returned.body.toString()).toBe('unwanted')
      expect(returned.properties).toMatchObject(properties)
    },
  )

  it('comes back before its confirm', async () => {
    const channel = await broker.channel()
    await channel.call('confirm.select')
    channel.publish({ routingKey: 'spec.nobody', mandatory: true }, 'unwanted')
    await channel.message('basic.return')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 1 })
  })

  it('vanishes otherwise, and is confirmed', async () => {
    const channel = await broker.channel()
    await channel.call('confirm.select')
    channel.publish({ routingKey: 'spec.nobody' }, 'unwanted')
    expect(await channel.expect('basic.ack')).toMatchObject({ deliveryTag: 1 })
    await channel.sync()
  })

  it('does not come back where it has a taker', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.publish({ routingKey: queue, mandatory: true }, 'wanted')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['wanted'])
  })

  it('comes back whole when large', async () => {
    const channel = await broker.channel()
    const body = randomBytes(300_000)
    channel.publish({ routingKey: 'spec.nobody', mandatory: true }, body)
    const returned = await channel.message('basic.return')
    expect(returned.body.equals(body)).toBe(true)
  })
})

describe('refusals', () => {
  const broker = withBroker()
  itRefuses(broker, [
    {
      when: 'immediate',
      does: ['basic.publish', { routingKey: '$q', immediate: true }],
      scope: 'connection',
      code: 540,
      text: 'NOT_IMPLEMENTED - immediate=true',
    },
    {
      when: 'somebody else as user_id',
      does: ['basic.publish', { routingKey: '$q' }, { userId: 'somebody' }],
      scope: 'channel',
      code: 406,
      text: "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
    },
    {
      when: 'an expiration that is no number',
      does: ['basic.publish', { routingKey: '$q' }, { expiration: 'soon' }],
      scope: 'channel',
      code: 406,
      text: "PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
    },
    {
      when: 'a negative expiration',
      does: ['basic.publish', { routingKey: '$q' }, { expiration: '-1' }],
      scope: 'channel',
      code: 406,
      text: "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
    },
    {
      when: 'an expiration with something after the number',
      does: ['basic.publish', { routingKey: '$q' }, { expiration: '10s' }],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - invalid expiration \'10s\': {leftover_string,"s"}',
    },
  ])

  it('the right user_id is accepted and kept', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.publishTo(queue, 'mine', { userId: 'guest' })
    await channel.sync(queue)
    expect((await channel.get(queue))?.properties).toMatchObject({ userId: 'guest' })
  })

  it('what was published before the refusal stays, what comes after is ignored', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.connection.inOneWrite(() => {
      channel.publishTo(queue, 'before')
      channel.publish({ exchange: 'spec.nowhere' }, 'refused')
      channel.publishTo(queue, 'after')
      channel.send('queue.purge', { queue })
    })
    expect(await channel.expectClose()).toMatchObject({ code: 404, method: 'basic.publish' })
    await channel.call('channel.open')
    expect(await channel.empty(queue)).toEqual(['before'])
  })
})

describe('bodies', () => {
  const broker = withBroker()
  const sizes = [0, 1, 2, 4087, 4088, 4089, 65_535, 131_063, 131_064, 131_065, 262_128, 1_048_576, 5_000_000]

  it.each(sizes)('of %i bytes arrive as they are, in frames of the negotiated size', async (size) => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const body = randomBytes(size)
    channel.publishTo(queue, body)
    await channel.sync(queue)
    const message = await channel.get(queue)
    expect(message?.body.equals(body)).toBe(true)
    expect(message?.frameSizes).toEqual(splitAt(size, 131_072 - 8))
  })

  it('are split for each receiver at its own frame size', async () => {
    const sender = await broker.channel()
    const queue = broker.name()
    await sender.call('queue.declare', { queue })
    const receiver = await broker.channel({ tune: { frameMax: 8192 } })
    const body = randomBytes(20_000)
    sender.publishTo(queue, body)
    await receiver.call('basic.consume', { queue, noAck: true })
    const message = await receiver.message()
    expect(message.body.equals(body)).toBe(true)
    expect(message.frameSizes).toEqual([8184, 8184, 3632])
  })

  it('may come in frames of any size', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.send('basic.publish', { routingKey: queue })
    channel.sendHeader(10)
    for (const part of ['a', '', 'bcd', 'efghij']) {
      channel.connection.sendFrame(3, channel.number, Buffer.from(part))
    }
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['abcdefghij'])
  })

  it('may be interleaved with those of other channels', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const second = await channel.connection.openChannel(2)
    begin(channel, queue, 6)
    begin(second, queue, 6)
    second.sendBody(Buffer.from('two'))
    channel.sendBody(Buffer.from('one'))
    channel.sendBody(Buffer.from('one'))
    await channel.sync(queue)
    second.sendBody(Buffer.from('two'))
    await second.sync(queue)
    expect(await channel.empty(queue)).toEqual(['oneone', 'twotwo'])
  })

  it('may be interleaved in reads of which each has another part', async () => {
    const [one, other] = [await broker.channel(), await broker.channel()]
    const queue = await broker.queue(one)
    const second = await one.connection.openChannel(2)
    const properties = { messageId: 'the first', headers: { key: 'value' }, deliveryMode: 2 }
    one.send('basic.publish', { routingKey: queue })
    second.publishTo(queue, 'whole') // begun last, and whole
    await second.sync(queue)
    one.sendHeader(6, properties)
    one.sendBody(Buffer.from('one'))
    await second.sync(queue)
    for (let i = 0; i < 20; i++) other.publishTo(queue, 'x'.repeat(50_000), { messageId: 'another' })
    await other.connection.roundTrip()
    one.sendBody(Buffer.from('end'))
    await second.sync(queue)
    const bodies: string[] = []
    for (let got = await one.get(queue); got !== null; got = await one.get(queue)) {
      bodies.push(got.body.toString())
      if (got.body.toString() === 'oneend') expect(got.properties).toMatchObject({ messageId: 'the first' })
    }
    expect(bodies).toEqual(['whole', ...Array.from({ length: 20 }, () => 'x'.repeat(50_000)), 'oneend'])
  })

  function begin(channel: RawChannel, queue: string, size: number): void {
    channel.send('basic.publish', { routingKey: queue })
    channel.sendHeader(size)
  }
})

function splitAt(size: number, room: number): number[] {
  const sizes: number[] = []
  for (let rest = size; rest > 0; rest -= room) sizes.push(Math.min(rest, room))
  return sizes
}
