// Checks of amqp 0.2, which logs in with AMQPLAIN.
const assert = require('node:assert/strict')
const amqp = require('amqp')
const { cannotRestart, restartBroker, url } = require('../node-common/checks')

module.exports = {
  'amqp: work queue with acks and prefetch': onConnection(async (connection) => {
    const queue = await declare(connection, '')
    const done = []
    const finished = new Promise((resolve) => {
      queue.subscribe({ ack: true, prefetchCount: 3 }, (message, headers, info, ack) => {
        done.push(`${message.data}`)
        ack.acknowledge()
        if (done.length === 20) resolve()
      })
    })
    for (let i = 0; i < 20; i++) connection.publish(queue.name, `${i}`)
    await finished
    assert.deepEqual(done, Array.from({ length: 20 }, (_, i) => `${i}`))
  }),
  'amqp: publish/subscribe': onConnection(async (connection) => {
    const options = { type: 'fanout', durable: false, autoDelete: true }
    const exchange = await new Promise((resolve) => connection.exchange('clients.older', options, resolve))
    const heard = [await listener(connection, exchange), await listener(connection, exchange)]
    exchange.publish('', 'spring')
    for (const { message } of heard) assert.equal(`${(await message).data}`, 'spring')
  }),
  'amqp: JSON, headers, body of many frames': onConnection(async (connection) => {
    const queue = await declare(connection, '')
    const received = new Promise((resolve) => queue.subscribe((message, headers) => resolve({ message, headers })))
    await new Promise((resolve) => queue.once('basicConsumeOk', resolve))
    const sent = { text: 'hare'.repeat(100_000) }
    connection.publish(queue.name, sent, { headers: { kind: 'hare', legs: 4 } })
    const { message, headers } = await received
    assert.equal(message.text, sent.text)
    assert.deepEqual({ ...headers }, { kind: 'hare', legs: 4 })
  }),
  'amqp: restart, then a new connection': async () => {
    if (cannotRestart) return cannotRestart
    await onConnection((before) => declare(before, 'clients.older', { durable: true, autoDelete: false }))()
    restartBroker()
    await onConnection(async (connection) => {
      const queue = await declare(connection, 'clients.older', { durable: true, autoDelete: false })
      const received = new Promise((resolve) => queue.subscribe(resolve))
      connection.publish(queue.name, 'after')
      assert.equal(`${(await received).data}`, 'after')
      queue.destroy()
    })()
  },
}

function onConnection(check) {
  return async () => {
    const connection = amqp.createConnection({ url, authMechanism: 'AMQPLAIN' }, { reconnect: false })
    connection.on('error', () => {}) // the checks see that nothing comes
    await new Promise((resolve) => connection.once('ready', resolve))
    const result = await check(connection)
    connection.disconnect()
    return result
  }
}

function declare(connection, name, options = { exclusive: true }) {
  return new Promise((resolve) => connection.queue(name, options, resolve))
}

/** A queue with a consumer of it, bound. */
async function listener(connection, exchange) {
  const queue = await declare(connection, '')
  await new Promise((resolve) => queue.bind(exchange, '', resolve))
  const message = new Promise((resolve) => queue.subscribe(resolve))
  return { message }
}
