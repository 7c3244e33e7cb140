// 6. Ask a question and wait for the answer.
//
// The caller consumes from amq.rabbitmq.reply-to and names it in replyTo: answers then come straight to its channel, and
// no reply queue has to be made. The correlation id tells which question an answer belongs to.
const amqp = require('amqplib')

const REPLY_TO = 'amq.rabbitmq.reply-to'

function fibonacci(n) {
  let [before, current] = [0, 1]
  for (let i = 0; i < n; i++) [before, current] = [current, before + current]
  return before
}

async function serve(channel) {
  await channel.assertQueue('fibonacci', { durable: false })
  await channel.prefetch(1)
  await channel.consume('fibonacci', (question) => {
    const { replyTo, correlationId } = question.properties
    const answer = fibonacci(Number(question.content))
    channel.sendToQueue(replyTo, Buffer.from(String(answer)), { correlationId })
    channel.ack(question)
  })
  console.log('waiting')
}

async function ask(channel, n) {
  const answer = new Promise((resolve) => {
    const take = ({ properties, content }) => properties.correlationId === n && resolve(content.toString())
    channel.consume(REPLY_TO, take, { noAck: true })
  })
  channel.sendToQueue('fibonacci', Buffer.from(n), { replyTo: REPLY_TO, correlationId: n })
  console.log(`fibonacci(${n}) = ${await answer}`)
}

async function main([side, n]) {
  const connection = await amqp.connect(process.env.LEVERET_URL ?? 'amqp://localhost')
  const channel = await connection.createChannel()
  if (side === 'ask') {
    await ask(channel, n)
    await connection.close()
    return
  }
  process.once('SIGINT', () => connection.close())
  await serve(channel)
}

main(process.argv.slice(2))
