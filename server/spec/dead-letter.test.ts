// Dead letters: where a message goes that a queue gives up, and the headers that say why. RabbitMQ docs "Dead Letter Exchanges"; the
// headers are those of RabbitMQ 4.3.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { decodeProperties, type FieldTable, type FieldValue, fieldValueText, Typed } from '../../protocol'
import { withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  const on = withRestarts()
  const declare = (queue: string, args: FieldTable = {}) =>
    on.channel.call('queue.declare', { queue, durable: true, arguments: args })
  const advance = async (ms: number) => {
    on.clock.advance(ms)
    await on.channel.sync()
  }
  const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
  const headersOf = (message: { properties: Buffer | object } | null) => {
    const p = message?.properties as Buffer | { headers?: FieldTable }
    return (Buffer.isBuffer(p) ? decodeProperties(p, 0, p.length) : p).headers ?? {}
  }
  const propertiesOf = (message: { properties: Buffer | object } | null) => {
    const p = message?.properties as Buffer | Record<string, unknown>
    return (Buffer.isBuffer(p) ? decodeProperties(p, 0, p.length) : p) as Record<string, unknown>
  }
  const deaths = (headers: FieldTable) => headers['x-death'] as FieldTable[]
  const plain = (value: FieldValue): unknown => (value instanceof Typed ? Number(fieldValueText(value)) : value)
  const shown = (death: FieldTable) => Object.fromEntries(Object.entries(death).map(([k, v]) => [k, plain(v)]))

  /** Ways for the first message of `q` to die. */
  const reject = async (channel: RawChannel) => {
    const message = await channel.get('q')
    channel.send('basic.reject', { deliveryTag: message?.args.deliveryTag, requeue: false })
    await channel.sync()
  }

  describe('a message that', () => {
    it.each<[string, FieldTable, (channel: RawChannel) => Promise<unknown>, string]>([
      ['is rejected', {}, reject, 'rejected'],
      ['expires', { 'x-message-ttl': 10 }, () => advance(10), 'expired'],
      ['is too much', { 'x-max-length': 0 }, () => advance(0), 'maxlen'],
      ['is refused', { 'x-max-length': 0, 'x-overflow': 'reject-publish-dlx' }, () => advance(0), 'maxlen'],
    ])('%s goes to the dead-letter exchange and says why', async (_title, args, die, reason) => {
      await declare('dead')
      await declare('q', { ...toDead, ...args })
      const headers = { own: 'x', n: new Typed('s', 5) }
      const channel = await on.openChannel()
      const properties = { deliveryMode: 2, headers, expiration: '100000', messageId: 'm', priority: 3 }
      channel.publish({ routingKey: 'q' }, 'body', properties)
      await channel.sync()
      await die(channel)
      await channel.sync()
      await on.flush()
      const message = await channel.get('dead')
      expect(message?.body.toString()).toBe('body')
      expect(message?.args).toMatchObject({ exchange: '', routingKey: 'dead', redelivered: false })
      expect(propertiesOf(message)).toMatchObject({ deliveryMode: 2, messageId: 'm', priority: 3 })
      expect(propertiesOf(message)).not.toHaveProperty('expiration')
      const { 'x-death': all, own, n, ...rest } = headersOf(message)
      expect([own, plain(n)]).toEqual(['x', 5])
      expect(rest).toEqual({
        'x-first-death-exchange': '',
        'x-first-death-queue': 'q',
        'x-first-death-reason': reason,
        'x-last-death-exchange': '',
        'x-last-death-queue': 'q',
        'x-last-death-reason': reason,
      })
      expect((all as FieldTable[]).map(shown)).toEqual([
        {
          count: 1,
          reason,
          queue: 'q',
          time: Math.floor(on.clock.now() / 1000),
          exchange: '',
          'routing-keys': ['q'],
          'original-expiration': '100000',
        },
      ])
      expect((await channel.call('queue.declare', { queue: 'q', passive: true })).messageCount).toBe(0)
    })
  })

  it('keeps the keys of the message, CC with them, where the queue names none', async () => {
    await on.channel.call('exchange.declare', { exchange: 'dlx', type: 'direct', durable: true })
    for (const key of ['q', 'cc', 'bcc']) {
      await declare(`dead-${key}`)
      await on.channel.call('queue.bind', { queue: `dead-${key}`, exchange: 'dlx', routingKey: key })
    }
    await declare('q', { 'x-dead-letter-exchange': 'dlx', 'x-message-ttl': 5 })
    await on.publish({ routingKey: 'q' }, 'm', { headers: { CC: ['cc'], BCC: ['bcc'] } })
    await advance(5)
    const message = await on.channel.get('dead-cc')
    expect(message?.args).toMatchObject({ exchange: 'dlx', routingKey: 'q' })
    expect(deaths(headersOf(message))[0]['routing-keys']).toEqual(['q', 'cc'])
    expect(headersOf(message).CC).toEqual(['cc'])
    expect(await on.channel.get('dead-q')).not.toBeNull()
    expect(await on.channel.get('dead-bcc')).toBeNull()
  })

  it('takes CC out where the queue names a key', async () => {
    await declare('dead')
    await declare('q', { ...toDead, 'x-message-ttl': 5 })
    await on.publish({ routingKey: 'q' }, 'm', { headers: { CC: ['dead'] } })
    await on.channel.call('queue.purge', { queue: 'dead' })
    await advance(5)
    expect(headersOf(await on.channel.get('dead'))).not.toHaveProperty('CC')
    expect(await on.channel.get('dead')).toBeNull()
  })

  it('counts how often a message died where for what, the newest first', async () => {
    await declare('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'wait' })
    await declare('wait', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q', 'x-message-ttl': 10 })
    await on.publish({ routingKey: 'q' }, 'm', { deliveryMode: 2 })
    const channel = await on.openChannel()
    for (let round = 1; round <= 5; round++) {
      await reject(channel)
      await advance(10)
      if (round === 3) await on.flush()
    }
    const headers = headersOf(await channel.get('q'))
    expect(deaths(headers).map(shown)).toMatchObject([
      { queue: 'wait', reason: 'expired', count: 5 },
      { queue: 'q', reason: 'rejected', count: 5 },
    ])
    expect(headers).toMatchObject({ 'x-first-death-queue': 'q', 'x-last-death-queue': 'wait' })
  })

  it('drops what goes round without anybody rejecting it', async () => {
    await declare('a', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'b', 'x-message-ttl': 1 })
    await declare('b', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'a', 'x-message-ttl': 1 })
    await declare('self', { 'x-dead-letter-exchange': '', 'x-max-length': 0, 'x-dead-letter-routing-key': 'self' })
    await on.publish({ routingKey: 'a' }, 'm', { deliveryMode: 2 })
    await on.publish({ routingKey: 'self' }, 'm', { deliveryMode: 2 })
    for (let i = 0; i < 5; i++) await advance(1)
    for (const queue of ['a', 'b', 'self']) {
      expect((await on.channel.call('queue.declare', { queue, passive: true })).messageCount).toBe(0)
    }
  })

  it.each<[string, Buffer]>([
    ['a message-id that is no UTF-8', Buffer.concat([Buffer.from('0080ff', 'hex'), Buffer.alloc(255, 0xff)])],
    ['the largest timestamp', Buffer.from('0040ffffffffffffffff', 'hex')],
    ['texts before and behind where headers stand', Buffer.from('c088026161016201630164', 'hex')],
    ['an expiration', Buffer.from('014001390000000000000001', 'hex')],
  ])('keeps %s as it came', async (_title, properties) => {
    await declare('dead')
    await declare('q', { ...toDead, 'x-message-ttl': 5 })
    on.channel.publish({ routingKey: 'q' }, 'm', properties)
    await on.channel.expect('basic.ack')
    await advance(9)
    const message = await on.channel.get('dead')
    expect(message?.body.toString()).toBe('m')
    const { headers, ...rest } = propertiesOf(message)
    const { expiration, ...own } = decodeProperties(properties, 0, properties.length)
    expect(rest).toEqual(own)
    expect(deaths(headers as FieldTable)[0]['original-expiration']).toBe(expiration)
  })

  it.each<[string, FieldValue]>([
    ['text', 'x'],
    ['no tables', [5, 'x', null]],
    ['an empty table', [{}]],
    ['a count that is a table', [{ queue: 'q', reason: 'expired', count: {} }]],
    ['a count that is text', [{ queue: 'q', reason: 'expired', count: 'many' }]],
    [
      'the largest count',
      [
        {
          count: new Typed('l', 2n ** 63n - 1n),
          reason: 'expired',
          queue: 'q',
          time: new Typed('T', 0),
          exchange: '',
          'routing-keys': ['q'],
        },
      ],
    ],
    ['names that are none', [{ queue: new Typed('S', Buffer.alloc(300, 0xff)), reason: 5, 'routing-keys': 'x' }]],
  ])('bears an x-death with %s', async (_title, value) => {
    await declare('dead')
    await declare('q', { ...toDead, 'x-message-ttl': 5 })
    await on.publish({ routingKey: 'q' }, 'm', { headers: { 'x-death': value } })
    await advance(5)
    expect(deaths(headersOf(await on.channel.get('dead')))[0]).toMatchObject({ queue: 'q', reason: 'expired' })
  })

  it('drops what a dead-letter exchange that is not there would get', async () => {
    await declare('q', { 'x-dead-letter-exchange': 'gone', 'x-message-ttl': 1 })
    await on.publish({ routingKey: 'q' }, 'm', { deliveryMode: 2 })
    await advance(1)
    expect(await on.channel.get('q')).toBeNull()
  })

  it.each(['rejected', 'expired', 'maxlen'])('is there once after a crash: %s', async (reason) => {
    await declare('dead')
    const args: Record<string, FieldTable> = {
      rejected: {},
      expired: { 'x-message-ttl': 10 },
      maxlen: { 'x-max-length': 2 },
    }
    await declare('q', { ...toDead, ...args[reason] })
    for (let i = 0; i < 20; i++) await on.publish({ routingKey: 'q' }, String(i), { deliveryMode: 2 })
    const channel = await on.openChannel()
    if (reason === 'expired') await advance(10)
    if (reason === 'rejected') {
      for (let i = 0; i < 20; i++) await reject(channel)
    }
    await on.flush()
    await on.crash()
    const count = reason === 'maxlen' ? 18 : 20
    expect(await on.channel.empty('dead')).toEqual(Array.from({ length: count }, (_, i) => String(i)))
    expect(await on.channel.empty('q')).toHaveLength(20 - count)
  })

  it('moves in a transaction with all else', async () => {
    await declare('dead')
    await declare('q', toDead)
    await on.publish({ routingKey: 'q' }, 'm', { deliveryMode: 2 })
    const channel = await on.openChannel()
    await channel.call('tx.select')
    const message = await channel.get('q')
    channel.send('basic.reject', { deliveryTag: message?.args.deliveryTag, requeue: false })
    expect(await on.channel.get('dead')).toBeNull()
    await channel.call('tx.commit')
    await on.channel.sync()
    expect((await on.channel.get('dead'))?.body.toString()).toBe('m')
  })

  describe('at least once', () => {
    const sure = { 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' }
    const comesTo = async (queue: string, expected: number) => {
      await advance(1000)
      expect((await on.channel.call('queue.declare', { queue, passive: true })).messageCount).toBe(expected)
    }

    it.each<[string, FieldTable, () => Promise<unknown>, FieldTable]>([
      ['no such exchange', {}, () => on.channel.call('exchange.declare', { exchange: 'dlx', type: 'fanout' }), {}],
      ['no such queue', {}, async () => {}, { exchange: 'dlx', type: 'fanout' }],
    ])('is tried again until somebody takes it: %s', async (_title, args, mend, exchange) => {
      if (exchange.exchange) await on.channel.call('exchange.declare', exchange)
      await declare('q', { 'x-dead-letter-exchange': 'dlx', ...sure, ...args })
      await on.publish({ routingKey: 'q' }, 'm', { deliveryMode: 2 })
      await reject(await on.openChannel())
      await advance(5000)
      await mend()
      await declare('dead')
      await on.channel.call('queue.bind', { queue: 'dead', exchange: 'dlx' })
      await comesTo('dead', 1)
      expect(deaths(headersOf(await on.channel.get('dead')))[0]).toMatchObject({ reason: 'rejected' })
      await comesTo('dead', 0)
    })

    it('is tried again while the queue is full, once', async () => {
      await declare('dead', { 'x-max-length': 1, 'x-overflow': 'reject-publish' })
      await declare('q', { ...toDead, ...sure, 'x-message-ttl': 10 })
      for (const body of 'abc') await on.publish({ routingKey: 'q' }, body, { deliveryMode: 2 })
      await advance(10)
      await on.channel.sync()
      const got: (string | undefined)[] = []
      for (let i = 0; i < 3; i++) {
        await advance(3000)
        got.push((await on.channel.get('dead', { noAck: true }))?.body.toString())
      }
      await advance(3000)
      expect(got.sort()).toEqual(['a', 'b', 'c'])
      expect(await on.channel.get('dead')).toBeNull()
    })

    it('counts in the limits of its queue, and is settled with it', async () => {
      await declare('q', { ...toDead, ...sure, 'x-max-length': 1 })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      await reject(await on.openChannel())
      on.channel.publish({ routingKey: 'q' }, 'b')
      await on.channel.expect('basic.nack')
      await on.channel.call('queue.delete', { queue: 'q' })
      await declare('dead')
      await comesTo('dead', 0)
    })

    it('survives a crash as a message that waits', async () => {
      await declare('q', { ...toDead, ...sure })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      await reject(await on.openChannel())
      await on.flush()
      await on.crash()
      expect((await on.channel.get('q'))?.body.toString()).toBe('a')
    })

    it.each([
      ['without that overflow', { ...sure, 'x-overflow': 'drop-head' }],
      ['without the strategy', { 'x-overflow': 'reject-publish' }],
    ])('is not promised %s', async (_title, args) => {
      await declare('q', { ...toDead, ...args })
      await on.publish({ routingKey: 'q' }, 'a', { deliveryMode: 2 })
      await reject(await on.openChannel())
      await declare('dead')
      await comesTo('dead', 0)
    })
  })

  it('overflows down a chain of a hundred queues', async () => {
    const n = 100
    for (let i = 0; i < n; i++) {
      await declare(`c${i}`, {
        'x-max-length': 0,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': `c${i + 1}`,
      })
    }
    await declare(`c${n}`)
    const channel = await on.openChannel()
    channel.publish({ routingKey: 'c0' }, 'm')
    await channel.sync()
    expect(deaths(headersOf(await channel.get(`c${n}`)))).toHaveLength(n)
  })
} else describe.skip('on another broker', () => it('', () => {}))
