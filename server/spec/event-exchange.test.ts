// amq.rabbitmq.event and amq.rabbitmq.log: what happens in the broker, as messages for whoever binds a queue to them.
import { describe, expect, it } from '@jest/globals'
import { type RawChannel, RawConnection } from '../../clients/raw'
import type { FieldTable } from '../../protocol'
import { Broker } from '../index'
import { type Call, itRefuses, perform, type Refusal } from './refusals'
import { withBroker } from './with-broker'
import { withRestarts } from './with-restarts'

const EVENTS = 'amq.rabbitmq.event'
const LOG = 'amq.rabbitmq.log'

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('amq.rabbitmq.event', () => {
    const broker = withBroker()

    /** A channel that hears the events whose keys match. */
    async function listen(routingKey: string, exchange = EVENTS): Promise<RawChannel> {
      const channel = await broker.channel()
      const queue = await broker.queue(channel)
      await channel.call('queue.bind', { queue, exchange, routingKey })
      await channel.call('basic.consume', { queue, noAck: true })
      return channel
    }

    const nextOf = async (channel: RawChannel) => {
      const { args, properties, body } = await channel.message()
      return { key: args.routingKey, headers: properties.headers as FieldTable, properties, body }
    }

    const rows: [key: string, given: Call[], does: Call, headers: FieldTable][] = [
      [
        'queue.created',
        [],
        ['queue.declare', { queue: '$q', autoDelete: true, arguments: { 'x-max-length': 5 } }],
        { name: '$q', durable: false, auto_delete: true, exclusive: false, arguments: { 'x-max-length': 5 } },
      ],
      ['queue.deleted', [['queue.declare', { queue: '$q' }]], ['queue.delete', { queue: '$q' }], { name: '$q' }],
      [
        'exchange.created',
        [],
        ['exchange.declare', { exchange: '$x', type: 'topic' }],
        { name: '$x', type: 'topic', durable: false, auto_delete: false, internal: false, arguments: {} },
      ],
      [
        'exchange.deleted',
        [['exchange.declare', { exchange: '$x', type: 'topic' }]],
        ['exchange.delete', { exchange: '$x' }],
        { name: '$x' },
      ],
      [
        'binding.created',
        [['queue.declare', { queue: '$q' }]],
        ['queue.bind', { queue: '$q', exchange: 'amq.topic', routingKey: 'k', arguments: { a: 1 } }],
        {
          source_name: 'amq.topic',
          source_kind: 'exchange',
          destination_name: '$q',
          destination_kind: 'queue',
          routing_key: 'k',
          arguments: { a: 1 },
        },
      ],
      [
        'binding.deleted',
        [
          ['queue.declare', { queue: '$q' }],
          ['queue.bind', { queue: '$q', exchange: 'amq.topic', routingKey: 'k' }],
        ],
        ['queue.unbind', { queue: '$q', exchange: 'amq.topic', routingKey: 'k' }],
        { source_name: 'amq.topic', destination_name: '$q', destination_kind: 'queue', routing_key: 'k' },
      ],
      [
        'consumer.created',
        [['queue.declare', { queue: '$q' }]],
        ['basic.consume', { queue: '$q', consumerTag: 'tag', exclusive: true }],
        { consumer_tag: 'tag', queue: '$q', exclusive: true, ack_required: true, prefetch_count: 0, arguments: {} },
      ],
      [
        'consumer.deleted',
        [
          ['queue.declare', { queue: '$q' }],
          ['basic.consume', { queue: '$q', consumerTag: 'tag' }],
        ],
        ['basic.cancel', { consumerTag: 'tag' }],
        { consumer_tag: 'tag', queue: '$q' },
      ],
    ]

    it.each(rows)('tells of %s', async (key, given, does, headers) => {
      const names: Record<string, string> = { $q: broker.name('q'), $x: broker.name('x') }
      const fill = <T>(value: T): T =>
        JSON.parse(JSON.stringify(value), (_, v) => (typeof v === 'string' && v in names ? names[v] : v))
      const channel = await broker.channel()
      await perform(channel, fill(given))
      const listener = await listen(key)
      await perform(channel, [fill(does)])
      let event = await nextOf(listener)
      // The listener hears of its own binding and consumer, too.
      while (!Object.values(event.headers).some((value) => Object.values(names).includes(value as string)))
        event = await nextOf(listener)
      expect(event.key).toBe(key)
      const vhost = { vhost: '/', timestamp_in_ms: expect.anything() }
      expect(event.headers).toMatchObject({ ...fill(headers), ...vhost })
      expect(event.body).toHaveLength(0)
      expect(event.properties).toMatchObject({ deliveryMode: 2, timestamp: expect.any(Number) })
      if (!key.startsWith('consumer.d')) expect(event.headers.user_who_performed_action).toBe('guest')
    })

    it('tells of connections and channels, and of who logs in', async () => {
      const listener = await listen('#')
      const hear = async (...keys: string[]) => {
        const heard: FieldTable[] = []
        for (const key of keys) {
          const event = await nextOf(listener)
          expect(event.key).toBe(key)
          heard.push(event.headers)
        }
        return heard
      }
      await hear('binding.created', 'consumer.created')
      const connection = await RawConnection.connect(broker.url)
      await connection.handshake()
      const [login, created] = await hear('user.authentication.success', 'connection.created')
      expect(login).toMatchObject({ name: 'guest', auth_mechanism: 'PLAIN', peer_host: '127.0.0.1' })
      expect(created).toMatchObject({ user: 'guest', vhost: '/', protocol: '{0,9,1}', channel_max: 2047, ssl: false })
      await connection.openChannel(3)
      expect(await hear('channel.created')).toMatchObject([{ number: 3, connection: created.name, user: 'guest' }])
      await connection.close()
      expect(await hear('channel.closed', 'connection.closed')).toMatchObject([{ number: 3 }, { name: created.name }])
      const stranger = await RawConnection.connect(broker.url)
      await stranger.authenticate({ user: 'nobody', password: 'x' })
      await stranger.expectClose()
      expect(await hear('user.authentication.failure')).toMatchObject([{ name: 'nobody', peer_host: '127.0.0.1' }])
    })

    it('tells of limits, and of alarms', async () => {
      const admin = await Broker.start({ port: 0, adminPort: 0, memoryLimit: 16 * 1024 * 1024 })
      const connection = await RawConnection.connect(admin.url)
      const filler = await RawConnection.connect(admin.url)
      try {
        await connection.handshake()
        await filler.handshake()
        const [listener, channel] = [await connection.openChannel(1), await filler.openChannel(1)]
        await listener.call('queue.declare', { queue: 'heard', exclusive: true })
        for (const routingKey of ['*.limits.*', 'alarm.*']) {
          await listener.call('queue.bind', { queue: 'heard', exchange: EVENTS, routingKey })
        }
        await listener.call('basic.consume', { queue: 'heard', noAck: true })
        const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
        const headers = { authorization, 'content-type': 'application/json' }
        for (const [method, path] of [
          ['PUT', 'vhost-limits/%2F/max-queues'],
          ['DELETE', 'vhost-limits/%2F/max-queues'],
          ['PUT', 'user-limits/guest/max-channels'],
        ]) {
          const body = method === 'PUT' ? JSON.stringify({ value: 77 }) : undefined
          await fetch(`${admin.adminUrl}/api/${path}`, { method, headers, body })
        }
        const next = async () => {
          const event = await nextOf(listener)
          const { timestamp_in_ms: _, user_who_performed_action: _who, ...rest } = event.headers
          return { key: event.key, ...rest }
        }
        expect(await next()).toEqual({ key: 'vhost.limits.set', name: '/', limits: { 'max-queues': 77 } })
        expect(await next()).toEqual({ key: 'vhost.limits.cleared', name: '/', limit: 'max-queues' })
        expect(await next()).toEqual({ key: 'user.limits.set', name: 'guest', limits: { 'max-channels': 77 } })
        await channel.call('queue.declare', { queue: 'full' })
        for (let i = 0; i < 15; i++) channel.publishTo('full', Buffer.alloc(1_000_000))
        const alarm = { source: 'memory', node: expect.any(String) }
        expect(await next()).toEqual({ key: 'alarm.set', ...alarm })
        await listener.call('queue.purge', { queue: 'full' })
        expect(await next()).toEqual({ key: 'alarm.cleared', ...alarm })
      } finally {
        await connection.close()
        await filler.close()
        await admin.stop({ hurry: true })
      }
    })

    it('tells amq.rabbitmq.log what is logged, the level is the key', async () => {
      const listener = await listen('#', LOG)
      const warnings = await listen('warning', LOG)
      const stranger = await RawConnection.connect(broker.url)
      await stranger.authenticate({ user: 'nobody', password: 'x' })
      await stranger.expectClose()
      const { key, properties, body } = await nextOf(warnings)
      expect(key).toBe('warning')
      expect(properties).toMatchObject({ contentType: 'text/plain', headers: { node: expect.any(String) } })
      expect(body.toString()).toMatch(/^Login refused connection=".*" user=nobody mechanism=PLAIN$/)
      expect(await nextOf(listener)).toMatchObject({ key: 'info' }) // the connection of the other listener
    })

    itRefuses(
      broker,
      [EVENTS, LOG].flatMap((exchange): Refusal[] => [
        {
          when: `a client publishes to ${exchange}`,
          does: ['basic.publish', { exchange, routingKey: 'queue.created' }],
          scope: 'channel',
          code: 403,
          text: `ACCESS_REFUSED - cannot publish to internal exchange '${exchange}' in vhost '/'`,
        },
        {
          when: `a client deletes ${exchange}`,
          does: ['exchange.delete', { exchange }],
          scope: 'channel',
          code: 403,
          text: `ACCESS_REFUSED - deletion of system exchange '${exchange}' in vhost '/' not allowed`,
        },
      ]),
    )
  })

  describe('after a restart', () => {
    const on = withRestarts()

    it('durable bindings hear on; what is brought back is not told', async () => {
      await on.channel.call('queue.declare', { queue: 'heard', durable: true })
      await on.channel.call('queue.bind', { queue: 'heard', exchange: EVENTS, routingKey: 'queue.*' })
      await on.channel.call('queue.declare', { queue: 'before', durable: true })
      await on.restart()
      await on.channel.call('queue.declare', { queue: 'after', durable: true })
      await on.channel.sync('heard')
      const names: unknown[] = []
      for (let m = await on.channel.get('heard'); m; m = await on.channel.get('heard'))
        names.push((m.properties.headers as FieldTable).name)
      expect(names).toEqual(['before', 'after'])
    })
  })
}
