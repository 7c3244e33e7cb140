import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { PROTOCOL_HEADER } from '../../protocol/constants'
import { FrameParser } from '../../protocol/frame-parser'
import { decodeMethod, encodeBodyFrames, encodeContentHeader, encodeMethod } from '../../protocol/method-codec'
import { encodeProperties } from '../../protocol/properties'
import type { MethodName } from '../../protocol/spec'
import { stampedSize, writeNumber } from './body-stamp'
import { Consumers } from './consumers'
import type { ConsumerJob, QueueCount } from './jobs'

interface Delivery {
  tag: number
  number: number
  redelivered?: boolean
  size?: number
}

/** A broker that delivers exactly what a test tells it to, right or wrong. */
class ScriptedBroker {
  private readonly server = createServer((socket) => this.onSocket(socket))

  constructor(private readonly deliveries: readonly Delivery[]) {}

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return `amqp://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  close(): void {
    this.server.close()
  }

  private onSocket(socket: Socket): void {
    const ignore = (): void => {}
    const onMethod = (_channel: number, id: number, buf: Buffer, start: number, end: number): void => {
      const answer = this.answerTo(decodeMethod(id, buf, start, end).name)
      if (answer !== null) socket.write(answer)
    }
    const parser = new FrameParser({ onMethod, onHeader: ignore, onBody: ignore, onHeartbeat: ignore }, 131_072)
    socket.once('data', (header) => {
      expect(header).toEqual(PROTOCOL_HEADER)
      socket.on('data', (chunk) => parser.push(chunk))
      socket.write(encodeMethod('connection.start', 0, { versionMinor: 9 }))
    })
    socket.on('error', ignore)
  }

  private answerTo(name: MethodName): Buffer | null {
    switch (name) {
      case 'connection.start-ok':
        return encodeMethod('connection.tune', 0, { channelMax: 10, frameMax: 4096 })
      case 'connection.open':
        return encodeMethod('connection.open-ok', 0, {})
      case 'channel.open':
        return encodeMethod('channel.open-ok', 1, {})
      case 'basic.consume':
        return Buffer.concat([encodeMethod('basic.consume-ok', 1, {}), ...this.deliveries.map(encodeDelivery)])
      case 'basic.cancel':
        return encodeMethod('basic.cancel-ok', 1, {})
      case 'channel.close':
        return encodeMethod('channel.close-ok', 1, {})
      case 'connection.close':
        return encodeMethod('connection.close-ok', 0, {})
      default:
        return null
    }
  }
}

function encodeDelivery({ tag, number, redelivered = false, size = stampedSize }: Delivery): Buffer {
  const body = Buffer.alloc(size)
  writeNumber(body, 0, number)
  return Buffer.concat([
    encodeMethod('basic.deliver', 1, { consumerTag: 'c', deliveryTag: tag, redelivered, routingKey: 'q' }),
    encodeContentHeader(1, size, encodeProperties({})),
    encodeBodyFrames(1, body, 4096),
  ])
}

const job: Omit<ConsumerJob, 'url'> = {
  role: 'consumer',
  queues: ['q'],
  streams: 1,
  bodyBytes: stampedSize,
  prefetch: 0,
  ackEvery: 0,
  stamped: false,
}

async function countOf(deliveries: Delivery[], change: Partial<ConsumerJob> = {}): Promise<QueueCount> {
  const broker = new ScriptedBroker(deliveries)
  try {
    const consumers = await Consumers.connect({ ...job, ...change, url: await broker.listen() })
    await consumers.start()
    return (await consumers.finish([deliveries.length])).queues[0]
  } finally {
    broker.close()
  }
}

const clean: QueueCount = {
  delivered: 3,
  sumOfNumbers: 3,
  outOfOrder: 0,
  wrongTags: 0,
  redelivered: 0,
  wrongSizes: 0,
}
const threeNumbered = (...numbers: number[]): Delivery[] => numbers.map((number, i) => ({ tag: i + 1, number }))

describe('Consumer', () => {
  it('counts what is right', async () => {
    expect(await countOf(threeNumbered(0, 1, 2))).toEqual(clean)
  })

  it('notices messages that change places, come twice or are missing', async () => {
    expect(await countOf(threeNumbered(0, 2, 1))).toEqual({ ...clean, outOfOrder: 1 })
    expect(await countOf(threeNumbered(0, 1, 1))).toEqual({ ...clean, outOfOrder: 1, sumOfNumbers: 2 })
    expect(await countOf(threeNumbered(0, 1, 3))).toEqual({ ...clean, sumOfNumbers: 4 })
  })

  it('notices a publisher that does not exist', async () => {
    expect(await countOf(threeNumbered(0, 1, 2), { streams: 0 })).toEqual({ ...clean, outOfOrder: 3 })
  })

  it('notices delivery tags with a gap', async () => {
    const [first, , third] = threeNumbered(0, 1, 2)
    expect(await countOf([first, { tag: 7, number: 1 }, third])).toEqual({ ...clean, wrongTags: 1 })
  })

  it('notices redelivered messages and wrong sizes', async () => {
    const [first, second, third] = threeNumbered(0, 1, 2)
    const deliveries = [{ ...first, redelivered: true }, { ...second, size: 20 }, third]
    expect(await countOf(deliveries)).toEqual({ ...clean, redelivered: 1, wrongSizes: 1 })
  })

  it('puts bodies of several frames together, and counts empty ones', async () => {
    const large = threeNumbered(0, 1, 2).map((delivery) => ({ ...delivery, size: 10_000 }))
    expect(await countOf(large, { bodyBytes: 10_000 })).toEqual(clean)
    const twoEmpty = [1, 2].map((tag) => ({ tag, number: 0, size: 0 }))
    expect(await countOf(twoEmpty, { bodyBytes: 0 })).toEqual({ ...clean, delivered: 2, sumOfNumbers: 0 })
  })
})
