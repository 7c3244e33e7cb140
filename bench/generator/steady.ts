// Publishing and consuming in instalments, for loads that change over time: so many messages now, with confirms; consume until
// so many have come. Checks counts only; what a measurement checks is publisher.ts and consumer.ts.
import { AckWriter } from './ack-writer'
import { parseAmqpUrl } from './amqp-url'
import { Link, type Traffic } from './link'
import { PublishBlock } from './publish-block'

const BLOCK_BYTES = 32 * 1024
/** Messages of one write, where each has a queue of its own. */
const BURST_MAX = 500
const WINDOW = 2000
const WINDOW_BYTES = 64 * 1024 * 1024

export interface SteadyMessages {
  queues: string[] // by turns, through the default exchange; with another `exchange`, the routing keys
  exchange?: string
  bodyBytes: number
  persistent: boolean
}

export class SteadyPublisher implements Traffic {
  private sent = 0
  private confirmed = 0
  private target = 0
  private nacked = 0
  private onDone: () => void = () => {}

  private constructor(
    private readonly link: Link,
    private readonly blocks: PublishBlock[],
    /** Of one write. */
    private readonly burst: number,
    private readonly window: number,
  ) {}

  static async open(
    url: string,
    { queues, exchange = '', bodyBytes, persistent }: SteadyMessages,
  ): Promise<SteadyPublisher> {
    const link = await Link.open(parseAmqpUrl(url))
    await link.selectConfirms()
    const bytesMax = queues.length === 1 ? BLOCK_BYTES : 1 // a block of many, or one message for each
    const blocks = queues.map((routingKey) => {
      const message = { exchange, routingKey, stream: 0, bodyBytes, persistent }
      return new PublishBlock(message, link.frameMax, bytesMax)
    })
    const burst = queues.length === 1 ? blocks[0].capacity : Math.min(queues.length, BURST_MAX)
    const window = Math.min(WINDOW, Math.ceil(WINDOW_BYTES / (bodyBytes + 1)))
    const publisher = new SteadyPublisher(link, blocks, burst, Math.max(window, burst))
    link.traffic = publisher
    return publisher
  }

  /** Resolves when all are confirmed; rejects when one was refused or the connection fails. */
  async publish(count: number): Promise<void> {
    this.target += count
    const done = new Promise<void>((resolve) => {
      this.onDone = resolve
    })
    this.pump()
    await Promise.race([done, this.link.failed])
    if (this.nacked > 0) throw new Error(`${this.nacked} messages were refused`)
  }

  onConfirm(tag: number, _isMultiple: boolean, isNack: boolean): void {
    this.confirmed = Math.max(this.confirmed, tag)
    if (isNack) this.nacked++
  }

  onChunkEnd(): void {
    this.pump()
    if (this.confirmed === this.target) this.onDone()
  }

  close(): Promise<void> {
    return this.link.close()
  }

  private pump(): void {
    for (;;) {
      const count = Math.min(this.burst, this.target - this.sent)
      if (count === 0 || this.sent - this.confirmed + count > this.window) return
      this.link.socket.write(this.next(count))
      this.sent += count
    }
  }

  private next(count: number): Buffer {
    if (this.blocks.length === 1) return Buffer.from(this.blocks[0].fill(this.sent, count, 0))
    const parts: Buffer[] = []
    for (let i = 0; i < count; i++)
      parts.push(this.blocks[(this.sent + i) % this.blocks.length].fill(this.sent + i, 1, 0))
    return Buffer.concat(parts)
  }
}

export class SteadyConsumer implements Traffic {
  consumed = 0
  private target = Number.POSITIVE_INFINITY
  private onTarget: () => void = () => {}

  private constructor(
    readonly link: Link,
    private readonly acks: AckWriter,
  ) {}

  /** Consumes nothing yet. `ackEvery` 0: never acknowledges. */
  static async open(url: string, prefetch: number, ackEvery: number): Promise<SteadyConsumer> {
    const link = await Link.open(parseAmqpUrl(url))
    if (prefetch > 0) await link.setPrefetch(prefetch)
    const consumer = new SteadyConsumer(link, new AckWriter(link.socket, link.channel, ackEvery))
    link.traffic = consumer
    return consumer
  }

  async start(queues: string[]): Promise<void> {
    for (const queue of queues) await this.link.consume(queue, false, queue)
  }

  async pause(queues: string[]): Promise<void> {
    for (const queue of queues) await this.link.cancel(queue)
    this.acks.writeRest(this.consumed)
  }

  async untilConsumed(target: number): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.onTarget = resolve
    })
    this.target = target
    this.checkTarget()
    await Promise.race([reached, this.link.failed])
  }

  onDelivery(): void {
    this.consumed++
  }

  onChunkEnd(): void {
    this.acks.writeUpTo(this.consumed)
    this.checkTarget()
  }

  close(): Promise<void> {
    return this.link.close()
  }

  private checkTarget(): void {
    if (this.consumed < this.target) return
    this.acks.writeRest(this.consumed)
    this.onTarget()
  }
}
