// 7. Publisher confirms: the broker says when a message is safe; until then it may be lost with either side.
//
// A persistent message is safe once it is on the broker's disk. Many may be outstanding at a time: the broker then writes
// them together, which is far faster than to wait for each.
const amqp = require('amqplib')

async function main() {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('orders', { durable: true })
  channel.on('return', ({ content }) => console.log('no queue for order', content.toString()))
  for (let number = 0; number < 100; number++) {
    const onAnswer = (refusal) => refusal && console.log('the broker refused order', number)
    // mandatory: a message that no queue takes comes back instead of vanishing
    channel.sendToQueue('orders', Buffer.from(String(number)), { persistent: true, mandatory: true }, onAnswer)
  }
  await channel.waitForConfirms()
  console.log('100 orders are safe')
  await channel.deleteQueue('orders')
  await connection.close()
}

main()
