// An everyday program on amqplib, a client that shares no code with this broker: what the other files check frame by
// frame must also add up for somebody else's library.
import { describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib'
import { withBroker } from './with-broker'

describe('amqplib', () => {
  const broker = withBroker()

  async function withConnection(work: (connection: ChannelModel) => Promise<void>): Promise<void> {
    const connection = await connect(broker.url)
    try {
      await work(connection)
    } finally {
      await connection.close()
    }
  }

  /** Resolves with the first `count` messages of a consumer, acknowledged. */
  function received(channel: Channel, queue: string, count: number): Promise<ConsumeMessage[]> {
    const messages: ConsumeMessage[] = []
    return new Promise((resolve, reject) => {
      const take = (message: ConsumeMessage | null) => {
        if (message === null) return reject(new Error('cancelled by the server'))
        messages.push(message)
        channel.ack(message)
        if (messages.length === count) resolve(messages)
      }
      channel.consume(queue, take).catch(reject)
    })
  }

  it('publishes with confirms and consumes', () =>
    withConnection(async (connection) => {
      const publisher = await connection.createConfirmChannel()
      const queue = broker.name()
      await publisher.assertQueue(queue, { durable: true })
      for (let i = 0; i < 200; i++) {
        publisher.sendToQueue(queue, Buffer.from(`message ${i}`), {
          persistent: true,
          headers: { i, nested: { a: [1, 'x'] } },
        })
      }
      await publisher.waitForConfirms()
      const consumer = await connection.createChannel()
      await consumer.prefetch(10)
      const messages = await received(consumer, queue, 200)
      expect(messages.map((message) => message.content.toString())).toEqual(
        Array.from({ length: 200 }, (_value, i) => `message ${i}`),
      )
      expect(messages[7].properties.headers).toEqual({ i: 7, nested: { a: [1, 'x'] } })
      expect(await consumer.checkQueue(queue)).toMatchObject({ messageCount: 0, consumerCount: 1 })
    }))

  it('asks and gets an answer through a reply queue', () =>
    withConnection(async (connection) => {
      const server = await connection.createChannel()
      const requests = broker.name()
      await server.assertQueue(requests, { autoDelete: true })
      await server.consume(requests, (request) => {
        if (!request) return
        const { replyTo, correlationId } = request.properties
        server.sendToQueue(replyTo, Buffer.from(request.content.toString().toUpperCase()), { correlationId })
        server.ack(request)
      })
      const client = await connection.createChannel()
      const { queue: replyTo } = await client.assertQueue('', { exclusive: true })
      const answer = received(client, replyTo, 1)
      client.sendToQueue(requests, Buffer.from('hello'), { replyTo, correlationId: '42' })
      const [message] = await answer
      expect([message.content.toString(), message.properties.correlationId]).toEqual(['HELLO', '42'])
    }))

  it('spreads by topic', () =>
    withConnection(async (connection) => {
      const channel = await connection.createChannel()
      const exchange = broker.name('x')
      await channel.assertExchange(exchange, 'topic', { durable: false })
      const { queue: errors } = await channel.assertQueue('', { exclusive: true })
      const { queue: all } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(errors, exchange, '*.error')
      await channel.bindQueue(all, exchange, '#')
      for (const key of ['app.info', 'app.error', 'db.error']) channel.publish(exchange, key, Buffer.from(key))
      expect((await received(channel, errors, 2)).map((m) => m.fields.routingKey)).toEqual(['app.error', 'db.error'])
      expect(await received(channel, all, 3)).toHaveLength(3)
    }))

  it('tells of a refused declaration, and the connection goes on', () =>
    withConnection(async (connection) => {
      const channel = await connection.createChannel()
      const closed = new Promise<Error & { code?: number }>((resolve) => channel.once('error', resolve))
      await expect(channel.checkQueue('spec.nowhere')).rejects.toThrow('404')
      expect(await closed).toMatchObject({ code: 404, message: expect.stringContaining("no queue 'spec.nowhere'") })
      await (await connection.createChannel()).assertQueue('', { exclusive: true })
    }))

  it('gets back what is unroutable', () =>
    withConnection(async (connection) => {
      const channel = await connection.createConfirmChannel()
      const returned = new Promise<ConsumeMessage>((resolve) => channel.once('return', resolve))
      channel.publish('amq.direct', 'spec.nobody', Buffer.from('unwanted'), { mandatory: true })
      expect((await returned).content.toString()).toBe('unwanted')
      await channel.waitForConfirms()
    }))

  it('is refused with a wrong password', async () => {
    const url = new URL(broker.url)
    url.password = 'wrong'
    await expect(connect(url.href)).rejects.toThrow('403')
  })
})
