// From what one load run saw to the figures that are reported.
import type { Figures } from './figures'
import { type HistogramCounts, LatencyHistogram, type LatencySummary } from './histogram'
import type { LoadRun } from './load'
import type { LoadRow } from './rows'

const mebibyte = 1024 * 1024

export function figuresOf(row: LoadRow, run: LoadRun): Figures {
  const delivery = summaryOf(run.consumer.latency)
  const confirm = summaryOf(run.publisher.confirmLatency)
  const figures: Figures = { ...ratesOf(row, run), ...brokerCosts(run), ...generatorCosts(run) }
  if (delivery !== null)
    Object.assign(figures, { deliveryP50Ms: ms(delivery.p50Us), deliveryP99Ms: ms(delivery.p99Us) })
  // While a backlog is filled confirms are only the bench's brake, unless the row asks for them.
  if (confirm !== null && row.confirmWindow > 0) {
    Object.assign(figures, { confirmP50Ms: ms(confirm.p50Us), confirmP99Ms: ms(confirm.p99Us) })
  }
  return figures
}

function ratesOf(row: LoadRow, run: LoadRun): Figures {
  const { publisher, consumer } = run
  const delivered = total(consumer.queues.map((queue) => queue.delivered))
  if (row.phases === 'fill-then-drain') {
    return {
      fillPerSecond: total(publisher.published) / seconds(publisher.startedUs, publisher.finishedUs),
      drainPerSecond: delivered / seconds(consumer.startedUs, consumer.lastUs),
    }
  }
  // The last of the two: a broker that delivers before it confirms has not finished at its last delivery.
  const finishedUs = row.confirmWindow > 0 ? Math.max(consumer.lastUs, publisher.finishedUs) : consumer.lastUs
  const rate = delivered / seconds(publisher.startedUs, finishedUs)
  return row.ratePerSecond > 0 ? { pacedPerSecond: rate } : { deliveredPerSecond: rate }
}

function brokerCosts(run: LoadRun): Figures {
  const { before, after, seconds: wall } = run.broker
  if (before === null || after === null) return {}
  const cpu = after.cpuSeconds - before.cpuSeconds
  const delivered = total(run.consumer.queues.map((queue) => queue.delivered))
  return {
    brokerCpuPerMillion: (cpu / delivered) * 1e6,
    brokerBusyPercent: (cpu / wall) * 100,
    rssMiB: after.rssBytes / mebibyte,
    rssPeakMiB: after.rssPeakBytes / mebibyte,
  }
}

/** A generator near 100 % would be measuring itself. */
function generatorCosts({ publisher, consumer }: LoadRun): Figures {
  return {
    publisherBusyPercent: (publisher.cpuSeconds / seconds(publisher.startedUs, publisher.finishedUs)) * 100,
    consumerBusyPercent: (consumer.cpuSeconds / seconds(consumer.startedUs, consumer.lastUs)) * 100,
  }
}

function summaryOf(counts: HistogramCounts | null): LatencySummary | null {
  if (counts === null) return null
  const histogram = new LatencyHistogram()
  histogram.merge(counts)
  return histogram.summary()
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

function seconds(fromUs: number, toUs: number): number {
  return (toUs - fromUs) / 1e6
}

function ms(us: number): number {
  return us / 1000
}
