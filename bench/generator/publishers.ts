// The publisher process's work: one Publisher per connection, started together, their results added up.
import { LatencyHistogram } from '../histogram'
import { parseAmqpUrl } from './amqp-url'
import type { PublisherJob, PublisherResult } from './jobs'
import { Link } from './link'
import { nowUs } from './monotonic'
import { Publisher } from './publisher'
import { Watchdog } from './watchdog'

export class Publishers {
  private constructor(
    private readonly job: PublisherJob,
    private readonly publishers: Publisher[],
    private readonly confirmLatency: LatencyHistogram,
  ) {}

  static async connect(job: PublisherJob): Promise<Publishers> {
    const confirmLatency = new LatencyHistogram()
    const publishers: Publisher[] = []
    const { length } = job.targets
    for (let stream = 0; stream < length; stream++) {
      const link = await Link.open(parseAmqpUrl(job.url))
      if (job.confirmWindow > 0) await link.selectConfirms()
      const maxMessages = Math.floor(job.maxMessages / length) + (stream < job.maxMessages % length ? 1 : 0)
      const share = {
        ...job.targets[stream],
        stream,
        bodyBytes: job.bodyBytes,
        persistent: job.persistent,
        confirmWindow: job.confirmWindow,
        ratePerSecond: job.ratePerSecond / length,
        maxSeconds: job.maxSeconds,
        maxMessages,
      }
      publishers.push(new Publisher(link, share, confirmLatency))
    }
    return new Publishers(job, publishers, confirmLatency)
  }

  async run(): Promise<PublisherResult> {
    const startedCpu = process.cpuUsage()
    const startedUs = nowUs()
    await this.untilDone()
    const finishedUs = nowUs()
    const cpu = process.cpuUsage(startedCpu)
    return {
      published: this.publishers.map((publisher) => publisher.published),
      nacked: this.publishers.reduce((sum, publisher) => sum + publisher.nacked, 0),
      startedUs,
      finishedUs,
      confirmLatency: this.job.confirmWindow > 0 ? this.confirmLatency.export() : null,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
    }
  }

  private async untilDone(): Promise<void> {
    const progress = (): number => this.publishers.reduce((sum, { published, settled }) => sum + published + settled, 0)
    let onStall: (error: Error) => void = () => {}
    const stalled = new Promise<never>((_, reject) => {
      onStall = reject
    })
    const watchdog = new Watchdog(progress, () => onStall(new Error(this.describeStall())))
    try {
      await Promise.race([stalled, Promise.all(this.publishers.map((publisher) => publisher.run()))])
    } finally {
      watchdog.stop()
    }
  }

  private describeStall(): string {
    const published = this.publishers.reduce((sum, publisher) => sum + publisher.published, 0)
    const settled = this.publishers.reduce((sum, publisher) => sum + publisher.settled, 0)
    const confirms = this.job.confirmWindow > 0 ? `, ${settled} confirmed` : ''
    return `publishing stalled: ${published} published${confirms}`
  }
}
