// 1. One program puts a message into a queue, another takes it out.
const amqp = require('amqplib')

async function main([side]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  // Both sides declare the queue: whoever comes first makes it, the other finds it.
  await channel.assertQueue('hello', { durable: false })
  if (side === 'send') {
    channel.sendToQueue('hello', Buffer.from('Hello, hare!'))
    console.log('sent')
    await channel.close() // what was sent is on its way by then
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  await channel.consume('hello', (message) => console.log('received', message.content.toString()), { noAck: true })
  console.log('waiting')
}

main(process.argv.slice(2))
