// One publishing connection. Sends from blocks of prebuilt frames in which only the message numbers change; a block is
// used again when the kernel has taken it, so a slow broker slows the publisher and memory stays a few blocks.
import type { LatencyHistogram } from '../histogram'
import type { Link, Traffic } from './link'
import { nowUs } from './monotonic'
import { PublishBlock } from './publish-block'
import { UnconfirmedTimes } from './unconfirmed-times'

const blockBytes = 128 * 1024
const blockCount = 4
const paceMs = 1

export interface PublisherShare {
  exchange: string
  routingKey: string
  stream: number
  bodyBytes: number
  persistent: boolean
  confirmWindow: number // 0: no confirms
  ratePerSecond: number // 0: unlimited
  maxSeconds: number
  maxMessages: number
}

export class Publisher implements Traffic {
  published = 0
  settled = 0 // confirmed, positively or negatively
  nacked = 0

  private readonly free: PublishBlock[]
  private readonly unconfirmed: UnconfirmedTimes
  private readonly window: number
  private startedUs = 0
  private isOver = false
  private pacer: NodeJS.Timeout | null = null
  private onDone: () => void = () => {}

  constructor(
    private readonly link: Link,
    private readonly share: PublisherShare,
    private readonly confirmLatency: LatencyHistogram,
  ) {
    this.window = share.confirmWindow > 0 ? share.confirmWindow : Number.POSITIVE_INFINITY
    this.unconfirmed = new UnconfirmedTimes(share.confirmWindow)
    this.free = Array.from({ length: blockCount }, () => new PublishBlock(share, link.frameMax, blockBytes))
  }

  /** Resolves when the broker has confirmed everything or, without confirms, has worked through all that was sent. */
  async run(): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.onDone = resolve
    })
    this.startedUs = nowUs()
    this.link.traffic = this
    if (this.share.ratePerSecond > 0) this.pacer = setInterval(() => this.pump(), paceMs)
    this.pump()
    await Promise.race([done, this.link.failed])
    if (this.pacer !== null) clearInterval(this.pacer)
    await this.link.closeChannel() // answered after all before it: says that the broker took everything
    await this.link.close()
  }

  onConfirm(tag: number, isMultiple: boolean, isNack: boolean): void {
    const now = this.link.receivedUs
    const settled = isMultiple
      ? this.unconfirmed.settleUpTo(tag, now, this.confirmLatency)
      : this.unconfirmed.settle(tag, now, this.confirmLatency)
    this.settled += settled
    if (isNack) this.nacked += settled
  }

  onChunkEnd(): void {
    if (this.share.confirmWindow > 0) this.pump()
  }

  private pump(): void {
    while (this.free.length > 0 && !this.isOver) {
      const now = nowUs()
      if (this.published === this.share.maxMessages || now - this.startedUs >= this.share.maxSeconds * 1e6) {
        this.isOver = true
        break
      }
      const count = this.allowance(now)
      if (count <= 0) return
      this.send(count, now)
    }
    if (this.isOver && this.isSettled()) this.onDone()
  }

  /** How many messages may go out now: the least of what the block holds, the limit, the window and the pace allow. */
  private allowance(now: number): number {
    const { maxMessages, ratePerSecond } = this.share
    const due =
      ratePerSecond > 0 ? Math.floor(((now - this.startedUs) / 1e6) * ratePerSecond) : Number.POSITIVE_INFINITY
    return Math.min(
      this.free[0].capacity,
      maxMessages - this.published,
      this.window - this.unconfirmed.span,
      due - this.published,
    )
  }

  private send(count: number, now: number): void {
    const block = this.free.pop()
    if (block === undefined) return
    const bytes = block.fill(this.published, count, this.share.ratePerSecond > 0 ? now : 0)
    if (this.share.confirmWindow > 0) this.unconfirmed.add(count, now)
    this.published += count
    this.link.socket.write(bytes, () => {
      this.free.push(block)
      this.pump()
    })
  }

  private isSettled(): boolean {
    return this.share.confirmWindow > 0 ? this.settled === this.published : this.free.length === blockCount
  }
}
