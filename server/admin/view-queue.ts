// A queue as the management API shows it.
import { type FieldTable, tableToPlain } from '../../protocol'
import type { Management, QueueView } from '../core/core-api'

export function queueJson(management: Management, queue: QueueView): Record<string, unknown> {
  const { readyCount, unackedCount, readyBytes, unackedBytes, consumers } = queue
  return {
    name: queue.name,
    vhost: queue.vhostName,
    type: 'classic',
    durable: queue.durable,
    auto_delete: queue.autoDelete,
    exclusive: queue.exclusive,
    arguments: queueArguments(queue.arguments),
    node: management.nodeName,
    state: 'running',
    consumers: consumers.length,
    messages: readyCount + unackedCount,
    messages_ready: readyCount,
    messages_unacknowledged: unackedCount,
    message_bytes: readyBytes + unackedBytes,
    message_bytes_ready: readyBytes,
    message_bytes_unacknowledged: unackedBytes,
  }
}

/** RabbitMQ 4 tells the type of a queue that was declared without one, too. */
function queueArguments(table: FieldTable): Record<string, unknown> {
  return { 'x-queue-type': 'classic', ...tableToPlain(table) }
}
