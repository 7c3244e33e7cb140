// Chains of exchanges as programs build them: kombu's ladder for delays, 28 topic exchanges one behind the other, each of which
// takes the messages whose bit is set; and graphs that go in circles.
import { describe, expect, it } from '@jest/globals'
import { withBroker } from './with-broker'

const LEVELS = 28

describe('a ladder of exchanges', () => {
  const broker = withBroker()

  /** The bits of `seconds`, the highest first, in front of the key. */
  const keyOf = (seconds: number, key: string) => [...seconds.toString(2).padStart(LEVELS, '0'), key].join('.')

  it('leads each message to the queue of its highest bit, or through to the end', async () => {
    const channel = await broker.channel()
    const end = await broker.exchange(channel, 'topic')
    const delivered = await broker.queue(channel)
    await channel.call('queue.bind', { queue: delivered, exchange: end, routingKey: '#.tasks' })
    const queues: string[] = []
    let next = end
    for (let level = 0; level < LEVELS; level++) {
      const exchange = await broker.exchange(channel, 'topic')
      const [queue, above] = [await broker.queue(channel), '*.'.repeat(LEVELS - 1 - level)]
      await channel.call('queue.bind', { queue, exchange, routingKey: `${above}1.#` })
      await channel.call('exchange.bind', { source: exchange, destination: next, routingKey: `${above}0.#` })
      queues[level] = queue
      next = exchange
    }
    for (const seconds of [0, 1, 5, 2 ** 27, 2 ** 28 - 1]) {
      channel.publish({ exchange: next, routingKey: keyOf(seconds, 'tasks'), mandatory: true }, String(seconds))
    }
    await channel.sync(delivered)
    expect(await channel.empty(delivered)).toEqual(['0'])
    expect(await channel.empty(queues[0])).toEqual(['1'])
    expect(await channel.empty(queues[2])).toEqual(['5'])
    expect(await channel.empty(queues[27])).toEqual([String(2 ** 27), String(2 ** 28 - 1)])
  })

  it('and a net of exchanges, each bound to each, bring one copy in bounded time', async () => {
    const channel = await broker.channel()
    const exchanges: string[] = []
    for (let i = 0; i < 30; i++) exchanges.push(await broker.exchange(channel, i % 2 ? 'fanout' : 'topic'))
    for (const source of exchanges) {
      for (const destination of exchanges) {
        channel.send('exchange.bind', { source, destination, routingKey: '#', noWait: true })
      }
    }
    const queue = await broker.queue(channel)
    for (const exchange of exchanges) await channel.call('queue.bind', { queue, exchange, routingKey: '#' })
    for (let i = 0; i < 10; i++) channel.publish({ exchange: exchanges[i], routingKey: `k${i}` }, String(i))
    await channel.sync(queue)
    expect(await channel.empty(queue)).toHaveLength(10)
  })

  it('takes routing keys of as many words as fit', async () => {
    const channel = await broker.channel()
    const exchange = await broker.exchange(channel, 'topic')
    const queue = await broker.queue(channel)
    const patterns = ['#.a.#', `${'*.'.repeat(127)}*`, '.'.repeat(255), '#']
    // RabbitMQ 4.3 takes two of these at most; here more of them cost no more.
    if (broker.kind === 'leveret') patterns.push('#.a.#.a.#', `#${'.#'.repeat(127)}`)
    for (const routingKey of patterns) await channel.call('queue.bind', { queue, exchange, routingKey })
    const keys = [`${'a.'.repeat(127)}a`, '.'.repeat(255), 'a'.repeat(255), '']
    for (const routingKey of keys) channel.publish({ exchange, routingKey }, routingKey)
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(keys)
  })
})
