// The patterns of messaging with amqp-connection-manager. `connection` is what `connect` of the library returns; it is
// lost and made again in the background, and what stands in `setup` is done again each time.
const { once } = require('node:events')
const { randomUUID } = require('node:crypto')

const replyTo = 'amq.rabbitmq.reply-to'

/** A channel that confirms: `sendToQueue` and `publish` wait for the broker's answer, and for a broker if there is none. */
async function channelWith(connection, setup) {
  const channel = connection.createChannel({ setup })
  await channel.waitForConnect()
  return channel
}

/** Does the work of a queue, `prefetch` messages at a time; what fails comes again. Consumes again after each restart. */
async function doWork(connection, queue, prefetch, work) {
  const channel = await channelWith(connection, (raw) => raw.assertQueue(queue, { durable: true }))
  const handle = async (message) => {
    try {
      await work(`${message.content}`)
      channel.ack(message)
    } catch {
      channel.nack(message)
    }
  }
  await channel.consume(queue, handle, { prefetch })
  return channel
}

/** Hears what is published while it lives: a queue of its own, made anew with each connection. */
function subscribe(connection, exchange, hear) {
  return channelWith(connection, async (raw) => {
    await raw.assertExchange(exchange, 'fanout', { durable: false, autoDelete: true })
    const { queue } = await raw.assertQueue('', { exclusive: true })
    await raw.bindQueue(queue, exchange, '')
    await raw.consume(queue, (message) => hear(`${message.content}`), { noAck: true })
  })
}

async function serve(connection, queue, answer) {
  const channel = await channelWith(connection, (raw) => raw.assertQueue(queue, { durable: false, autoDelete: true }))
  await channel.consume(queue, async (question) => {
    const { replyTo: asker, correlationId } = question.properties
    await channel.sendToQueue(asker, answer(`${question.content}`), { correlationId })
    channel.ack(question)
  })
  return channel
}

/** A function that asks the service behind a queue. Direct reply-to needs no queue for the answers. */
async function caller(connection, queue) {
  const waiting = new Map()
  const channel = await channelWith(connection, (raw) => {
    const take = ({ properties, content }) => waiting.get(properties.correlationId)?.(`${content}`)
    return raw.consume(replyTo, take, { noAck: true })
  })
  return async (question) => {
    const correlationId = randomUUID()
    const answer = new Promise((resolve) => waiting.set(correlationId, resolve))
    await channel.sendToQueue(queue, question, { replyTo, correlationId })
    return answer.finally(() => waiting.delete(correlationId))
  }
}

/** Resolves when the connection is lost. */
const lost = (connection) => once(connection, 'disconnect')

module.exports = { caller, channelWith, doWork, lost, serve, subscribe }
