// 2. Work for many: each task goes to one worker, and to another one when that worker dies.
const amqp = require('amqplib')
const { setTimeout: sleep } = require('node:timers/promises')

async function main([side, task]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  await channel.assertQueue('tasks', { durable: true }) // the queue survives a restart of the broker ...
  if (side === 'add') {
    channel.sendToQueue('tasks', Buffer.from(task), { persistent: true }) // ... and the message does too
    console.log('added', task)
    await channel.close() // what was sent is on its way by then
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  await channel.prefetch(1) // no second task before the first is done: it goes to a worker who is free
  await channel.consume('tasks', async (message) => {
    const what = message.content.toString()
    await sleep(1000 * what.split('.').length - 1000) // a dot is a second of work
    console.log('done', what)
    channel.ack(message) // only now does the broker forget it
  })
  console.log('waiting')
}

main(process.argv.slice(2))
