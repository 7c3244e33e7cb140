// Direct reply-to: answers that need no queue. Whose name is it, how long does it hold, what is refused, and where does an
// answer go that nobody waits for.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import type { Properties } from '../../protocol'
import { type Call, itRefuses } from './refusals'
import { type BrokerUnderTest, eventually, withBroker } from './with-broker'

const REPLY_TO = 'amq.rabbitmq.reply-to'
const consume: Call = ['basic.consume', { queue: REPLY_TO, noAck: true, consumerTag: 'r' }]

describe('refusals', () => {
  const broker = withBroker()
  const unknown = { scope: 'channel', code: 404, text: `NOT_FOUND - no queue '${REPLY_TO}' in vhost '/'` } as const
  const unmet = {
    scope: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - fast reply consumer does not exist',
  } as const

  itRefuses(broker, [
    {
      when: 'a consumer that acknowledges',
      does: ['basic.consume', { queue: REPLY_TO }],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - reply consumer cannot acknowledge',
    },
    {
      when: 'a second consumer on the channel',
      given: [consume],
      does: ['basic.consume', { queue: REPLY_TO, noAck: true, consumerTag: 's' }],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - reply consumer already set',
    },
    {
      when: 'a second consumer, by the same tag',
      given: [consume],
      does: consume,
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - reply consumer already set',
    },
    {
      when: 'a tag that a consumer of a queue has',
      given: [
        ['queue.declare', { queue: '$q', exclusive: true }],
        ['basic.consume', { queue: '$q', consumerTag: 'r' }],
      ],
      does: consume,
      scope: 'connection',
      code: 530,
      text: "NOT_ALLOWED - attempt to reuse consumer tag 'r'",
    },
    { when: 'a request without a consumer', does: ['basic.publish', {}, { replyTo: REPLY_TO }], ...unmet },
    {
      when: 'a request without a consumer, in a transaction',
      given: [['tx.select']],
      does: ['basic.publish', {}, { replyTo: REPLY_TO }],
      ...unmet,
    },
    {
      when: 'a request after the consumer was cancelled',
      given: [consume, ['basic.cancel', { consumerTag: 'r' }]],
      does: ['basic.publish', {}, { replyTo: REPLY_TO }],
      ...unmet,
    },
    {
      when: 'a request to an exchange that is not there, which is said first',
      does: ['basic.publish', { exchange: '$x' }, { replyTo: REPLY_TO }],
      scope: 'channel',
      code: 404,
      text: "NOT_FOUND - no exchange '$x' in vhost '/'",
    },
    { when: 'a get', does: ['basic.get', { queue: REPLY_TO }], ...unknown },
    { when: 'a purge', does: ['queue.purge', { queue: REPLY_TO }], ...unknown },
    {
      when: 'a binding',
      does: ['queue.bind', { queue: REPLY_TO, exchange: 'amq.direct', routingKey: 'k' }],
      ...unknown,
    },
  ])
})

describe('an answer', () => {
  const broker = withBroker()

  it('is announced by the server', async () => {
    const { capabilities } = (await broker.connect()).serverProperties
    expect(capabilities).toMatchObject({ direct_reply_to: true })
  })

  it('goes to the channel that asked', async () => {
    const { client, to, request } = await asked(broker, { correlationId: '7', headers: { a: 1 } })
    expect(to).toMatch(/^amq\.rabbitmq\.reply-to\..{20,}$/)
    expect(request).toEqual({ correlationId: '7', headers: { a: 1 }, replyTo: to })
    const server = await broker.channel()
    server.publishTo(to, 'answer', { correlationId: '7', headers: { b: 2 } })
    const { args, properties, body } = await client.message()
    expect(body.toString()).toBe('answer')
    expect(properties).toEqual({ correlationId: '7', headers: { b: 2 } })
    expect(args).toMatchObject({ consumerTag: 'r', redelivered: false, exchange: '', routingKey: to })
  })

  it.each([
    ['empty', 0],
    ['of several frames', 300_000],
  ])('may be %s', async (_size, size) => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    server.publishTo(to, Buffer.alloc(size, 'x'))
    expect((await client.message()).body).toHaveLength(size)
  })

  it('comes as often as one is sent, in order, with tags that count on', async () => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    for (let i = 0; i < 100; i++) server.publishTo(to, String(i))
    const first = await client.message()
    const rest = []
    for (let i = 1; i < 100; i++) rest.push(await client.message())
    expect(rest.map(({ body }) => Number(body.toString()))).toEqual(rest.map((_, i) => i + 1))
    expect(rest.map(({ args }) => args.deliveryTag - first.args.deliveryTag)).toEqual(rest.map((_, i) => i + 1))
  })

  it('is confirmed, and not returned', async () => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    await server.call('confirm.select')
    server.publish({ routingKey: to, mandatory: true }, 'answer')
    expect((await server.expect('basic.ack')).deliveryTag).toBe(1)
    expect(await client.bodies(1)).toEqual(['answer'])
  })

  it('may come by CC', async () => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    server.publish({ routingKey: 'nowhere', mandatory: true }, 'answer', { headers: { CC: [to] } })
    expect((await client.message()).args.routingKey).toBe('nowhere')
    await server.sync()
  })

  it('waits for the commit of a transaction', async () => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    await server.call('tx.select')
    server.publishTo(to, 'rolled back')
    await server.call('tx.rollback')
    server.publishTo(to, 'committed')
    await client.sync()
    await server.call('tx.commit')
    expect(await client.bodies(1)).toEqual(['committed'])
  })

  it('to a name made up is returned', async () => {
    const server = await broker.channel()
    server.publish({ routingKey: `${REPLY_TO}.made-up`, mandatory: true }, 'answer')
    expect((await server.message('basic.return')).args).toMatchObject({ replyCode: 312, replyText: 'NO_ROUTE' })
    server.publishTo(`${REPLY_TO}.made-up`, 'answer')
    await server.sync()
  })

  it('to the pseudo-queue itself is returned', async () => {
    const { client } = await asked(broker)
    client.publish({ routingKey: REPLY_TO, mandatory: true }, 'answer')
    expect((await client.message('basic.return')).args.replyText).toBe('NO_ROUTE')
  })

  it('through another exchange goes nowhere', async () => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    server.publish({ exchange: 'amq.direct', routingKey: to, mandatory: true }, 'answer')
    await server.message('basic.return')
    await client.sync()
  })
})

describe('the name', () => {
  const broker = withBroker()

  it('is the same for all requests of a channel, and another for each channel', async () => {
    const { client, queue, to } = await asked(broker)
    client.publishTo(queue, 'again', { replyTo: REPLY_TO })
    await client.sync(queue)
    expect((await client.get(queue, { noAck: true }))?.properties.replyTo).toBe(to)
    const sibling = await client.connection.openChannel(2)
    await sibling.call('basic.consume', { queue: REPLY_TO, noAck: true })
    sibling.publishTo(queue, 'from a sibling', { replyTo: REPLY_TO })
    await sibling.sync(queue)
    expect((await client.get(queue, { noAck: true }))?.properties.replyTo).not.toBe(to)
  })

  it('belongs to one channel: a sibling without a consumer asks in vain', async () => {
    const { client, queue } = await asked(broker)
    const sibling = await client.connection.openChannel(2)
    sibling.publishTo(queue, 'x', { replyTo: REPLY_TO })
    expect((await sibling.expectClose()).text).toBe('PRECONDITION_FAILED - fast reply consumer does not exist')
  })

  it.each([
    ['passively', true],
    ['actively', false],
  ])('can be declared %s by whoever wants to know whether somebody waits', async (_how, passive) => {
    const { to } = await asked(broker)
    const server = await broker.channel()
    const counts = { messageCount: 0, consumerCount: 1 }
    expect(await server.call('queue.declare', { queue: to, passive })).toEqual({ queue: to, ...counts })
    expect(await server.call('queue.declare', { queue: REPLY_TO, passive })).toEqual({ queue: REPLY_TO, ...counts })
  })

  it('other reply-to names stay as they are', async () => {
    const client = await broker.channel()
    const queue = await broker.queue(client)
    for (const replyTo of ['', 'amq.rabbitmq.reply-tO', `${REPLY_TO}.x`, 'mine']) {
      client.publishTo(queue, 'x', { replyTo, correlationId: '1' })
      await client.sync(queue)
      expect((await client.get(queue, { noAck: true }))?.properties).toEqual({ replyTo, correlationId: '1' })
    }
  })

  it.each<[string, (client: RawChannel) => Promise<unknown>]>([
    ['consumer', (client) => client.call('basic.cancel', { consumerTag: 'r' })],
    ['channel', (client) => client.close()],
    ['connection', (client) => client.connection.close()],
  ])('ends with its %s', async (_what, end) => {
    const { client, to } = await asked(broker)
    const server = await broker.channel()
    await end(client)
    await eventually(async () => {
      const probe = await server.connection.openChannel(2)
      probe.send('queue.declare', { queue: to, passive: true })
      expect(await probe.expectClose()).toMatchObject({
        code: 404,
        text: `NOT_FOUND - no queue '${to}' in vhost '/'`,
      })
    })
    await server.call('confirm.select')
    server.publish({ routingKey: to, mandatory: true }, 'too late')
    // RabbitMQ takes an answer for a requester on a node that is there, whether or not it still waits.
    if (broker.kind === 'leveret') await server.message('basic.return')
    await server.expect('basic.ack')
  })

  it('is another after a new consumer', async () => {
    const { client, queue, to } = await asked(broker)
    await client.call('basic.cancel', { consumerTag: 'r' })
    await client.call('basic.consume', { queue: REPLY_TO, noAck: true })
    client.publishTo(queue, 'again', { replyTo: REPLY_TO })
    await client.sync(queue)
    expect((await client.get(queue, { noAck: true }))?.properties.replyTo).not.toBe(to)
  })
})

describe('a requester that does not read', () => {
  const broker = withBroker()

  it('holds up nobody who answers', async () => {
    const { client, to } = await asked(broker)
    client.connection.pause()
    const server = await broker.channel()
    await server.call('confirm.select')
    for (let i = 1; i <= 40; i++) {
      server.publishTo(to, Buffer.alloc(1_000_000))
      await server.expect('basic.ack')
    }
    client.connection.resume()
    expect(await client.bodies(40)).toHaveLength(40)
  })

  it('gets no more than 64 MiB later: what comes on top is returned', async () => {
    if (broker.kind !== 'leveret') return
    const { client, to } = await asked(broker)
    client.connection.pause()
    const server = await broker.channel()
    let sent = 0
    for (let isReturned = false; !isReturned; ) {
      server.publish({ routingKey: to, mandatory: true }, Buffer.alloc(4_000_000))
      await server.connection.written()
      if (++sent % 4 === 0) isReturned = await hasReturns(server)
    }
    expect(sent * 4_000_000).toBeGreaterThan(64 * 1024 * 1024)
    expect(sent * 4_000_000).toBeLessThan(128 * 1024 * 1024)
  })
})

/** Waits until all that was sent is handled. */
async function hasReturns(channel: RawChannel): Promise<boolean> {
  channel.send('channel.flow', { active: true })
  for (let has = false; ; ) {
    const frame = await channel.next()
    if (frame.kind !== 'method') continue
    if (frame.name === 'channel.flow-ok') return has
    has ||= frame.name === 'basic.return'
  }
}

/** A client that waits for answers, and the request as it came to a queue. */
async function asked(broker: BrokerUnderTest, properties: Properties = {}) {
  const client = await broker.channel()
  const queue = await broker.queue(client, { exclusive: false })
  await client.call('basic.consume', { queue: REPLY_TO, noAck: true, consumerTag: 'r' })
  client.publishTo(queue, 'request', { ...properties, replyTo: REPLY_TO })
  await client.sync(queue)
  const request = (await client.get(queue, { noAck: true }))?.properties ?? {}
  return { client, queue, request, to: String(request.replyTo) }
}
