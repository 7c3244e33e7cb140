// A queue that is paused takes messages and hands out none; part of a queue's messages may be purged. LavinMQ's requests over
// HTTP; RabbitMQ has neither.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type RestartingBroker, withRestarts } from './with-restarts'

if (process.env.AMQP_SPEC_URL === undefined) {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`

  const http = async ({ broker }: RestartingBroker, method: string, path: string) => {
    const response = await fetch(`${broker.adminUrl}/api/queues/%2F/${path}`, { method, headers: { authorization } })
    const text = await response.text()
    return { status: response.status, json: text === '' ? null : JSON.parse(text) }
  }

  /** A channel without confirms. */
  const plain = (on: RestartingBroker) => on.channel.connection.openChannel(2)

  describe('a paused queue', () => {
    const on = withRestarts()
    const put = async (path: string) => expect((await http(on, 'PUT', path)).status).toBe(204)
    const state = async (queue: string) => (await http(on, 'GET', queue)).json.state
    const publish = (channel: RawChannel, ...bodies: string[]) => {
      for (const body of bodies) channel.publish({ routingKey: 'q' }, body, { deliveryMode: 2 })
    }

    it('hands out nothing to consumers and takes messages, until it is resumed', async () => {
      const channel = await plain(on)
      await channel.call('queue.declare', { queue: 'q' })
      await channel.call('basic.consume', { queue: 'q', noAck: true })
      expect(await state('q')).toBe('running')
      await put('q/pause')
      await put('q/pause')
      expect(await state('q')).toBe('paused')
      publish(channel, '1', '2')
      expect(await channel.call('queue.declare', { queue: 'q' })).toMatchObject({ messageCount: 2, consumerCount: 1 })
      await put('q/resume')
      expect(await channel.bodies(2)).toEqual(['1', '2'])
      expect(await state('q')).toBe('running')
      publish(channel, '3')
      expect((await channel.message()).body.toString()).toBe('3')
    })

    it('answers basic.get with get-empty; what is unacked may be settled and requeued', async () => {
      const channel = await plain(on)
      await channel.call('queue.declare', { queue: 'q' })
      publish(channel, '1', '2')
      const message = await channel.get('q')
      await put('q/pause')
      expect(await channel.get('q')).toBeNull()
      channel.send('basic.nack', { deliveryTag: message?.args.deliveryTag, requeue: true })
      await channel.sync('q')
      await put('q/resume')
      expect(await channel.empty('q')).toEqual(['1', '2'])
    })

    it('may be purged and deleted; a queue of its name is not paused', async () => {
      const channel = await plain(on)
      await channel.call('queue.declare', { queue: 'q', durable: true })
      await put('q/pause')
      publish(channel, '1', '2')
      await channel.sync('q')
      expect(await channel.call('queue.purge', { queue: 'q' })).toEqual({ messageCount: 2 })
      await channel.call('queue.delete', { queue: 'q' })
      await channel.call('queue.declare', { queue: 'q', durable: true })
      expect(await state('q')).toBe('running')
      await on.restart()
      expect(await state('q')).toBe('running')
    })

    it.each(['restart', 'crash'] as const)('that is durable stays so over a %s', async (again) => {
      for (const queue of ['q', 'resumed']) {
        await on.channel.call('queue.declare', { queue, durable: true })
        await put(`${queue}/pause`)
      }
      await put('resumed/resume')
      await on.publish({ routingKey: 'q' }, 'm', { deliveryMode: 2 })
      await on[again]()
      expect([await state('q'), await state('resumed')]).toEqual(['paused', 'running'])
      await on.channel.call('basic.consume', { queue: 'q', noAck: true })
      await on.channel.call('queue.declare', { queue: 'q', durable: true })
      await put('q/resume')
      expect(await on.channel.bodies(1)).toEqual(['m'])
    })

    it('that is a stream does likewise, and may not be purged in part', async () => {
      const channel = await plain(on)
      await channel.call('queue.declare', { queue: 'q', durable: true, arguments: { 'x-queue-type': 'stream' } })
      await channel.call('basic.qos', { prefetchCount: 10 })
      await put('q/pause')
      await channel.call('basic.consume', { queue: 'q', arguments: { 'x-stream-offset': 'first' } })
      publish(channel, '1', '2')
      await channel.sync('q')
      await put('q/resume')
      expect(await channel.bodies(2)).toEqual(['1', '2'])
      expect((await http(on, 'DELETE', 'q/contents?count=1')).status).toBe(400)
    })

    it.each(['pause', 'resume'])('is found: %s of what is not there is 404', async (what) => {
      expect((await http(on, 'PUT', `nothing/${what}`)).status).toBe(404)
    })
  })

  describe('a purge of a part', () => {
    const on = withRestarts()
    const purge = async (count: string) => (await http(on, 'DELETE', `q/contents?count=${count}`)).status

    const start = async (count: number) => {
      const channel = await plain(on)
      await channel.call('queue.declare', { queue: 'q', durable: true })
      for (let i = 1; i <= count; i++) channel.publish({ routingKey: 'q' }, String(i), { deliveryMode: 2 })
      await channel.sync('q')
      return channel
    }

    it.each<[count: number, left: string[]]>([
      [1, ['2', '3', '4']],
      [3, ['4']],
      [4, []],
      [1000, []],
    ])('of %i takes them from the head, for good', async (count, left) => {
      await start(4)
      expect(await purge(String(count))).toBe(204)
      expect((await http(on, 'GET', 'q')).json).toMatchObject({ messages: left.length, message_bytes: left.length })
      await on.flush()
      await on.crash()
      expect(await on.channel.empty('q')).toEqual(left)
    })

    it('leaves what is unacked, and counts what was requeued by its place', async () => {
      const channel = await start(4)
      const tags: (number | undefined)[] = []
      for (let i = 0; i < 2; i++) tags.push((await channel.get('q'))?.args.deliveryTag)
      channel.send('basic.nack', { deliveryTag: tags[1], requeue: true })
      await channel.sync('q')
      expect(await purge('2')).toBe(204)
      channel.send('basic.nack', { deliveryTag: tags[0], requeue: true })
      await channel.sync('q')
      expect(await channel.empty('q')).toEqual(['1', '4'])
    })

    it.each(['0', '-1', 'x', '1.5', '', '1e3'])('of %j is refused', async (count) => {
      await start(1)
      expect(await purge(count)).toBe(400)
      expect((await http(on, 'GET', 'q')).json).toMatchObject({ messages: 1 })
    })

    it('of many goes by slices', async () => {
      await start(12_000)
      expect(await purge('11000')).toBe(204)
      expect((await http(on, 'GET', 'q')).json).toMatchObject({ messages: 1000 })
    })
  })
}
