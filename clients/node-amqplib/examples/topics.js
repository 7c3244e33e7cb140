// 5. A topic exchange compares words: in a binding, * is one word and # any number of them.
const amqp = require('amqplib')

async function main([side, ...words]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  await channel.assertExchange('events', 'topic', { durable: false })
  if (side === 'log') {
    const [key, text] = words
    channel.publish('events', key, Buffer.from(text))
    console.log('logged', text)
    await channel.close() // what was sent is on its way by then
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  const { queue } = await channel.assertQueue('', { exclusive: true })
  for (const pattern of words) await channel.bindQueue(queue, 'events', pattern)
  const print = ({ fields, content }) => console.log(fields.routingKey, content.toString())
  await channel.consume(queue, print, { noAck: true })
  console.log('listening')
}

main(process.argv.slice(2))
