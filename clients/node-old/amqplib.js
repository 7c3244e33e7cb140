// Checks of amqplib 0.5 with frames of 8192 bytes, the fewest that RabbitMQ 4 takes.
const assert = require('node:assert/strict')
const amqp = require('amqplib')
const { cannotRestart, restartBroker, url } = require('../node-common/checks')

module.exports = {
  'amqplib: work queue with acks and prefetch': onChannel(async (channel) => {
    const { queue } = await channel.assertQueue('', { exclusive: true })
    for (let i = 0; i < 20; i++) channel.sendToQueue(queue, Buffer.from(`${i}`))
    await channel.prefetch(3)
    const done = []
    await new Promise((resolve, reject) => {
      const work = (message) => {
        done.push(`${message.content}`)
        channel.ack(message)
        if (done.length === 20) resolve()
      }
      channel.consume(queue, work).catch(reject)
    })
    assert.deepEqual(done, Array.from({ length: 20 }, (_, i) => `${i}`))
  }),
  'amqplib: publish/subscribe, get': onChannel(async (channel) => {
    await channel.assertExchange('clients.old', 'fanout', { durable: false, autoDelete: true })
    const queues = [await channel.assertQueue('', { exclusive: true }), await channel.assertQueue('', { exclusive: true })]
    for (const { queue } of queues) await channel.bindQueue(queue, 'clients.old', '')
    channel.publish('clients.old', '', Buffer.from('spring'))
    for (const { queue } of queues) assert.equal(`${(await channel.get(queue, { noAck: true })).content}`, 'spring')
    assert.equal(await channel.get(queues[0].queue), false)
  }),
  'amqplib: body of many small frames': onChannel(async (channel) => {
    const body = Buffer.alloc(100_000, 'hare')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    channel.sendToQueue(queue, body)
    assert.ok((await channel.get(queue, { noAck: true })).content.equals(body))
  }),
  'amqplib: channel error 406': onChannel(async (channel) => {
    await channel.assertQueue('clients.old.strict', { exclusive: true, durable: false })
    await assert.rejects(Promise.resolve(channel.assertQueue('clients.old.strict', { autoDelete: true, durable: false, exclusive: true })), /406/)
  }),
  'amqplib: restart': async () => {
    if (cannotRestart) return cannotRestart
    const before = await connect()
    const channel = await before.createConfirmChannel()
    await channel.assertQueue('clients.old.durable')
    channel.sendToQueue('clients.old.durable', Buffer.from('kept'), { persistent: true })
    await channel.waitForConfirms()
    const closed = new Promise((resolve) => before.once('close', resolve))
    restartBroker()
    await closed
    await onChannel(async (again) => {
      assert.equal((await again.checkQueue('clients.old.durable')).messageCount, 1)
      await again.deleteQueue('clients.old.durable')
    })()
  },
}

async function connect() {
  const connection = await amqp.connect(`${url}?frameMax=8192`)
  connection.on('error', () => {}) // the checks see it as their rejected promises
  return connection
}

function onChannel(check) {
  return async () => {
    const connection = await connect()
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    await check(channel)
    await connection.close()
  }
}
