// Messages that come back too often. RabbitMQ docs "Quorum Queues", "Poison Message Handling". The first table holds for quorum
// queues of RabbitMQ 4.3 as well; here it holds for every queue with a limit.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel, RawMessage } from '../../clients/raw'
import { type FieldTable, Typed } from '../../protocol'
import { withAdmin } from './with-admin'
import { type BrokerUnderTest, eventually, withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const isOurs = process.env.AMQP_SPEC_URL === undefined

type Got = RawMessage<'basic.get-ok'>

/** How a message comes back. */
const returns = {
  reject: (channel: RawChannel, { deliveryTag }: Got['args']) =>
    channel.send('basic.reject', { deliveryTag, requeue: true }),
  nack: (channel: RawChannel, { deliveryTag }: Got['args']) =>
    channel.send('basic.nack', { deliveryTag, requeue: true }),
  recover: (channel: RawChannel) => channel.call('basic.recover', { requeue: true }),
  close: (channel: RawChannel) => channel.call('channel.close'),
}
type Way = keyof typeof returns

/** What the two headers say; null: there are none. */
const countsOf = ({ properties: { headers } }: Got): string | null => {
  const values = ['x-acquired-count', 'x-delivery-count'].map((name) => headers?.[name])
  for (const value of values) if (value !== undefined) expect(value).toMatchObject({ type: 'l' })
  const [acquired, failures] = values.map((value) => (value as Typed | undefined)?.value ?? 0)
  return values.every((value) => value === undefined) ? null : `${acquired}/${failures}`
}

const getFrom = async (channel: RawChannel, queue: string): Promise<Got> => {
  let got: Got | null = null
  await eventually(async () => {
    got = await channel.get(queue)
    expect(got).not.toBeNull()
  })
  return got as unknown as Got
}

/** Takes the message once for each way, and gives it back so; what its headers said each time. */
async function takeAndReturn(broker: BrokerUnderTest, queue: string, ways: readonly Way[]): Promise<(string | null)[]> {
  const seen: (string | null)[] = []
  for (const way of ways) {
    const channel = await broker.channel()
    const got = await getFrom(channel, queue)
    seen.push(countsOf(got))
    await returns[way](channel, got.args)
    if (way !== 'close') await channel.sync()
  }
  return seen
}

describe('a quorum queue', () => {
  const broker = withBroker()
  const declare = async (channel: RawChannel, args: FieldTable = {}) => {
    const queue = broker.name()
    await channel.call('queue.declare', { queue, durable: true, arguments: { 'x-queue-type': 'quorum', ...args } })
    channel.publishTo(queue, 'a', { deliveryMode: 2, headers: { mine: 'x' } })
    return queue
  }

  it.each<[string, Way[], (string | null)[]]>([
    ['rejected: failures', ['reject', 'reject', 'reject'], [null, '1/1', '2/2']],
    ['lost with its channel: failures', ['close', 'close', 'reject'], [null, '1/1', '2/2']],
    ['given back: no failures', ['nack', 'recover', 'nack'], [null, '1/0', '2/0']],
    ['either', ['nack', 'reject', 'nack', 'close'], [null, '1/0', '2/1', '3/1']],
  ])('tells how often a message came back: %s', async (_title, ways, expected) => {
    const channel = await broker.channel()
    const queue = await declare(channel)
    expect(await takeAndReturn(broker, queue, ways)).toEqual(expected)
    const last = await getFrom(channel, queue)
    expect(last.properties.headers?.mine).toBe('x')
    expect(last.body.toString()).toBe('a')
  })

  it.each<[string, FieldTable, number]>([
    ['its limit', { 'x-delivery-limit': 2 }, 3],
    ['a limit of none', { 'x-delivery-limit': 0 }, 1],
    ['the standard limit', {}, 21],
  ])('gives a message up after %s, with the reason', async (_title, args, failures) => {
    const channel = await broker.channel()
    const dead = await broker.queue(channel)
    const queue = await declare(channel, { ...args, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead })
    for (let i = 0; i < failures; i++) {
      expect((await channel.call('queue.declare', { queue: dead, passive: true })).messageCount).toBe(0)
      const { args: got } = await getFrom(channel, queue)
      channel.send('basic.reject', { deliveryTag: got.deliveryTag, requeue: true })
    }
    const letter = await getFrom(channel, dead)
    expect(letter.properties.headers).toMatchObject({ 'x-first-death-reason': 'delivery_limit', mine: 'x' })
    expect(countsOf(letter)).toBeNull()
    expect(await channel.get(queue)).toBeNull()
  })

  it('keeps it for ever where the limit is negative', async () => {
    const channel = await broker.channel()
    const queue = await declare(channel, { 'x-delivery-limit': -1 })
    const ways: Way[] = new Array(22).fill('reject')
    expect((await takeAndReturn(broker, queue, ways)).at(-1)).toBe('21/21')
  })
})

if (isOurs) {
  describe('any queue with a limit', () => {
    const on = withRestarts()
    const declare = (args: FieldTable, queue = 'q', durable = true) =>
      on.channel.call('queue.declare', { queue, durable, arguments: args })
    const fail = async (queue = 'q') => {
      const got = (await on.channel.get(queue)) as Got
      on.channel.send('basic.reject', { deliveryTag: got.args.deliveryTag, requeue: true })
      await on.channel.sync()
      return countsOf(got)
    }
    const left = (queue = 'q') => on.channel.call('queue.declare', { queue, passive: true })

    it.each([
      ['a classic queue', { 'x-delivery-limit': 1 }, true],
      ['one that is not durable', { 'x-delivery-limit': 1 }, false],
      ['with priorities', { 'x-delivery-limit': 1, 'x-max-priority': 9 }, true],
    ])('counts: %s', async (_title, args, durable) => {
      await declare(args, 'q', durable)
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      expect([await fail(), await fail()]).toEqual([null, '1/1'])
      expect((await left()).messageCount).toBe(0)
    })

    it('counts for each queue that holds the message', async () => {
      for (const queue of ['a', 'b']) {
        await declare({ 'x-delivery-limit': 5 }, queue, queue === 'a')
        await on.channel.call('queue.bind', { queue, exchange: 'amq.fanout' })
      }
      await on.publish({ exchange: 'amq.fanout' }, 'a', { deliveryMode: 2 })
      expect([await fail('a'), await fail('a'), await fail('b'), await fail('a')]).toEqual([null, '1/1', null, '2/2'])
    })

    it('does not count where there is no limit', async () => {
      await declare({})
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      for (let i = 0; i < 25; i++) expect(await fail()).toBeNull()
    })

    it.each(['restart', 'crash'] as const)('keeps the counts over a %s', async (how) => {
      await declare({ 'x-delivery-limit': 3 })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      await fail()
      await fail()
      await on.flush()
      await on[how]()
      expect(await fail()).toBe('2/2')
      expect(await fail()).toBe('3/3')
      expect((await left()).messageCount).toBe(0)
    })

    it('does not take a stop for a failure', async () => {
      await declare({ 'x-delivery-limit': 0 })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      const held = await (await on.openChannel()).get('q')
      expect(held).not.toBeNull()
      await on.broker.stop()
      await on.open()
      expect((await left()).messageCount).toBe(1)
    })

    it('counts what a transaction gives back', async () => {
      await declare({ 'x-delivery-limit': 0 })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      const channel = await on.openChannel()
      await channel.call('tx.select')
      const got = (await channel.get('q')) as Got
      channel.send('basic.reject', { deliveryTag: got.args.deliveryTag, requeue: true })
      await channel.call('tx.rollback')
      channel.send('basic.reject', { deliveryTag: got.args.deliveryTag, requeue: true })
      await channel.call('tx.commit')
      expect((await left()).messageCount).toBe(0)
      expect(await on.channel.get('q')).toBeNull()
    })

    it('tells consumers too, of a large message in several frames', async () => {
      await declare({ 'x-delivery-limit': 3 })
      const body = 'x'.repeat(300_000)
      await on.publish({ routingKey: 'q' }, body, { deliveryMode: 2 })
      await fail()
      const channel = await on.openChannel()
      await channel.call('basic.consume', { queue: 'q', noAck: true })
      const message = await channel.message()
      expect(message.body.toString()).toBe(body)
      expect(message.args.redelivered).toBe(true)
      expect(message.properties.headers).toEqual({
        'x-acquired-count': new Typed('l', 1),
        'x-delivery-count': new Typed('l', 1),
      })
    })
  })

  describe('a policy', () => {
    const admin = withAdmin()
    it.each<[string, FieldTable, number | null, number]>([
      ['sets the limit', {}, 1, 2],
      ['the lower of both holds', { 'x-delivery-limit': 3 }, 1, 2],
      ['the one that is a limit holds', { 'x-delivery-limit': 1 }, -1, 2],
    ])('%s', async (_title, args, limit, failures) => {
      const queue = `policy.${failures}.${limit}.${Object.keys(args).length}`
      await admin.put('/api/policies/%2F/p', { pattern: '^policy', definition: { 'delivery-limit': limit } })
      const channel = await (await admin.client()).createChannel()
      await channel.assertQueue(queue, { arguments: args })
      channel.sendToQueue(queue, Buffer.from('a'))
      for (let i = 0; i < failures; i++) {
        const got = await channel.get(queue)
        if (got === false) throw new Error(`gone after ${i} failures`)
        channel.reject(got, true)
      }
      expect(await channel.get(queue)).toBe(false)
    })
  })
}
