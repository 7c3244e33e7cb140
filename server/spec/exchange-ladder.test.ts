// Chains of exchanges as programs build them: kombu's ladder for delays, 28 topic exchanges one behind the other, each of which
// takes the messages whose bit is set; and graphs that go in circles.
import { describe, expect, it } from '@jest/globals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

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

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('a ladder of queues whose messages wait', () => {
    const on = withRestarts()

    it('brings each message when the bits of its delay have passed, over restarts too', async () => {
      const name = (level: number) => `delay_${level}`
      const declare = (exchange: string) =>
        on.channel.call('exchange.declare', { exchange, type: 'topic', durable: true })
      await declare('delivery')
      await on.channel.call('queue.declare', { queue: 'tasks', durable: true })
      await on.channel.call('queue.bind', { queue: 'tasks', exchange: 'delivery', routingKey: '#.tasks' })
      for (let level = 0; level < LEVELS; level++) {
        const next = level === 0 ? 'delivery' : name(level - 1)
        const above = '*.'.repeat(LEVELS - 1 - level)
        await declare(name(level))
        const waits = { 'x-message-ttl': 2 ** level * 1000, 'x-dead-letter-exchange': next }
        await on.channel.call('queue.declare', { queue: name(level), durable: true, arguments: waits })
        await on.channel.call('queue.bind', { queue: name(level), exchange: name(level), routingKey: `${above}1.#` })
        await on.channel.call('exchange.bind', {
          source: name(level),
          destination: next,
          routingKey: `${above}0.#`,
        })
      }
      const delays = [0, 1, 5, 13, 600, 86_400]
      const start = on.clock.now()
      for (const seconds of delays) {
        const routingKey = [...seconds.toString(2).padStart(LEVELS, '0'), 'tasks'].join('.')
        await on.publish({ exchange: name(LEVELS - 1), routingKey }, String(seconds), { deliveryMode: 2 })
      }
      const count = async (queue = 'tasks') => {
        await on.channel.sync()
        return (await on.channel.call('queue.declare', { queue, passive: true })).messageCount
      }
      /** After a restart the bytes come from disk first. */
      const allArrived = async () => {
        for (let turn = 0; turn < 1000; turn++) {
          let arrived = await count()
          for (let level = 0; level < LEVELS; level++) arrived += await count(name(level))
          if (arrived === delays.length) return
        }
        throw new Error('a message is nowhere')
      }
      const steps = new Set(delays.flatMap(stepsOf))
      for (const seconds of [...steps].sort((a, b) => a - b)) {
        on.clock.advance(start + seconds * 1000 - 1 - on.clock.now())
        expect(await count()).toBe(delays.filter((delay) => delay < seconds).length)
        on.clock.advance(1)
        await on.channel.sync()
        await allArrived()
        expect(await count()).toBe(delays.filter((delay) => delay <= seconds).length)
        if (seconds === 13) await on.restart()
        if (seconds === 600) await on.crash()
      }
      expect(await on.channel.empty('tasks')).toEqual(delays.map(String))
    })
  })
}

/** When a message goes from one queue to the next: each bit that is set is a wait, the highest comes first. */
function stepsOf(seconds: number): number[] {
  const steps: number[] = []
  for (let rest = seconds; rest > 0; rest -= 2 ** Math.floor(Math.log2(rest))) {
    steps.push(seconds - rest + 2 ** Math.floor(Math.log2(rest)))
  }
  return steps
}
