// One connection with one channel, as lean as a load generator needs it: the handshake and the few calls that make
// queues, one at a time, and a direct way from the frames of deliveries and confirms to a Traffic. No heartbeats, no
// recovery: whatever goes wrong ends the link, and `failed` says why.
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readAck, readNack, type SettleArgs } from '../../protocol/basic-codec'
import { PROTOCOL_HEADER } from '../../protocol/constants'
import { type FieldTable, tableToPlain } from '../../protocol/field-table'
import { FrameParser, type FrameSink } from '../../protocol/frame-parser'
import { type DecodedMethod, decodeMethod, encodeMethod } from '../../protocol/method-codec'
import { M, type MethodArgs, type MethodName } from '../../protocol/spec'
import type { AmqpUrl } from './amqp-url'
import { nowUs } from './monotonic'

/** Takes what flows in bulk. Called within one chunk from the socket, then `onChunkEnd`. */
export interface Traffic {
  onConfirm?(tag: number, isMultiple: boolean, isNack: boolean): void
  onDelivery?(deliveryTag: number, isRedelivered: boolean): void
  onBodySize?(size: number): void
  onBody?(buf: Buffer, start: number, end: number): void
  onChunkEnd(): void
}

interface Waiting {
  name: MethodName
  resolve: (method: DecodedMethod) => void
  reject: (error: Error) => void
}

const firstFrameMax = 131_072
const TAG = 'c'
// Constants of this module: a lookup in the table of all methods would cost more than the comparison.
const { basicDeliver, basicAck, basicNack } = M

export class Link implements FrameSink {
  readonly channel = 1
  frameMax = firstFrameMax
  /** Product and version of the broker. */
  product = 'unknown'
  traffic: Traffic | null = null
  /** When the current chunk came. */
  receivedUs = 0
  /** Never resolves; rejects when the broker closes the channel or the connection, or the socket fails. */
  readonly failed: Promise<never>

  private readonly parser = new FrameParser(this, firstFrameMax)
  private readonly settle: SettleArgs = { deliveryTag: 0, multiple: false, requeue: false }
  private waiting: Waiting | null = null
  private failure: Error | null = null
  private isClosing = false
  private rejectFailed: (error: Error) => void = () => {}

  private constructor(readonly socket: Socket) {
    this.failed = new Promise<never>((_, reject) => {
      this.rejectFailed = reject
    })
    this.failed.catch(() => {}) // not everybody waits for it
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.onChunk(chunk))
    socket.on('error', (error) => this.fail(error))
    socket.on('close', () => this.fail(new Error('the broker closed the socket')))
  }

  /** Connection and channel, open. */
  static async open(url: AmqpUrl): Promise<Link> {
    const where = { host: url.host, port: url.port }
    // A bench of one's own broker: the certificate may be self-signed.
    const link = new Link(url.tls ? connectTls({ ...where, rejectUnauthorized: false }) : connectTcp(where))
    try {
      await link.handshake(url)
    } catch (error) {
      link.socket.destroy()
      throw error
    }
    return link
  }

  // -- calls, one at a time ---------------------------------------------------------------------------------------------

  async declareExchange(exchange: string, type: string): Promise<void> {
    await this.call('exchange.declare', { exchange, type }, 'exchange.declare-ok')
  }

  async deleteExchange(exchange: string): Promise<void> {
    await this.call('exchange.delete', { exchange }, 'exchange.delete-ok')
  }

  async declareQueue(queue: string, durable: boolean): Promise<void> {
    await this.call('queue.declare', { queue, durable }, 'queue.declare-ok')
  }

  async bindQueue(queue: string, exchange: string, routingKey = ''): Promise<void> {
    await this.call('queue.bind', { queue, exchange, routingKey }, 'queue.bind-ok')
  }

  /** How many messages it held. */
  async deleteQueue(queue: string): Promise<number> {
    return (await this.call('queue.delete', { queue }, 'queue.delete-ok')).messageCount
  }

  async setPrefetch(prefetchCount: number): Promise<void> {
    await this.call('basic.qos', { prefetchCount }, 'basic.qos-ok')
  }

  async selectConfirms(): Promise<void> {
    await this.call('confirm.select', {}, 'confirm.select-ok')
  }

  async consume(queue: string, noAck: boolean, consumerTag = TAG): Promise<void> {
    await this.call('basic.consume', { queue, consumerTag, noAck }, 'basic.consume-ok')
  }

  /** Asks an empty queue for a message. */
  async getNothing(queue: string): Promise<void> {
    await this.call('basic.get', { queue, noAck: true }, 'basic.get-empty')
  }

  async cancel(consumerTag = TAG): Promise<void> {
    await this.call('basic.cancel', { consumerTag }, 'basic.cancel-ok')
  }

  async closeChannel(): Promise<void> {
    await this.call('channel.close', { replyCode: 200 }, 'channel.close-ok')
  }

  async close(): Promise<void> {
    if (this.failure !== null) return
    this.isClosing = true
    await this.request(0, 'connection.close', { replyCode: 200 }, 'connection.close-ok')
    this.socket.destroy()
  }

  private call<Q extends MethodName, A extends MethodName>(name: Q, args: Partial<MethodArgs<Q>>, answer: A) {
    return this.request(this.channel, name, args, answer)
  }

  private async request<Q extends MethodName, A extends MethodName>(
    channel: number,
    name: Q,
    args: Partial<MethodArgs<Q>>,
    answer: A,
  ): Promise<MethodArgs<A>> {
    this.socket.write(encodeMethod(name, channel, args))
    return this.next(answer)
  }

  private async next<A extends MethodName>(name: A): Promise<MethodArgs<A>> {
    const method = await new Promise<DecodedMethod>((resolve, reject) => {
      if (this.failure !== null) reject(this.failure)
      else this.waiting = { name, resolve, reject }
    })
    return method.args as MethodArgs<A>
  }

  // -- handshake --------------------------------------------------------------------------------------------------------

  private async handshake(url: AmqpUrl): Promise<void> {
    this.socket.write(PROTOCOL_HEADER)
    const start = await this.next('connection.start')
    this.product = productOf(start.serverProperties)
    const clientProperties = { product: 'bench', capabilities: { authentication_failure_close: true } }
    const response = Buffer.from(`\0${url.user}\0${url.password}`)
    const startOk = { clientProperties, mechanism: 'PLAIN', response, locale: 'en_US' }
    const tune = await this.request(0, 'connection.start-ok', startOk, 'connection.tune')
    // Channel-max goes back as it came (RabbitMQ refuses 0 unless it said 0); heartbeats are off.
    if (tune.frameMax > 0) this.frameMax = Math.min(tune.frameMax, firstFrameMax)
    const tuneOk = { channelMax: tune.channelMax, frameMax: this.frameMax, heartbeat: 0 }
    this.socket.write(encodeMethod('connection.tune-ok', 0, tuneOk))
    await this.request(0, 'connection.open', { virtualHost: url.vhost }, 'connection.open-ok')
    await this.call('channel.open', {}, 'channel.open-ok')
  }

  // -- from the socket --------------------------------------------------------------------------------------------------

  private onChunk(chunk: Buffer): void {
    this.receivedUs = nowUs()
    try {
      this.parser.push(chunk)
    } catch (error) {
      this.fail(error as Error)
    }
    this.traffic?.onChunkEnd()
  }

  onMethod(_channel: number, methodId: number, buf: Buffer, start: number, end: number): void {
    switch (methodId) {
      case basicDeliver:
        this.onDeliver(buf, start)
        return
      case basicAck:
        readAck(buf, start, end, this.settle)
        this.traffic?.onConfirm?.(this.settle.deliveryTag, this.settle.multiple, false)
        return
      case basicNack:
        readNack(buf, start, end, this.settle)
        this.traffic?.onConfirm?.(this.settle.deliveryTag, this.settle.multiple, true)
        return
      default:
        this.onAnswer(decodeMethod(methodId, buf, start, end))
    }
  }

  onHeader(_channel: number, buf: Buffer, start: number, _end: number): void {
    this.traffic?.onBodySize?.(readUint64(buf, start + 4)) // behind class and weight
  }

  onBody(_channel: number, buf: Buffer, start: number, end: number): void {
    this.traffic?.onBody?.(buf, start, end)
  }

  onHeartbeat(): void {}

  /** consumer-tag:shortstr delivery-tag:u64 redelivered:bit … */
  private onDeliver(buf: Buffer, start: number): void {
    const tag = start + 1 + buf[start]
    this.traffic?.onDelivery?.(readUint64(buf, tag), (buf[tag + 8] & 1) !== 0)
  }

  private onAnswer(method: DecodedMethod): void {
    switch (method.name) {
      case 'connection.close':
      case 'channel.close':
        this.fail(new Error(`${method.name} ${method.args.replyCode} ${method.args.replyText}`))
        return
      case 'basic.cancel':
        this.fail(new Error('the broker cancelled the consumer'))
        return
      case 'connection.blocked': // A blocked broker reads no more: the socket is the brake.
      case 'connection.unblocked':
        return
    }
    const { waiting } = this
    if (waiting?.name !== method.name) {
      this.fail(new Error(`unexpected ${method.name}`))
      return
    }
    this.waiting = null
    waiting.resolve(method)
  }

  private fail(error: Error): void {
    if (this.failure !== null) return
    this.failure = error
    this.waiting?.reject(error)
    this.waiting = null
    if (!this.isClosing) this.rejectFailed(error)
    this.socket.destroy()
  }
}

/** The first 32 bits are zero for every tag and size that a bench sees; a multiplication keeps them right anyway. */
function readUint64(buf: Buffer, at: number): number {
  const high = ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]) >>> 0
  const low = ((buf[at + 4] << 24) | (buf[at + 5] << 16) | (buf[at + 6] << 8) | buf[at + 7]) >>> 0
  return high * 0x1_0000_0000 + low
}

function productOf(serverProperties: FieldTable): string {
  const { product = 'unknown', version = '' } = tableToPlain(serverProperties)
  return `${product} ${version}`.trim()
}
