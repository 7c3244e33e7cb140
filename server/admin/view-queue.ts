// Queues and consumers as the management API shows them.
import { type FieldTable, tableToPlain } from '../../protocol'
import type { ConnectionView, ConsumerView, QueueView } from '../core/core-api'
import type { AdminContext } from './context'
import type { Item } from './listing'
import { messageTotals, queueStats } from './message-stats'

export function queueItem({ management, rates }: AdminContext, queue: QueueView): Item {
  const { consumers, readyCount, unackedCount, delayedCount, untakenCount, readyBytes, unackedBytes, counters } = queue
  const isServed = consumers.length > 0 && (readyCount === 0 || consumers.some(hasCredit))
  return {
    name: queue.name,
    vhost: queue.vhostName,
    type: queue.type,
    durable: queue.durable,
    auto_delete: queue.autoDelete,
    exclusive: queue.exclusive,
    internal: false,
    internal_owner: false,
    arguments: queueArguments(queue.arguments),
    node: management.nodeName,
    state: queue.isPaused ? 'paused' : 'running',
    idle_since: isoTime(queue.idleSinceMs),
    policy: queue.policy.policy,
    operator_policy: queue.policy.operatorPolicy,
    effective_policy_definition: queue.policy.definition,
    exclusive_consumer_tag: consumers.find((c) => c.exclusive)?.tag ?? null,
    single_active_consumer_tag: queue.activeConsumer?.tag ?? null,
    head_message_timestamp: null,
    consumers: consumers.length,
    // Not the share of the time that RabbitMQ averages, but whether it could deliver at this moment.
    consumer_capacity: isServed ? 1 : 0,
    consumer_utilisation: isServed ? 1 : 0,
    ...messageTotals(readyCount, unackedCount, rates.queue(queue, 'readyCount'), rates.queue(queue, 'unackedCount')),
    messages: readyCount + unackedCount + delayedCount + untakenCount,
    messages_delayed: delayedCount,
    messages_dlx: untakenCount,
    messages_unacknowledged_ram: unackedCount,
    message_bytes: readyBytes + unackedBytes,
    message_bytes_ready: readyBytes,
    message_bytes_unacknowledged: unackedBytes,
    message_stats: queueStats(counters, rates),
  }
}

/** One queue: the same, and who stands behind it. */
export function queueDetails(context: AdminContext, queue: QueueView): Item {
  const owner = queue.ownerConnection === null ? undefined : context.management.connections.get(queue.ownerConnection)
  return {
    ...queueItem(context, queue),
    ...(owner && { owner_pid_details: connectionDetails(owner) }),
    consumer_details: queue.consumers.map((consumer) => consumerItem(context, consumer)),
    incoming: [],
    deliveries: [],
  }
}

export function consumerItem({ management }: AdminContext, consumer: ConsumerView): Item {
  const connection = management.connections.get(consumer.connectionName)
  return {
    consumer_tag: consumer.tag,
    queue: { name: consumer.queueName, vhost: consumer.vhostName },
    ack_required: consumer.ackRequired,
    exclusive: consumer.exclusive,
    prefetch_count: consumer.prefetch,
    active: consumer.active,
    activity_status: activityStatus(consumer),
    consumer_timeout: consumer.timeoutMs || null,
    arguments: tableToPlain(consumer.arguments),
    channel_details: {
      name: channelName(consumer.connectionName, consumer.channelNumber),
      number: consumer.channelNumber,
      connection_name: consumer.connectionName,
      node: management.nodeName,
      peer_host: connection?.peerHost ?? '',
      peer_port: connection?.peerPort ?? 0,
      user: connection?.user ?? '',
    },
  }
}

export function connectionDetails({ name, peerHost, peerPort }: ConnectionView): Item {
  return { name, peer_host: peerHost, peer_port: peerPort }
}

export function channelName(connection: string, number: number): string {
  return `${connection} (${number})`
}

/** As RabbitMQ writes it: UTC as an offset. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '+00:00')
}

function activityStatus(consumer: ConsumerView): string {
  if (consumer.isOnlyActive) return 'single_active'
  if (!consumer.active) return 'waiting'
  return hasCredit(consumer) ? 'up' : 'blocked'
}

function hasCredit({ prefetch, unackedCount }: ConsumerView): boolean {
  return prefetch === 0 || unackedCount < prefetch
}

/** RabbitMQ 4 tells the type of a queue that was declared without one, too. */
function queueArguments(table: FieldTable): Item {
  return { 'x-queue-type': 'classic', ...tableToPlain(table) }
}
