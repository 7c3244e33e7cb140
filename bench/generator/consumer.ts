// One consuming connection: counts deliveries straight from the frames, checks the numbers in the bodies and
// acknowledges every so many. Acks of a chunk leave together, in one write.
import type { LatencyHistogram } from '../histogram'
import { AckWriter } from './ack-writer'
import { numberedSize, readNumber, readSentAt, readStream } from './body-stamp'
import type { ConsumerJob, QueueCount } from './jobs'
import type { Link, Traffic } from './link'

export class Consumer implements Traffic {
  readonly count: QueueCount = {
    delivered: 0,
    sumOfNumbers: 0,
    outOfOrder: 0,
    wrongTags: 0,
    redelivered: 0,
    wrongSizes: 0,
  }
  lastUs = 0

  private readonly acks: AckWriter
  private readonly lastNumbers: Float64Array // per stream; -1: none yet
  private deliveredBefore = 0 // this chunk
  private bodyLeft = 0
  private isBodyStart = true
  private target = Number.POSITIVE_INFINITY
  private onTarget: () => void = () => {}

  constructor(
    private readonly link: Link,
    private readonly queue: string,
    private readonly job: ConsumerJob,
    private readonly latency: LatencyHistogram,
  ) {
    this.acks = new AckWriter(link.socket, link.channel, job.ackEvery)
    this.lastNumbers = new Float64Array(job.streams).fill(-1)
  }

  async start(): Promise<void> {
    this.link.traffic = this
    await this.link.consume(this.queue, this.job.ackEvery === 0)
  }

  async untilDelivered(expected: number): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.onTarget = resolve
    })
    this.target = expected
    this.checkTarget()
    await Promise.race([reached, this.link.failed])
  }

  giveUp(): void {
    this.onTarget()
  }

  /** Acknowledges the rest, and counts whatever was still on its way: cancel-ok comes after the last delivery. */
  async stop(): Promise<void> {
    this.acks.writeRest(this.count.delivered)
    await this.link.cancel()
    await this.link.closeChannel()
    await this.link.close()
  }

  onDelivery(deliveryTag: number, isRedelivered: boolean): void {
    if (deliveryTag !== this.count.delivered + 1) this.count.wrongTags++
    if (isRedelivered) this.count.redelivered++
  }

  onBodySize(size: number): void {
    if (size !== this.job.bodyBytes) this.count.wrongSizes++
    this.bodyLeft = size
    this.isBodyStart = true
    if (size === 0) this.count.delivered++
  }

  onBody(buf: Buffer, start: number, end: number): void {
    if (this.isBodyStart && end - start >= numberedSize) this.checkStamp(buf, start)
    this.isBodyStart = false
    this.bodyLeft -= end - start
    if (this.bodyLeft === 0) this.count.delivered++
  }

  onChunkEnd(): void {
    if (this.count.delivered === this.deliveredBefore) return
    this.deliveredBefore = this.count.delivered
    this.lastUs = this.link.receivedUs
    this.acks.writeUpTo(this.count.delivered)
    this.checkTarget()
  }

  private checkStamp(buf: Buffer, body: number): void {
    const stream = readStream(buf, body)
    const number = readNumber(buf, body)
    if (!(number > this.lastNumbers[stream])) this.count.outOfOrder++ // also a stream that does not exist
    this.lastNumbers[stream] = number
    this.count.sumOfNumbers += number
    if (this.job.stamped) this.latency.record(this.link.receivedUs - readSentAt(buf, body))
  }

  private checkTarget(): void {
    if (this.count.delivered >= this.target) this.onTarget()
  }
}
