import { describe, expect, it } from '@jest/globals'
import { MemoryBackend } from '../../storage/memory-backend'
import { sampleMessage } from '../../storage/sample-message'
import { ManualClock } from './clock'
import { Core } from './core'
import type { Arguments } from './core-api'
import { Declarations } from './declarations'
import type { Exchange } from './exchange'
import { Session } from './session'
import type { User } from './users'
import type { Vhost } from './vhost'

async function start(): Promise<{
  vhost: Vhost
  declare: Declarations
  routed(exchange: string, key: string): string[]
}> {
  const events = { onCommitted() {}, onCommitFailed() {}, onLoaded() {}, onBlocked() {}, flushConnections() {} }
  const options = { defaultUser: 'guest', defaultPassword: 'guest', defaultVhost: '/', loopbackUsers: [] }
  const core = new Core(
    new MemoryBackend(),
    { ...options, clock: new ManualClock(), memoryLimit: 2 ** 30, log() {} },
    events,
  )
  await core.start()
  const vhost = core.vhosts.get('/') as Vhost
  const declare = new Declarations(vhost, new Session('test', core.users.all.get('guest') as User, '/'))
  const routed = (exchange: string, routingKey: string) =>
    vhost.router
      .route(sampleMessage({ exchange, routingKey }))
      .queues.map((queue) => queue.name)
      .sort()
  return { vhost, declare, routed }
}

const queue = { durable: false, exclusive: false, autoDelete: false, arguments: {} as Arguments }
const exchange = { durable: false, autoDelete: false, internal: false, arguments: {} as Arguments }

describe('a route', () => {
  it('by the default exchange is the queue of that name', async () => {
    const { declare, routed } = await start()
    expect(routed('', 'q')).toEqual([])
    declare.declareQueue('q', queue)
    expect(routed('', 'q')).toEqual(['q'])
    declare.deleteQueue('q', false, false)
    expect(routed('', 'q')).toEqual([])
  })

  it('follows every change of bindings', async () => {
    const { declare, routed } = await start()
    for (const name of ['a', 'b']) declare.declareQueue(name, queue)
    const steps: [() => void, string[]][] = [
      [() => {}, []],
      [() => declare.bindQueue('a', 'amq.topic', 'k.*', {}), ['a']],
      [() => declare.bindQueue('b', 'amq.topic', '#', {}), ['a', 'b']],
      [() => declare.bindQueue('a', 'amq.topic', 'k.#', {}), ['a', 'b']],
      [() => declare.unbindQueue('a', 'amq.topic', 'k.*', {}), ['a', 'b']],
      [() => declare.deleteQueue('b', false, false), ['a']],
      [() => declare.unbindQueue('a', 'amq.topic', 'k.#', {}), []],
    ]
    for (const [change, expected] of steps) {
      change()
      for (let i = 0; i < 2; i++) expect(routed('amq.topic', 'k.x')).toEqual(expected)
    }
  })

  it('goes through exchanges, each queue once whatever the ways and cycles', async () => {
    const { declare, routed } = await start()
    declare.declareQueue('q', queue)
    for (const name of ['one', 'two']) declare.declareExchange(name, { ...exchange, type: 'fanout' })
    declare.bindExchange('one', 'two', '', {})
    declare.bindExchange('two', 'one', '', {})
    declare.bindExchange('one', 'amq.direct', 'k', {})
    declare.bindQueue('q', 'one', '', {})
    declare.bindQueue('q', 'two', '', {})
    expect(routed('amq.direct', 'k')).toEqual(['q'])
    expect(routed('two', 'k')).toEqual(['q'])
    declare.deleteExchange('one', false)
    expect(routed('amq.direct', 'k')).toEqual([])
    expect(routed('two', 'k')).toEqual(['q'])
    expect(() => routed('one', 'k')).toThrow("no exchange 'one' in vhost '/'")
  })

  it('that looks at headers anywhere is not remembered', async () => {
    const { vhost, declare } = await start()
    declare.declareQueue('q', queue)
    declare.bindQueue('q', 'amq.headers', '', { a: null })
    declare.bindExchange('amq.headers', 'amq.direct', 'k', {})
    const plain = sampleMessage({ exchange: 'amq.direct', routingKey: 'k' })
    expect(vhost.router.route(plain).queues).toEqual([])
    const head = plain.headerBuf.subarray(0, 12)
    const properties = Buffer.from('2000' + '00000007' + '0161' + '53' + '00000000', 'hex')
    properties.writeUInt32BE(properties.length - 6, 2)
    const headerBuf = Buffer.concat([head, properties])
    const marked = { ...plain, headerBuf, headerEnd: headerBuf.length }
    expect(vhost.router.route(marked).queues).toHaveLength(1)
    expect(vhost.router.route(plain).queues).toEqual([])
  })

  it('does not mistake names that run together', async () => {
    const { declare, routed } = await start()
    for (const name of ['a', 'ab']) declare.declareExchange(name, { ...exchange, type: 'direct' })
    declare.declareQueue('q1', queue)
    declare.declareQueue('q2', queue)
    declare.bindQueue('q1', 'a', 'bc', {})
    declare.bindQueue('q2', 'ab', 'c', {})
    for (let i = 0; i < 2; i++) {
      expect(routed('a', 'bc')).toEqual(['q1'])
      expect(routed('ab', 'c')).toEqual(['q2'])
    }
  })

  it('to many queues is not remembered once for each key', async () => {
    const { vhost, declare } = await start()
    declare.declareExchange('all', { ...exchange, type: 'fanout' })
    for (let i = 0; i < 2000; i++) {
      declare.declareQueue(`q${i}`, queue)
      declare.bindQueue(`q${i}`, 'all', '', {})
    }
    for (let i = 0; i < 600; i++) {
      const message = sampleMessage({ exchange: 'all', routingKey: `k${i}` })
      expect(vhost.router.route(message).queues).toHaveLength(2000)
    }
    expect(vhost.router.rememberedQueues).toBeLessThanOrEqual(500_000)
  })

  it.each([
    ['of thousands of keys that come again and again are remembered', 8000, 20, 0.15],
    ['of keys that come once take no more room', 72_000, 1, 1.2],
  ])('%s', async (_title, keys, rounds, findsPerKey) => {
    const { vhost, declare } = await start()
    declare.declareQueue('a', queue)
    declare.bindQueue('a', 'amq.topic', '#', {})
    const topic = vhost.exchanges.get('amq.topic') as Exchange
    let finds = 0
    const match = topic.match.bind(topic)
    topic.match = (...args) => {
      finds++
      match(...args)
    }
    const slots = () => (vhost.router as unknown as { cache: { slots: number } }).cache.slots
    const all = Array.from({ length: keys }, (_, i) => sampleMessage({ exchange: 'amq.topic', routingKey: `key.${i}` }))
    for (let round = 0; round < rounds; round++) for (const message of all) vhost.router.route(message)
    expect(slots()).toBe(rounds > 1 ? 65_536 : 4096)
    finds = 0
    for (const message of all) vhost.router.route(message)
    expect(finds / keys).toBeLessThan(findsPerKey)
  })

  it('of a queue with few bindings is forgotten by its deletion in time for those few', async () => {
    const { declare, routed } = await start()
    declare.declareQueue('many', queue)
    for (let i = 0; i < 50_000; i++) declare.bindQueue('many', 'amq.topic', `many.${i}`, {})
    const started = performance.now()
    for (let i = 0; i < 1000; i++) {
      declare.declareQueue('few', queue)
      for (const key of ['few.#', 'few.*']) declare.bindQueue('few', 'amq.topic', key, {})
      declare.deleteQueue('few', false, false)
    }
    expect(performance.now() - started).toBeLessThan(5_000)
    expect(routed('amq.topic', 'few.1')).toEqual([])
    expect(routed('amq.topic', 'many.49999')).toEqual(['many'])
  })
})
