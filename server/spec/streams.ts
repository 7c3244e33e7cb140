// Streams, for their specifications: declare one, fill it, read it.
import type { RawChannel } from '../../clients/raw'
import { type FieldTable, type FieldValue, fieldValueText } from '../../protocol'

export const streamType = { 'x-queue-type': 'stream' }

export async function declareStream(channel: RawChannel, queue: string, args: FieldTable = {}): Promise<string> {
  await channel.call('queue.declare', { queue, durable: true, arguments: { ...streamType, ...args } })
  return queue
}

/** Messages m0, m1 and so on. */
export function fill(channel: RawChannel, queue: string, count: number, from = 0): void {
  for (let i = from; i < from + count; i++) channel.publishTo(queue, `m${i}`)
}

/** All that a consumer with these arguments gets of what is there: bodies and offsets, as 'm0@0'. Leaves a message behind, which later calls
 *  pass over. */
export async function read(channel: RawChannel, queue: string, args: FieldTable = {}): Promise<string[]> {
  await channel.call('basic.qos', { prefetchCount: 1000 })
  const { consumerTag } = await channel.call('basic.consume', { queue, arguments: args })
  const filter = args['x-stream-filter']
  const headers: FieldTable = filter === undefined ? {} : { 'x-stream-filter-value': [filter].flat()[0] as FieldValue }
  channel.publishTo(queue, `end of ${consumerTag}`, { headers })
  const found: string[] = []
  for (let next = ''; !next.startsWith(`end of ${consumerTag}`); next = await nextOf(channel)) {
    if (next !== '' && !next.startsWith('end of')) found.push(next)
  }
  await channel.call('basic.cancel', { consumerTag })
  return found
}

/** The next delivery, acknowledged. */
export async function nextOf(channel: RawChannel): Promise<string> {
  const { args, body, properties } = await channel.message()
  channel.send('basic.ack', { deliveryTag: args.deliveryTag })
  return `${body}@${fieldValueText(properties.headers?.['x-stream-offset'] ?? null)}`
}

export const fromFirst = { 'x-stream-offset': 'first' }

/** 'm3@3', 'm4@4' and so on. */
export function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `m${from + i}@${from + i}`)
}
