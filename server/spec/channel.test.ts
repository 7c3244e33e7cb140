// Channels: open, close, reuse after an error; every method in every state a channel can be in.
import { describe, expect, it } from '@jest/globals'
import { METHOD_BY_NAME, type MethodName } from '../../protocol'
import { type Call, itRefuses, send } from './refusals'
import { withBroker } from './with-broker'

/** What a client may call on a channel, with arguments that are harmless where there is a queue $q. */
const clientMethods: Call[] = [
  ['channel.flow', { active: true }],
  ['channel.close', { replyCode: 200 }],
  ['exchange.declare', { exchange: 'amq.direct', passive: true }],
  ['exchange.delete', { exchange: 'spec.nowhere' }],
  ['exchange.bind', { source: 'amq.direct', destination: 'amq.fanout', routingKey: 'spec' }],
  ['exchange.unbind', { source: 'amq.direct', destination: 'amq.fanout', routingKey: 'spec' }],
  ['queue.declare', { exclusive: true }],
  ['queue.bind', { exchange: 'amq.direct', routingKey: 'spec' }],
  ['queue.unbind', { exchange: 'amq.direct', routingKey: 'spec' }],
  ['queue.purge'],
  ['basic.qos', { prefetchCount: 1 }],
  ['basic.consume', { consumerTag: 't' }],
  ['basic.cancel', { consumerTag: 't' }],
  ['basic.publish', { routingKey: 'spec.nobody' }],
  ['basic.ack', { deliveryTag: 0, multiple: true }],
  ['basic.nack', { deliveryTag: 0, multiple: true }],
  ['basic.recover', { requeue: true }],
  ['basic.recover-async', { requeue: true }],
  ['queue.delete'],
  ['confirm.select'],
]
const txMethods: Call[] = [['tx.select'], ['tx.commit'], ['tx.rollback']]
const unanswered = ['basic.publish', 'basic.ack', 'basic.nack', 'basic.recover-async']

const titled = (calls: Call[]) => calls.map((call) => [call[0], call] as const)

/** With a queue named: RabbitMQ looks up the last one declared before it looks at the state. */
function withQueue([name, args]: Call): Call {
  const takesQueue = METHOD_BY_NAME.get(name)?.args.some(([argument]) => argument === 'queue')
  return (takesQueue ? [name, { ...args, queue: 'spec.nowhere' }] : [name, args]) as Call
}

describe('a channel', () => {
  const broker = withBroker()

  it('opens under any number, closes, and opens again', async () => {
    const connection = await broker.connect()
    for (const number of [1, 2, 2047, 65535]) {
      const channel = await connection.openChannel(number)
      await channel.close()
      await channel.call('channel.open')
    }
  })

  it('is independent of others', async () => {
    const connection = await broker.connect()
    const [first, second] = [await connection.openChannel(1), await connection.openChannel(2)]
    first.send('queue.declare', { queue: 'spec.nowhere', passive: true })
    await first.expectClose()
    await second.sync()
    await first.call('channel.open')
  })

  it('ignores what comes between its error and close-ok', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const sibling = await channel.connection.openChannel(2)
    channel.send('queue.declare', { queue: 'spec.nowhere', passive: true })
    channel.publishTo(queue, 'ignored')
    channel.send('queue.delete', { queue })
    channel.send('channel.flow', { active: true })
    await sibling.sync(queue)
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
    await channel.call('channel.open')
    expect(await channel.get(queue)).toBeNull()
  })

  it('closing from both sides at once is answered', async () => {
    const channel = await broker.channel()
    channel.connection.inOneWrite(() => {
      channel.send('queue.declare', { queue: 'spec.nowhere', passive: true })
      channel.send('channel.close', { replyCode: 200 })
    })
    await channel.expect('channel.close')
    await channel.expect('channel.close-ok')
    channel.send('channel.close-ok')
    await channel.call('channel.open')
  })

  it('pipelined calls are answered in order', async () => {
    const connection = await broker.connect()
    const channel = connection.channel(1)
    connection.inOneWrite(() => {
      channel.send('channel.open')
      channel.send('queue.declare', { exclusive: true })
      channel.send('queue.bind', { exchange: 'amq.fanout' })
      channel.send('confirm.select')
      channel.send('basic.qos', { prefetchCount: 5 })
      channel.send('queue.delete')
      channel.send('channel.close', { replyCode: 200 })
    })
    for (const name of [
      'channel.open-ok',
      'queue.declare-ok',
      'queue.bind-ok',
      'confirm.select-ok',
      'basic.qos-ok',
      'queue.delete-ok',
      'channel.close-ok',
    ] as MethodName[]) {
      await channel.expect(name)
    }
  })

  it('bytes may be cut anywhere', async () => {
    const connection = await broker.connect()
    const channel = await connection.openChannel()
    const queue = await broker.queue(channel)
    const bytes = connection.gather(() => {
      channel.publishTo(queue, 'a body', { headers: { a: 1 }, messageId: 'm' })
      channel.send('basic.get', { queue, noAck: true })
    })
    for (let cut = 1; cut < bytes.length; cut++) {
      connection.write(bytes.subarray(0, cut))
      await connection.written()
      connection.write(bytes.subarray(cut))
      expect((await channel.message('basic.get-ok')).body.toString()).toBe('a body')
    }
  })
})

describe('refusals', () => {
  const broker = withBroker()
  itRefuses(broker, [
    {
      when: 'opened twice',
      does: ['channel.open'],
      scope: 'connection',
      code: 504,
      text: "CHANNEL_ERROR - second 'channel.open' seen",
    },
  ])

  it.each(titled([...clientMethods, ...txMethods]))('%s on a channel that is not open', async (name, call) => {
    const channel = (await broker.connect()).channel(9)
    send(channel, withQueue(call))
    expect(await channel.connection.expectClose()).toEqual({
      code: 504,
      text: "CHANNEL_ERROR - expected 'channel.open'",
      method: name,
    })
  })

  it.each(['header', 'body'])('a %s frame on a channel that is not open', async (what) => {
    const channel = (await broker.connect()).channel(9)
    if (what === 'header') channel.sendHeader(0)
    else channel.sendBody(Buffer.from('abc'))
    const { code } = await channel.connection.expectClose()
    expect(code).toBe(broker.pick({ rabbitmq4: 505, leveret: 504 }))
  })

  const fromServers = [...METHOD_BY_NAME.values()]
    .filter(({ name, hasContent }) => name.endsWith('-ok') && !hasContent && !name.startsWith('connection.'))
    .map(({ name }) => name)
  it.each(fromServers)('%s, which only a server sends', async (name) => {
    const channel = await broker.channel()
    channel.send(name)
    expect([503, 505, 541]).toContain((await channel.connection.expectClose()).code)
  })

  it.each(['queue.declare', 'channel.open', 'basic.qos', 'connection.open', 'connection.tune-ok'] as MethodName[])(
    '%s on channel 0 of a running connection',
    async (name) => {
      const connection = await broker.connect()
      connection.send(0, name)
      expect(await connection.expectClose()).toEqual({
        code: 504,
        text: 'CHANNEL_ERROR - unexpected method in connection state running',
        method: name,
      })
    },
  )

  it('a connection method on a channel', async () => {
    const channel = await broker.channel()
    channel.send('connection.close', { replyCode: 200 })
    expect((await channel.connection.expectClose()).code).toBe(503)
  })
})

describe('method by state', () => {
  const broker = withBroker()

  async function works(calls: Call[], select?: 'confirm.select' | 'tx.select'): Promise<void> {
    const channel = await broker.channel()
    if (select) await channel.call(select)
    for (const [name, args] of [['queue.declare', { exclusive: true }] as Call, ...calls]) {
      send(channel, [name, args] as Call)
      if (unanswered.includes(name)) await channel.connection.roundTrip()
      else await channel.expect(`${name}-ok` as MethodName)
      for (const frame of channel.connection.drain(channel.number)) {
        expect(frame).toMatchObject({ name: 'basic.ack' }) // a confirm
      }
    }
  }
  const plain = clientMethods.filter(([name]) => name !== 'confirm.select')

  it.each(titled(clientMethods))('open: %s', async (_name, call) => works([call]))
  it.each(titled(clientMethods))('confirming: %s', async (_name, call) => works([call], 'confirm.select'))
  it.each(titled([...plain, ...txMethods]))('transactional: %s', async (_name, call) => works([call], 'tx.select'))

  it.each(titled([...clientMethods, ...txMethods]))('closing: %s is ignored', async (name, call) => {
    if (name === 'channel.close') return // answered, see above
    const channel = await broker.channel()
    channel.send('queue.declare', { queue: 'spec.nowhere', passive: true })
    send(channel, withQueue(call))
    await channel.connection.roundTrip()
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
    await channel.call('channel.open')
  })
})
