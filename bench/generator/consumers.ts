// The consumer process's work: one Consumer per queue and connection, and the count of what they saw.
import { LatencyHistogram } from '../histogram'
import { parseAmqpUrl } from './amqp-url'
import { Consumer } from './consumer'
import type { ConsumerJob, ConsumerResult } from './jobs'
import { Link } from './link'
import { nowUs } from './monotonic'
import { Watchdog } from './watchdog'

export class Consumers {
  private startedUs = 0
  private startedCpu = process.cpuUsage()

  private constructor(
    private readonly job: ConsumerJob,
    private readonly consumers: Consumer[],
    private readonly latency: LatencyHistogram,
  ) {}

  static async connect(job: ConsumerJob): Promise<Consumers> {
    const latency = new LatencyHistogram()
    const consumers: Consumer[] = []
    for (const queue of job.queues) {
      const link = await Link.open(parseAmqpUrl(job.url))
      if (job.prefetch > 0) await link.setPrefetch(job.prefetch)
      consumers.push(new Consumer(link, queue, job, latency))
    }
    return new Consumers(job, consumers, latency)
  }

  async start(): Promise<void> {
    this.startedCpu = process.cpuUsage()
    this.startedUs = nowUs()
    await Promise.all(this.consumers.map((consumer) => consumer.start()))
  }

  /** Resolves also when deliveries stop short of `expected`: the counts then tell. */
  async finish(expected: number[]): Promise<ConsumerResult> {
    const deliveredOf = (consumer: Consumer): number => consumer.count.delivered
    const progress = (): number => this.consumers.reduce((sum, consumer) => sum + deliveredOf(consumer), 0)
    const watchdog = new Watchdog(progress, () => {
      for (const consumer of this.consumers) consumer.giveUp()
    })
    await Promise.all(this.consumers.map((consumer, i) => consumer.untilDelivered(expected[i])))
    watchdog.stop()
    const cpu = process.cpuUsage(this.startedCpu)
    await Promise.all(this.consumers.map((consumer) => consumer.stop()))
    return {
      queues: this.consumers.map((consumer) => consumer.count),
      startedUs: this.startedUs,
      lastUs: Math.max(...this.consumers.map((consumer) => consumer.lastUs)),
      latency: this.job.stamped ? this.latency.export() : null,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
    }
  }
}
