// Limits of virtual hosts and users, set over HTTP, and those that hold in each channel: what is refused, in RabbitMQ's words.
import { describe, expect, it } from '@jest/globals'
import { RawConnection } from '../../clients/raw'
import { withBroker } from './with-broker'
import { type RestartingBroker, withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`

  const http = async ({ broker }: RestartingBroker, method: string, path: string, body?: unknown) => {
    const init = { method, headers: { authorization }, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await fetch(`${broker.adminUrl}/api/${path}`, init)
    const text = await response.text()
    return { status: response.status, json: text === '' ? null : JSON.parse(text) }
  }

  /** What the broker says to connection.open; null: it lets the client in. */
  const tryToConnect = async (url: string) => {
    const connection = await RawConnection.connect(url)
    try {
      await connection.authenticate()
      await connection.tune()
      connection.channel(0).send('connection.open', { virtualHost: '/' })
      const answer = await connection.next(0)
      if (answer.kind !== 'method') throw new Error(`got ${answer.kind}`)
      if (answer.name !== 'connection.close') return null
      connection.send(0, 'connection.close-ok')
      return `${answer.args.replyCode} ${answer.args.replyText}`
    } finally {
      await connection.close()
    }
  }

  describe('a limit', () => {
    const broker = withRestarts()
    const set = (path: string, value: unknown) => http(broker, 'PUT', path, { value })

    it.each([
      ['vhost-limits', '%2F', { vhost: '/' }, 'max-queues'],
      ['user-limits', 'guest', { user: 'guest' }, 'max-channels'],
    ])('of %s is set, listed, replaced and deleted', async (path, subject, named, name) => {
      expect((await http(broker, 'GET', path)).json).toEqual([])
      expect((await set(`${path}/${subject}/max-connections`, 5)).status).toBe(204)
      expect((await set(`${path}/${subject}/${name}`, 6)).status).toBe(204)
      expect((await set(`${path}/${subject}/${name}`, '7')).status).toBe(204)
      const expected = [{ ...named, value: { 'max-connections': 5, [name]: 7 } }]
      expect((await http(broker, 'GET', path)).json).toEqual(expected)
      expect((await http(broker, 'GET', `${path}/${subject}`)).json).toEqual(expected)
      for (const limit of ['max-connections', name])
        expect((await http(broker, 'DELETE', `${path}/${subject}/${limit}`)).status).toBe(204)
      expect((await http(broker, 'GET', `${path}/${subject}`)).json).toEqual([])
      expect((await http(broker, 'DELETE', `${path}/${subject}/${name}`)).status).toBe(204)
    })

    it.each([
      ['an unknown limit', 'vhost-limits/%2F/max-channels', { value: 1 }, 400, /Unrecognised terms/],
      ['an unknown limit', 'user-limits/guest/max-queues', { value: 1 }, 400, /Unrecognised terms/],
      ['no number', 'vhost-limits/%2F/max-queues', { value: 'many' }, 400, /not_integer/],
      ['a fraction', 'vhost-limits/%2F/max-queues', { value: 1.5 }, 400, /not_integer/],
      ['no value', 'vhost-limits/%2F/max-queues', {}, 400, /key_missing,value/],
      ['no such vhost', 'vhost-limits/nowhere/max-queues', { value: 1 }, 404, /Not Found/],
      ['no such user', 'user-limits/nobody/max-channels', { value: 1 }, 404, /Not Found/],
    ])('is refused: %s (%s)', async (_what, path, body, status, reason) => {
      const answer = await http(broker, 'PUT', path, body)
      expect(answer.status).toBe(status)
      expect(JSON.stringify(answer.json)).toMatch(reason)
    })

    it.each([
      [
        'vhost-limits/%2F',
        "530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': vhost connection limit (2) is reached",
      ],
      [
        'user-limits/guest',
        "530 NOT_ALLOWED - Connection refused for user 'guest': user connection limit (2) is reached",
      ],
    ])('of connections: %s', async (path, refusal) => {
      await set(`${path}/max-connections`, 2)
      const url = broker.broker.url
      expect(await tryToConnect(url)).toBeNull()
      const second = await RawConnection.connect(url)
      await second.handshake()
      expect(await tryToConnect(url)).toBe(refusal)
      await second.close()
      expect(await tryToConnect(url)).toBeNull()
      await set(`${path}/max-connections`, 0)
      expect(await tryToConnect(url)).toBe(refusal.replace('(2)', '(0)'))
      await set(`${path}/max-connections`, -1)
      expect(await tryToConnect(url)).toBeNull()
    })

    it('of channels counts those of all connections of the user', async () => {
      await set('user-limits/guest/max-channels', 2)
      const other = await RawConnection.connect(broker.broker.url)
      await other.handshake()
      const first = await other.openChannel(1)
      other.channel(2).send('channel.open', {})
      const { code, text } = await other.expectClose()
      const reached = "number of channels opened for user 'guest' has reached the maximum allowed user limit of (2)"
      expect([code, text]).toEqual([530, `NOT_ALLOWED - ${reached}`])
      expect(first.number).toBe(1)
      await other.close()
      const again = await RawConnection.connect(broker.broker.url)
      await again.handshake()
      await (await again.openChannel(1)).close()
      await again.openChannel(2)
      await again.close()
    })

    it('of queues counts every queue, and lets what exists be declared again', async () => {
      const { channel } = broker
      await channel.call('queue.declare', { queue: 'one', durable: true })
      await set('vhost-limits/%2F/max-queues', 2)
      await channel.call('queue.declare', { queue: 'two', exclusive: true })
      await channel.call('queue.declare', { queue: 'one', durable: true })
      channel.send('queue.declare', { queue: 'three' })
      const text = "PRECONDITION_FAILED - cannot declare queue 'three': queue limit in vhost '/' (2) is reached"
      expect(await channel.expectClose()).toMatchObject({ code: 406, text })
      const overHttp = await http(broker, 'PUT', 'queues/%2F/three', {})
      expect(overHttp).toMatchObject({ status: 400, json: { reason: text.slice('PRECONDITION_FAILED - '.length) } })
      await channel.call('channel.open')
      await channel.call('queue.delete', { queue: 'two' })
      await channel.call('queue.declare', { queue: 'three' })
    })

    it('survives a restart, and a crash', async () => {
      await set('vhost-limits/%2F/max-queues', 0)
      await set('user-limits/guest/max-channels', 9)
      for (const again of ['restart', 'crash'] as const) {
        await broker[again]()
        expect((await http(broker, 'GET', 'vhost-limits')).json).toEqual([{ vhost: '/', value: { 'max-queues': 0 } }])
        expect((await http(broker, 'GET', 'user-limits')).json).toEqual([
          { user: 'guest', value: { 'max-channels': 9 } },
        ])
        broker.channel.send('queue.declare', { queue: 'q' })
        expect(await broker.channel.expectClose()).toMatchObject({ code: 406 })
      }
    })
  })

  describe('the limit of each', () => {
    const broker = withBroker({ consumerMaxPerChannel: 2, channelMax: 3, maxMessageSize: 100 })

    it('channel: consumers', async () => {
      const channel = await broker.channel()
      const queue = await broker.queue(channel)
      for (const consumerTag of ['a', 'b']) await channel.call('basic.consume', { queue, consumerTag })
      await channel.call('basic.cancel', { consumerTag: 'a' })
      await channel.call('basic.consume', { queue, consumerTag: 'c' })
      channel.send('basic.consume', { queue, consumerTag: 'd' })
      const text = 'NOT_ALLOWED - reached maximum (2) of consumers per channel'
      expect(await channel.connection.expectClose()).toEqual({ code: 530, text, method: 'basic.consume' })
    })

    it('connection: channels, by their count', async () => {
      const connection = await broker.connect()
      for (const number of [1, 2, 3]) await connection.openChannel(number)
      await connection.channel(2).close()
      await connection.openChannel(2)
      connection.channel(4).send('channel.open', {})
      const text = 'NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)'
      expect(await connection.expectClose()).toMatchObject({ code: 530, text })
    })

    it('message: its size', async () => {
      const channel = await broker.channel()
      const queue = await broker.queue(channel)
      channel.publishTo(queue, 'x'.repeat(100))
      await channel.sync(queue)
      channel.publishTo(queue, 'x'.repeat(101))
      const text = 'PRECONDITION_FAILED - message size 101 is larger than configured max size 100'
      expect(await channel.expectClose()).toMatchObject({ code: 406, text, method: 'basic.publish' })
    })
  })
}
