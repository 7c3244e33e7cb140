// Messages through a broker from one process, in instalments, over as many connections as a curve asks for. Counts what arrives;
// what is measured is the broker's CPU time, so it does not matter how quick this process is.
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningBroker } from '../brokers'
import { parseAmqpUrl } from '../generator/amqp-url'
import { Link } from '../generator/link'
import { SteadyConsumer, type SteadyMessages, SteadyPublisher } from '../generator/steady'
import { readUsage } from '../process-usage'
import { spreadOf } from '../statistics'

const LOOK_MS = 5
const STILL_MS_MAX = 20_000
/** basic.qos has 16 bits for it. */
const PREFETCH_MAX = 65_535
const OPEN_AT_ONCE = 50
const WARM_UP_SHARE = 0.25
/** The CPU time of a process is told in hundredths of a second, and other machines' load is in it. */
const REPEATS = 5

export class Flow {
  private readonly publishers: SteadyPublisher[] = []
  private readonly consumers: SteadyConsumer[] = []
  private sent = 0

  private constructor(
    private readonly broker: RunningBroker,
    /** Makes what the flow needs. */
    readonly link: Link,
  ) {}

  static async open(broker: RunningBroker): Promise<Flow> {
    return new Flow(broker, await Link.open(parseAmqpUrl(broker.url)))
  }

  async addPublishers(count: number, messages: SteadyMessages): Promise<void> {
    await inGroups(count, async () => {
      this.publishers.push(await SteadyPublisher.open(this.broker.url, messages))
    })
  }

  async dropPublishers(): Promise<void> {
    await Promise.all(this.publishers.splice(0).map((publisher) => publisher.close()))
  }

  /** Each on a connection of its own, with all the queues, without acknowledgements. */
  async addConsumers(count: number, queues: string[]): Promise<void> {
    await inGroups(count, async () => {
      const consumer = await SteadyConsumer.open(this.broker.url, 0, 0)
      this.consumers.push(consumer)
      for (const queue of queues) await consumer.link.consume(queue, true, queue)
    })
  }

  /** Exactly so many deliveries, which stay unacknowledged: the prefetch limit ends them. */
  async takeAndHold(queue: string, messages: number): Promise<void> {
    const before = this.consumed
    for (let left = messages; left > 0; left -= PREFETCH_MAX) {
      const consumer = await SteadyConsumer.open(this.broker.url, Math.min(left, PREFETCH_MAX), 0)
      this.consumers.push(consumer)
      await consumer.start([queue])
    }
    await this.untilConsumed(before + messages)
  }

  /** Microseconds of the broker's CPU time for a message, published and delivered; the median of some repeats. */
  async costUs(messages: number): Promise<number> {
    await this.run(Math.ceil(messages * WARM_UP_SHARE))
    const costs: number[] = []
    while (costs.length < REPEATS) costs.push(await this.costOf(messages, () => this.run(messages)))
    return spreadOf(costs).median
  }

  async costOf(messages: number, work: () => Promise<void>): Promise<number> {
    const before = this.cpuSeconds()
    await work()
    return ((this.cpuSeconds() - before) / messages) * 1e6
  }

  /** Published and confirmed; with consumers, as many have been delivered as were sent by `run`. */
  async run(messages: number): Promise<void> {
    await this.publish(messages)
    this.sent += messages
    await this.untilConsumed(this.sent)
  }

  async publish(messages: number): Promise<void> {
    const count = this.publishers.length
    const share = (i: number): number => Math.floor(messages / count) + (i < messages % count ? 1 : 0)
    await Promise.all(this.publishers.map((publisher, i) => (share(i) > 0 ? publisher.publish(share(i)) : null)))
  }

  async close(): Promise<void> {
    for (const { link } of this.consumers) link.socket.destroy()
    await Promise.all(this.publishers.map((publisher) => publisher.close()))
    await this.link.close()
  }

  private async untilConsumed(target: number): Promise<void> {
    let last = -1
    for (let stillMs = 0; this.consumed < target; stillMs += LOOK_MS) {
      if (this.consumed > last) stillMs = 0
      if (stillMs > STILL_MS_MAX) throw new Error(`${last} of ${target} delivered`)
      last = this.consumed
      await delay(LOOK_MS)
    }
    if (this.consumed > target) throw new Error(`${this.consumed} delivered instead of ${target}`)
  }

  private get consumed(): number {
    return this.consumers.reduce((sum, consumer) => sum + consumer.consumed, 0)
  }

  private cpuSeconds(): number {
    return readUsage(this.broker.pid)?.cpuSeconds ?? 0
  }
}

async function inGroups(count: number, open: () => Promise<void>): Promise<void> {
  for (let opened = 0; opened < count; opened += OPEN_AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(OPEN_AT_ONCE, count - opened) }, open))
  }
}
