// A test of a program that uses RabbitMQ, with a real broker inside the test's process: no container, no fixed port, no
// waiting for a start. Paste it into a project that has leveret, amqplib and jest; there the import is from 'leveret'.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib'
import { Broker } from '../../server'

/** What would be your own code: takes orders from a queue and says of each that it was shipped. */
async function startShipping(channel: Channel): Promise<void> {
  await channel.assertQueue('orders', { durable: true })
  await channel.assertExchange('events', 'topic', { durable: true })
  await channel.consume('orders', (message) => {
    if (message === null) return
    const order = JSON.parse(message.content.toString())
    channel.publish('events', `order.shipped.${order.country}`, message.content, { persistent: true })
    channel.ack(message)
  })
}

describe('shipping', () => {
  let broker: Broker
  let connection: ChannelModel
  let channel: Channel

  beforeAll(async () => {
    broker = await Broker.start({ port: 0 }) // in memory, on a free port
    connection = await connect(broker.url)
  })

  afterAll(async () => {
    await connection.close()
    await broker.stop()
  })

  beforeEach(async () => {
    channel = await connection.createChannel()
  })

  it('says of each order that it was shipped, to those who asked for its country', async () => {
    await startShipping(channel)
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'events', 'order.shipped.nz')
    const shipped = firstMessage(channel, queue)

    channel.sendToQueue('orders', Buffer.from(JSON.stringify({ id: 1, country: 'fr' })))
    channel.sendToQueue('orders', Buffer.from(JSON.stringify({ id: 2, country: 'nz' })))

    expect(JSON.parse((await shipped).content.toString())).toEqual({ id: 2, country: 'nz' })
  })

  it('shares nothing with another broker in the same process', async () => {
    await channel.assertQueue('mine')
    const other = await Broker.start({ port: 0 })
    const elsewhere = await connect(other.url)
    const otherChannel = await elsewhere.createChannel()
    otherChannel.on('error', () => {}) // amqplib reports the refusal here as well
    await expect(otherChannel.checkQueue('mine')).rejects.toThrow("NOT_FOUND - no queue 'mine' in vhost '/'")
    await elsewhere.close()
    await other.stop()
  })
})

function firstMessage(channel: Channel, queue: string): Promise<ConsumeMessage> {
  return new Promise((resolve, reject) => {
    channel.consume(queue, (message) => message && resolve(message), { noAck: true }).catch(reject)
  })
}
