// /metrics/per-object: one series per queue and metric. Written here and not by prom-client, which would put the hundred
// thousand lines of ten thousand queues together in one go; this goes a slice at a time, as lists do.
import type { QueueView } from '../core/core-api'
import type { AdminContext } from './context'
import type { Slices } from './slices'

interface Family {
  name: string
  type: 'gauge' | 'counter'
  help: string
  value(queue: QueueView): number
}

const CHUNK_CHARS = 65_536

/** Prometheus wants a family's series together, so queues are walked once per family. */
export async function* queueMetrics({ management, slices }: AdminContext): AsyncIterable<string> {
  for (const family of FAMILIES) {
    yield `# HELP ${family.name} ${family.help}\n# TYPE ${family.name} ${family.type}\n`
    for (const vhost of management.vhosts.values()) yield* series(family, vhost.name, vhost.queues.values(), slices)
  }
}

async function* series(family: Family, vhost: string, queues: Iterable<QueueView>, slices: Slices) {
  const prefix = `${family.name}{vhost="${escaped(vhost)}",queue="`
  let chunk = ''
  await slices.next()
  for (const queue of queues) {
    chunk += `${prefix}${escaped(queue.name)}"} ${family.value(queue)}\n`
    if (chunk.length < CHUNK_CHARS && !slices.isOver) continue
    yield chunk
    chunk = ''
    await slices.next()
  }
  yield chunk
}

function escaped(label: string): string {
  return label.replace(/["\\\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
}

function gauge(name: string, help: string, value: Family['value']): Family {
  return { name: `rabbitmq_queue_${name}`, type: 'gauge', help, value }
}

function counter(name: string, help: string, value: Family['value']): Family {
  return { name: `rabbitmq_queue_${name}_total`, type: 'counter', help, value }
}

const FAMILIES: readonly Family[] = [
  gauge('messages', 'Ready and unacknowledged messages', (q) => q.readyCount + q.unackedCount),
  gauge('messages_ready', 'Messages ready to be delivered to consumers', (q) => q.readyCount),
  gauge('messages_unacked', 'Messages delivered to consumers but not yet acknowledged', (q) => q.unackedCount),
  gauge('messages_bytes', 'Size in bytes of all messages', (q) => q.readyBytes + q.unackedBytes),
  gauge('messages_ready_bytes', 'Size in bytes of ready messages', (q) => q.readyBytes),
  gauge('messages_unacked_bytes', 'Size in bytes of unacknowledged messages', (q) => q.unackedBytes),
  gauge('consumers', 'Consumers on a queue', (q) => q.consumers.length),
  counter('messages_published', 'Messages published to a queue', (q) => q.counters.publish),
  counter('messages_delivered_ack', 'Messages delivered to consumers with manual ack', (q) => q.counters.deliver),
  counter('messages_delivered', 'Messages delivered to consumers with automatic ack', (q) => q.counters.deliverNoAck),
  counter('messages_redelivered', 'Messages delivered again', (q) => q.counters.redeliver),
  counter('messages_acked', 'Messages acknowledged by consumers', (q) => q.counters.ack),
  counter('get_ack', 'Messages taken by basic.get with manual ack', (q) => q.counters.get),
  counter('get', 'Messages taken by basic.get with automatic ack', (q) => q.counters.getNoAck),
  counter('get_empty', 'basic.get that found nothing', (q) => q.counters.getEmpty),
]
