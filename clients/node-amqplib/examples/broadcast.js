// 3. A fanout exchange gives a copy to every queue bound to it: all who listen now hear it.
const amqp = require('amqplib')

async function main([side, text]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  await channel.assertExchange('announcements', 'fanout', { durable: false })
  if (side === 'say') {
    channel.publish('announcements', '', Buffer.from(text))
    console.log('said', text)
    await channel.close() // what was sent is on its way by then
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  const { queue } = await channel.assertQueue('', { exclusive: true }) // the broker finds a name; it goes when we go
  await channel.bindQueue(queue, 'announcements', '')
  await channel.consume(queue, (message) => console.log('heard', message.content.toString()), { noAck: true })
  console.log('listening')
}

main(process.argv.slice(2))
