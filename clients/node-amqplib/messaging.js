// The usual patterns with amqplib's promises. Each function takes an open channel.
const { randomUUID } = require('node:crypto')

/** Does the work of a queue, `prefetch` messages at a time; what fails comes again. */
async function doWork(channel, queue, prefetch, work) {
  await channel.prefetch(prefetch)
  return channel.consume(queue, async (message) => {
    if (message === null) return // the queue was deleted
    try {
      await work(message.content)
      channel.ack(message)
    } catch {
      channel.nack(message)
    }
  })
}

/** A queue of its own for one subscriber; it goes when the connection goes. */
async function subscribe(channel, exchange, type, key = '', args = {}) {
  await channel.assertExchange(exchange, type, { durable: false, autoDelete: true })
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, exchange, key, args)
  return queue
}

async function serve(channel, queue, answer) {
  await channel.consume(queue, (message) => {
    const { replyTo, correlationId } = message.properties
    channel.sendToQueue(replyTo, answer(message.content), { correlationId })
    channel.ack(message)
  })
}

/** Asks and waits for the answer, which comes to this channel without a queue for it. */
function call(channel, queue, body) {
  const correlationId = randomUUID()
  return new Promise((resolve, reject) => {
    const onReply = (reply) => {
      if (reply?.properties.correlationId !== correlationId) return
      channel.cancel(reply.fields.consumerTag).then(() => resolve(reply.content), reject)
    }
    channel
      .consume('amq.rabbitmq.reply-to', onReply, { noAck: true })
      .then(() => channel.sendToQueue(queue, body, { replyTo: 'amq.rabbitmq.reply-to', correlationId }))
      .catch(reject)
  })
}

module.exports = { doWork, subscribe, serve, call }
