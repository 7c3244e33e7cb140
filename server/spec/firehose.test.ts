// The firehose: copies of what a vhost's clients publish and get, at the exchange amq.rabbitmq.trace, while tracing is on.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { RawConnection } from '../../clients/raw'
import { type Properties, Typed } from '../../protocol'
import { itRefuses } from './refusals'
import { withAdmin } from './with-admin'
import { withBroker } from './with-broker'

const TRACE = 'amq.rabbitmq.trace'

describe('the exchange', () => {
  const broker = withBroker()
  itRefuses(broker, [
    {
      when: 'published to',
      does: ['basic.publish', { exchange: TRACE }],
      scope: 'channel',
      code: 403,
      text: `ACCESS_REFUSED - cannot publish to internal exchange '${TRACE}' in vhost '/'`,
    },
    {
      when: 'deleted',
      does: ['exchange.delete', { exchange: TRACE }],
      scope: 'channel',
      code: 403,
      text: `ACCESS_REFUSED - deletion of system exchange '${TRACE}' in vhost '/' not allowed`,
    },
  ])

  it('is there, durable, internal, a topic exchange', async () => {
    const channel = await broker.channel()
    await channel.call('exchange.declare', { exchange: TRACE, type: 'topic', durable: true, internal: true })
  })
})

if (process.env.AMQP_SPEC_URL === undefined) {
  describe('tracing', () => {
    const admin = withAdmin({ nodeName: 'node' })

    async function on(isOn: boolean): Promise<void> {
      await admin.put('/api/vhosts/%2F', { tracing: isOn })
      expect(await admin.get('/api/vhosts/%2F')).toMatchObject({ tracing: isOn })
    }

    async function start() {
      const connection = await RawConnection.connect(admin.broker.url)
      await connection.handshake()
      const [channel, tracer] = [await connection.openChannel(1), await connection.openChannel(2)]
      const { queue } = await channel.call('queue.declare', { exclusive: true })
      const traces = (await tracer.call('queue.declare', { exclusive: true })).queue
      await tracer.call('queue.bind', { queue: traces, exchange: TRACE, routingKey: '#' })
      return { connection, channel, tracer, queue, traces }
    }

    const rest = { channel: 1, node: 'node', user: 'guest', vhost: '/', connection: expect.stringContaining(' -> ') }

    async function traced(tracer: RawChannel, traces: string) {
      const found = []
      for (let m = await tracer.get(traces, { noAck: true }); m; m = await tracer.get(traces, { noAck: true })) {
        const { exchange, routingKey } = m.args
        expect(exchange).toBe(TRACE)
        found.push({ key: routingKey, body: m.body.toString(), ...m.properties })
      }
      return found
    }

    it('copies publishes and deliveries, with what is known of them', async () => {
      await on(true)
      const { connection, channel, tracer, queue, traces } = await start()
      const properties: Properties = {
        contentType: 'text/plain',
        headers: { a: 1, CC: ['cc'] },
        deliveryMode: 2,
        timestamp: 123,
        messageId: 'id',
      }
      const withBcc = { ...properties, headers: { ...properties.headers, BCC: ['bcc'] } }
      const shown = {
        content_type: 'text/plain',
        delivery_mode: 2,
        headers: { a: 1, CC: ['cc'] },
        message_id: 'id',
        timestamp: new Typed('T', 123),
      }
      channel.publishTo(queue, 'routed', withBcc)
      channel.publish({ exchange: 'amq.direct', routingKey: 'nowhere' }, 'lost')
      await channel.get(queue)
      channel.send('basic.recover', { requeue: true })
      await channel.expect('basic.recover-ok')
      await channel.call('basic.consume', { queue, noAck: true })
      await channel.message()
      const about = (exchange: string, keys: string[], properties: object) => ({
        ...rest,
        exchange_name: exchange,
        routing_keys: keys,
        properties,
      })
      expect(await traced(tracer, traces)).toEqual([
        {
          key: 'publish.',
          body: 'routed',
          headers: { ...about('', [queue, 'cc', 'bcc'], shown), routed_queues: [queue] },
        },
        {
          key: 'publish.amq.direct',
          body: 'lost',
          headers: { ...about('amq.direct', ['nowhere'], {}), routed_queues: [] },
        },
        { key: `deliver.${queue}`, body: 'routed', headers: { ...about('', [queue], shown), redelivered: 0 } },
        { key: `deliver.${queue}`, body: 'routed', headers: { ...about('', [queue], shown), redelivered: 1 } },
      ])
      await connection.close()
    })

    it('copies nothing while it is off', async () => {
      await on(false)
      const { connection, channel, tracer, queue, traces } = await start()
      channel.publishTo(queue, 'm')
      await channel.get(queue, { noAck: true })
      expect(await traced(tracer, traces)).toEqual([])
      await connection.close()
    })

    it('has keys to choose by, and does not trace itself', async () => {
      await on(true)
      const { connection, channel, tracer, queue, traces } = await start()
      await tracer.call('queue.unbind', { queue: traces, exchange: TRACE, routingKey: '#' })
      await tracer.call('queue.bind', { queue: traces, exchange: TRACE, routingKey: `deliver.${queue}` })
      channel.publishTo(queue, 'm')
      await channel.get(queue, { noAck: true })
      expect(await traced(tracer, traces)).toMatchObject([{ key: `deliver.${queue}` }])
      await tracer.call('queue.bind', { queue: traces, exchange: TRACE, routingKey: '#' })
      channel.publishTo(queue, 'm')
      await tracer.get(traces, { noAck: true })
      expect(await traced(tracer, traces)).toEqual([])
      await connection.close()
    })

    it('cuts off what is too long for a routing key', async () => {
      await on(true)
      const { connection, channel, tracer, traces } = await start()
      const exchange = 'x'.repeat(255)
      await channel.call('exchange.declare', { exchange, type: 'fanout', autoDelete: true })
      channel.publish({ exchange }, 'm')
      await channel.sync()
      expect(await traced(tracer, traces)).toMatchObject([{ key: `publish.${exchange}`.slice(0, 255) }])
      await channel.call('exchange.delete', { exchange })
      await connection.close()
    })

    it.each([
      ['/api/vhosts/nowhere', { tracing: true }, 404],
      ['/api/vhosts/%2F', { tracing: 'perhaps' }, 400],
      ['/api/vhosts/%2F', {}, 204],
    ])('PUT %s %j is answered %i', async (path, body, status) => {
      expect((await admin.request('PUT', path, body)).status).toBe(status)
    })
  })
}
