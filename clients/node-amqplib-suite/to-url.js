// Loaded ahead of amqplib's tests: they name port 5672 of this machine in places, and mean the broker at LEVERET_URL.
const net = require('node:net')

const broker = new URL(process.env.LEVERET_URL)
const connect = net.connect

net.connect = (options, ...rest) => {
  const isBroker = Number(options?.port) === 5672
  return connect.call(net, isBroker ? { ...options, host: broker.hostname, port: Number(broker.port || 5672) } : options, ...rest)
}
