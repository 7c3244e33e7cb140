// 4. A direct exchange passes a message to the queues bound with its very routing key.
const amqp = require('amqplib')

async function main([side, ...words]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  await channel.assertExchange('logs', 'direct', { durable: false })
  if (side === 'log') {
    const [severity, text] = words
    channel.publish('logs', severity, Buffer.from(text))
    console.log('logged', text)
    await channel.close() // what was sent is on its way by then
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  const { queue } = await channel.assertQueue('', { exclusive: true })
  for (const severity of words) await channel.bindQueue(queue, 'logs', severity)
  const print = ({ fields, content }) => console.log(fields.routingKey, content.toString())
  await channel.consume(queue, print, { noAck: true })
  console.log('listening')
}

main(process.argv.slice(2))
