// What the admin API shows of a broker that is in use: a client over AMQP, messages on their way, and the fields that
// tools insist on.
import { beforeAll, describe, expect, it } from '@jest/globals'
import type { ConfirmChannel } from 'amqplib'
import { type Json, withAdmin } from '../spec/with-admin'
import { eventually } from '../spec/with-broker'

const admin = withAdmin()
let channel: ConfirmChannel
let connection: string

beforeAll(async () => {
  const client = await admin.client('shop')
  channel = await client.createConfirmChannel()
  await channel.assertQueue('orders', { arguments: { 'x-max-length': 1000 } })
  await channel.assertQueue('mine', { exclusive: true })
  await channel.assertExchange('shop', 'topic', { durable: false, arguments: { note: 'n' } })
  await channel.bindQueue('orders', 'shop', 'order.#')
  await channel.bindExchange('amq.topic', 'shop', 'all')
  await channel.prefetch(2)
  await channel.consume('orders', () => {}, { consumerTag: 'worker', priority: 3 })
  for (let i = 0; i < 5; i++) channel.publish('shop', 'order.new', Buffer.from('hello'), { persistent: true })
  channel.publish('shop', 'lost', Buffer.from('x'))
  await channel.waitForConfirms()
  const [{ name }] = await admin.get('/api/connections')
  connection = name
})

describe('fields that tools insist on', () => {
  it.each<[path: () => string, fields: string]>([
    [() => '/api/queues/%2F/orders', 'name vhost type durable auto_delete exclusive arguments node state consumers'],
    [() => '/api/nodes/NODE', 'name uptime run_queue processors os_pid fd_total fd_used proc_total mem_limit mem_used'],
    [() => '/api/nodes/NODE', 'mem_alarm disk_free disk_free_limit disk_free_alarm rates_mode enabled_plugins running'],
    [() => '/api/nodes/NODE', 'being_drained partitions sockets_used sockets_total proc_used type applications'],
    [() => `/api/connections/${encodeURIComponent(connection)}`, 'name node protocol user connected_at state vhost'],
    [() => `/api/connections/${encodeURIComponent(connection)}`, 'host port peer_host peer_port recv_oct send_oct ssl'],
    [
      () => `/api/channels/${encodeURIComponent(`${connection} (1)`)}`,
      'number name vhost state consumer_count confirm',
    ],
    [() => `/api/channels/${encodeURIComponent(`${connection} (1)`)}`, 'prefetch_count messages_unacknowledged user'],
    [() => `/api/channels/${encodeURIComponent(`${connection} (1)`)}`, 'messages_unconfirmed transactional node'],
    [() => '/api/vhosts/%2F', 'name description tags default_queue_type metadata tracing cluster_state'],
    [() => '/api/exchanges/%2F/shop', 'name vhost type durable auto_delete internal arguments message_stats'],
    [() => '/api/overview', 'rabbitmq_version management_version erlang_version product_name product_version node'],
    [() => '/api/overview', 'cluster_name rates_mode object_totals queue_totals message_stats churn_rates listeners'],
    [() => '/api/overview', 'exchange_types contexts statistics_db_event_queue cluster_tags node_tags'],
  ])('%s', async (path, fields) => {
    const { node } = await admin.get('/api/overview')
    const item = await admin.get(path().replace('NODE', node))
    const given = fields.split(' ').filter((field) => item[field] !== undefined && item[field] !== null)
    expect(given.join(' ')).toBe(fields)
  })
})

describe('what is shown', () => {
  it('of the broker', async () => {
    const overview = await admin.get('/api/overview')
    expect(overview).toMatchObject({
      product_name: 'Leveret',
      rabbitmq_version: '4.3.0',
      object_totals: { connections: 1, channels: 1, queues: 2, consumers: 1, exchanges: 10 },
      queue_totals: { messages: 5, messages_ready: 3, messages_unacknowledged: 2 },
      message_stats: { publish: 6, confirm: 6, deliver: 2, deliver_get: 2, drop_unroutable: 1, ack: 0 },
      churn_rates: { connection_created: 1, channel_created: 1, queue_created: 2 },
    })
    expect(overview.listeners.map(({ protocol, port }: Json) => [protocol, port])).toEqual([
      ['amqp', admin.broker.port],
      ['http', admin.broker.adminPort],
    ])
  })

  it('of a queue', async () => {
    const queue = await admin.get('/api/queues/%2F/orders')
    expect(queue).toMatchObject({
      name: 'orders',
      durable: true,
      exclusive: false,
      arguments: { 'x-max-length': 1000, 'x-queue-type': 'classic' },
      consumers: 1,
      messages: 5,
      messages_ready: 3,
      messages_unacknowledged: 2,
      message_bytes: 25,
      message_bytes_ready: 15,
      message_bytes_unacknowledged: 10,
      message_stats: { publish: 5, deliver: 2, deliver_get: 2, ack: 0 },
    })
    expect(queue.consumer_details).toEqual(await admin.get('/api/consumers'))
    expect(Date.parse(queue.idle_since)).not.toBeNaN()
  })

  it('of an exclusive queue, with its owner', async () => {
    const queue = await admin.get('/api/queues/%2F/mine')
    expect(queue).toMatchObject({ exclusive: true, owner_pid_details: { name: connection } })
  })

  it('of a connection', async () => {
    expect(await admin.get(`/api/connections/${encodeURIComponent(connection)}`)).toMatchObject({
      user_provided_name: 'shop',
      user: 'guest',
      vhost: '/',
      state: 'running',
      type: 'network',
      protocol: 'AMQP 0-9-1',
      port: admin.broker.port,
      channels: 1,
      client_properties: { product: 'amqplib', capabilities: { 'basic.nack': true } },
      recv_oct_details: { rate: expect.any(Number) },
    })
  })

  it('of a channel, and where else', async () => {
    const name = `${connection} (1)`
    const item = await admin.get(`/api/channels/${encodeURIComponent(name)}`)
    expect(item).toMatchObject({
      name,
      number: 1,
      confirm: true,
      prefetch_count: 2,
      consumer_count: 1,
      messages_unacknowledged: 2,
      connection_details: { name: connection },
      message_stats: { publish: 6, confirm: 6 },
    })
    expect(item.consumer_details).toEqual(await admin.get('/api/consumers/%2F'))
    for (const path of [
      '/api/channels',
      '/api/vhosts/%2F/channels',
      `/api/connections/${encodeURIComponent(connection)}/channels`,
    ])
      expect((await admin.get(path)).map((c: Json) => c.name)).toEqual([name])
    for (const path of ['/api/connections', '/api/vhosts/%2F/connections', '/api/connections/username/guest'])
      expect((await admin.get(path)).map((c: Json) => c.name)).toEqual([connection])
    expect(await admin.get('/api/connections/username/nobody')).toEqual([])
  })

  it('of a consumer', async () => {
    expect(await admin.get('/api/consumers')).toEqual([
      {
        consumer_tag: 'worker',
        queue: { name: 'orders', vhost: '/' },
        ack_required: true,
        exclusive: false,
        prefetch_count: 2,
        active: true,
        activity_status: 'blocked',
        consumer_timeout: null,
        arguments: { 'x-priority': 3 },
        channel_details: expect.objectContaining({ connection_name: connection, number: 1, user: 'guest' }),
      },
    ])
  })

  it('of an exchange', async () => {
    expect(await admin.get('/api/exchanges/%2F/shop')).toMatchObject({
      type: 'topic',
      durable: false,
      arguments: { note: 'n' },
      message_stats: { publish_in: 6, publish_out: 5 },
      incoming: [],
      outgoing: [],
    })
    expect((await admin.get('/api/exchanges/%2F/amq.default')).name).toBe('')
  })

  it('of a vhost', async () => {
    const vhost = await admin.get('/api/vhosts/%2F')
    expect(vhost).toMatchObject({ name: '/', messages: 5, messages_ready: 3, message_stats: { publish: 6 } })
    expect((await admin.get('/api/vhosts')).map((v: Json) => v.name)).toEqual(['/'])
  })
})

describe('bindings', () => {
  const toOrders = { source: 'shop', destination: 'orders', destination_type: 'queue', routing_key: 'order.#' }
  const byDefault = { source: '', destination: 'orders', destination_type: 'queue', properties_key: 'orders' }
  const toTopic = { source: 'shop', destination: 'amq.topic', destination_type: 'exchange', properties_key: 'all' }

  it.each<[path: string, expected: Json[]]>([
    ['/api/queues/%2F/orders/bindings', [byDefault, toOrders]],
    ['/api/exchanges/%2F/shop/bindings/source', [toTopic, toOrders]],
    ['/api/exchanges/%2F/amq.topic/bindings/destination', [toTopic]],
    ['/api/exchanges/%2F/shop/bindings/destination', []],
    ['/api/bindings/%2F/e/shop/q/orders', [toOrders]],
    ['/api/bindings/%2F/e/shop/e/amq.topic', [toTopic]],
    ['/api/bindings/%2F/e/amq.default/q/orders', [byDefault]],
    ['/api/bindings/%2F', [{ destination: 'mine' }, byDefault, toTopic, toOrders]],
    ['/api/bindings', [{ destination: 'mine' }, byDefault, toTopic, toOrders]],
  ])('%s', async (path, expected) => {
    expect(await admin.get(path)).toMatchObject(expected)
  })

  it.each([
    ['', {}, /^~$/],
    ['a.b', {}, /^a\.b$/],
    ['a b/c~d_é#*', {}, /^a%20b%2Fc%7Ed%5F%C3%A9%23%2A$/],
    ['~', {}, /^%7E$/],
    ['', { k: 1 }, /^~[\w-]{11}$/],
    ['k', { k: [1, { deep: true }], n: 1.5, z: null }, /^k~[\w-]{11}$/],
    ['k', { k: 'another' }, /^k~[\w-]{11}$/],
  ])('%j %j is made, found by its properties key and removed', async (routing_key, args, key) => {
    const path = '/api/bindings/%2F/e/amq.headers/q/orders'
    const { status, headers } = await admin.request('POST', path, { routing_key, arguments: args })
    expect(status).toBe(201)
    const location = headers.get('location') ?? ''
    const [, properties] = location.split('/').map(decodeURIComponent)
    expect(properties).toMatch(key)
    const one = await admin.get(`/api/bindings/%2F/e/amq.headers/q/${location}`)
    expect(one).toMatchObject({ routing_key, arguments: args, properties_key: properties })
    expect((await admin.request('DELETE', `/api/bindings/%2F/e/amq.headers/q/${location}`)).status).toBe(204)
    expect(await admin.get(path)).toEqual([])
  })

  it('is found by a routing key that was encoded only once, too', async () => {
    await admin.request('POST', '/api/bindings/%2F/e/amq.direct/q/orders', { routing_key: 'a b_c' })
    const path = '/api/bindings/%2F/e/amq.direct/q/orders/a%20b_c'
    expect((await admin.get(path)).routing_key).toBe('a b_c')
    expect((await admin.request('DELETE', path)).status).toBe(204)
  })
})

describe('closing a connection', () => {
  it.each([
    [{ 'x-reason': 'tired of you' }, 'CONNECTION_FORCED - tired of you'],
    [{}, 'CONNECTION_FORCED - Closed via management plugin'],
  ])('%j', async (headers, text) => {
    const client = await admin.client('victim')
    const closed = new Promise<Error>((resolve) => client.on('close', resolve)) // amqplib: not an error
    const found = (await admin.get('/api/connections')).find((c: Json) => c.user_provided_name === 'victim')
    const path = `/api/connections/${encodeURIComponent(found.name)}`
    expect((await admin.request('DELETE', path, undefined, headers as Record<string, string>)).status).toBe(204)
    const error = (await closed) as Error & { code: number }
    expect(error.code).toBe(320)
    expect(error.message).toMatch(text)
    await eventually(async () => expect((await admin.request('GET', path)).status).toBe(404))
  })
})
