// /metrics for Prometheus, under RabbitMQ's metric names, so that its dashboards fit. Values are read from the broker's
// counters when they are asked for. One Registry per admin API: several brokers live in one process. The series of single
// objects are metrics-per-object.ts.
import { Counter, Gauge, Registry } from 'prom-client'
import type { ChannelView, Management, MessageCounters } from '../core/core-api'
import type { AdminContext } from './context'
import { PRODUCT_NAME, RABBITMQ_VERSION } from './identity'
import { machineFacts, runtime } from './machine'
import { type Totals, totalsOf } from './totals'
import { uptimeMs } from './view-node'

export class Metrics {
  readonly contentType: string
  private readonly registry = new Registry()
  /** Each sets its metric from one reading of the broker. */
  private readonly updates: ((reading: Reading) => void)[] = []

  constructor(private readonly context: AdminContext) {
    this.contentType = this.registry.contentType
    this.addIdentity(context.management)
    for (const [name, help, value] of GAUGES) this.addGauge(name, help, value)
    for (const [name, help, value] of COUNTERS) this.addCounter(name, help, {}, value)
    for (const [name, help, counter, hasQueueType] of MESSAGES) {
      const labels = { protocol: 'amqp091', ...(hasQueueType && { queue_type: 'rabbit_classic_queue' }) }
      this.addCounter(`rabbitmq_global_messages_${name}_total`, help, labels, (r) => counter(r.management.counters))
    }
  }

  async text(): Promise<string> {
    const reading = await read(this.context)
    for (const update of this.updates) update(reading)
    return this.registry.metrics()
  }

  private addIdentity({ nodeName, clusterName, version }: Management): void {
    this.addConstant('rabbitmq_identity_info', 'RabbitMQ node & cluster identity info', {
      rabbitmq_node: nodeName,
      rabbitmq_cluster: clusterName,
      rabbitmq_cluster_permanent_id: clusterName,
      rabbitmq_endpoint: 'aggregated',
    })
    this.addConstant('rabbitmq_build_info', 'Version of the broker, and of the RabbitMQ whose contract it follows', {
      rabbitmq_version: RABBITMQ_VERSION,
      product_name: PRODUCT_NAME,
      product_version: version,
      erlang_version: runtime,
    })
  }

  private addConstant(name: string, help: string, labels: Record<string, string>): void {
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.registry] }).set(labels, 1)
  }

  private addGauge(name: string, help: string, value: Value): void {
    const gauge = new Gauge({ name, help, registers: [this.registry] })
    this.updates.push((reading) => gauge.set(value(reading)))
  }

  private addCounter(name: string, help: string, labels: Record<string, string>, value: Value): void {
    const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [this.registry] })
    this.updates.push((reading) => {
      counter.reset() // prom-client's counters only add; ours are kept by the broker
      counter.inc(labels, value(reading))
    })
  }
}

// -- one reading ------------------------------------------------------------------------------------------------------

interface Reading {
  management: Management
  totals: Totals
  channels: number
  publishers: number
  unconfirmed: number
  memory: ReturnType<Management['memory']>
  diskFree: number
  diskFreeLimit: number
  hasDiskError: boolean
  openFiles: number
  openFilesMax: number
}

async function read({ management, rates, slices }: AdminContext): Promise<Reading> {
  const totals = await totalsOf(allQueues(management), rates, slices)
  const [machine, storage] = await Promise.all([machineFacts(), management.storage()])
  const channels = [...management.connections.values()].flatMap((connection) => [...connection.channels.values()])
  return {
    management,
    totals,
    channels: channels.length,
    publishers: channels.filter(hasPublished).length,
    unconfirmed: channels.reduce((sum, channel) => sum + channel.unconfirmedCount, 0),
    memory: management.memory(),
    diskFree: storage.freeBytes,
    diskFreeLimit: management.diskFreeLimit,
    hasDiskError: management.storageError() !== null,
    openFiles: machine.openFiles,
    openFilesMax: machine.openFilesMax,
  }
}

function* allQueues({ vhosts }: Management) {
  for (const { queues } of vhosts.values()) yield* queues.values()
}

function hasPublished({ counters }: ChannelView): boolean {
  return counters.publish > 0
}

// -- what there is ----------------------------------------------------------------------------------------------------

type Value = (reading: Reading) => number
type Row = readonly [name: string, help: string, value: Value]

const GAUGES: readonly Row[] = [
  ['rabbitmq_connections', 'Connections currently open', (r) => r.management.connections.size],
  ['rabbitmq_channels', 'Channels currently open', (r) => r.channels],
  ['rabbitmq_queues', 'Queues available', (r) => r.totals.queues],
  ['rabbitmq_consumers', 'Consumers currently connected', (r) => r.totals.consumers],
  ['rabbitmq_global_consumers', 'Current number of consumers', (r) => r.totals.consumers],
  ['rabbitmq_global_publishers', 'Current number of channels that have published', (r) => r.publishers],
  ['rabbitmq_queue_messages', 'Ready and unacknowledged messages', (r) => r.totals.ready + r.totals.unacked],
  ['rabbitmq_queue_messages_ready', 'Messages ready to be delivered to consumers', (r) => r.totals.ready],
  [
    'rabbitmq_queue_messages_unacked',
    'Messages delivered to consumers but not yet acknowledged',
    (r) => r.totals.unacked,
  ],
  [
    'rabbitmq_queue_messages_bytes',
    'Size in bytes of ready and unacknowledged messages',
    (r) => r.totals.readyBytes + r.totals.unackedBytes,
  ],
  ['rabbitmq_queue_messages_ready_bytes', 'Size in bytes of ready messages', (r) => r.totals.readyBytes],
  ['rabbitmq_queue_messages_unacked_bytes', 'Size in bytes of unacknowledged messages', (r) => r.totals.unackedBytes],
  ['rabbitmq_channel_messages_unconfirmed', 'Published but not yet confirmed messages', (r) => r.unconfirmed],
  ['rabbitmq_process_open_fds', 'Open file descriptors', (r) => r.openFiles],
  ['rabbitmq_process_max_fds', 'Open file descriptors limit', (r) => r.openFilesMax],
  ['rabbitmq_process_open_tcp_sockets', 'Open TCP sockets', (r) => r.management.connections.size],
  ['rabbitmq_process_max_tcp_sockets', 'Open TCP sockets limit', (r) => r.openFilesMax],
  ['rabbitmq_process_resident_memory_bytes', 'Memory used in bytes', (r) => r.memory.usedBytes],
  ['rabbitmq_resident_memory_limit_bytes', 'Memory limit in bytes', (r) => r.memory.limitBytes],
  ['rabbitmq_disk_space_available_bytes', 'Disk space available in bytes', (r) => r.diskFree],
  ['rabbitmq_disk_space_available_limit_bytes', 'Free disk space low watermark in bytes', (r) => r.diskFreeLimit],
  ['rabbitmq_erlang_uptime_seconds', 'Node uptime', (r) => uptimeMs(r.management) / 1000],
  ['rabbitmq_alarms_memory_used_watermark', 'Is 1 if the memory limit is reached', (r) => (r.memory.alarm ? 1 : 0)],
  ['rabbitmq_alarms_free_disk_space_watermark', 'Is 1 if the log takes no messages', (r) => (r.hasDiskError ? 1 : 0)],
  ['rabbitmq_alarms_file_descriptor_limit', 'Is 1 if the file descriptor limit is reached', () => 0],
]

const COUNTERS: readonly Row[] = [
  ['rabbitmq_connections_opened_total', 'Connections opened', (r) => r.management.churn.connectionsOpened],
  [
    'rabbitmq_connections_closed_total',
    'Connections closed or terminated',
    (r) => r.management.churn.connectionsClosed,
  ],
  ['rabbitmq_channels_opened_total', 'Channels opened', (r) => r.management.churn.channelsOpened],
  ['rabbitmq_channels_closed_total', 'Channels closed', (r) => r.management.churn.channelsClosed],
  ['rabbitmq_queues_declared_total', 'Queues declared', (r) => r.management.churn.queuesDeclared],
  ['rabbitmq_queues_created_total', 'Queues created', (r) => r.management.churn.queuesCreated],
  ['rabbitmq_queues_deleted_total', 'Queues deleted', (r) => r.management.churn.queuesDeleted],
  ['rabbitmq_auth_attempts_total', 'Authorization attempts', (r) => r.management.churn.authAttempts],
  ['rabbitmq_auth_attempts_failed_total', 'Failed authentication attempts', (r) => r.management.churn.authFailures],
  [
    'rabbitmq_auth_attempts_succeeded_total',
    'Successful authentication attempts',
    (r) => r.management.churn.authAttempts - r.management.churn.authFailures,
  ],
]

type MessageRow = readonly [name: string, help: string, value: (c: MessageCounters) => number, hasQueueType: boolean]

const MESSAGES: readonly MessageRow[] = [
  ['received', 'Messages received from publishers', (c) => c.publish, false],
  ['received_confirm', 'Messages confirmed or refused to publishers that asked for it', (c) => c.confirm, false],
  ['confirmed', 'Messages confirmed to publishers', (c) => c.confirm, false],
  ['routed', 'Messages routed to queues', (c) => c.publish - c.dropUnroutable - c.returnUnroutable, false],
  ['unroutable_dropped', 'Unroutable messages dropped', (c) => c.dropUnroutable, false],
  ['unroutable_returned', 'Unroutable messages returned to their publishers', (c) => c.returnUnroutable, false],
  ['delivered', 'Messages delivered', (c) => c.deliver + c.deliverNoAck + c.get + c.getNoAck, true],
  ['delivered_consume_auto_ack', 'Messages delivered to consumers with automatic ack', (c) => c.deliverNoAck, true],
  ['delivered_consume_manual_ack', 'Messages delivered to consumers with manual ack', (c) => c.deliver, true],
  ['delivered_get_auto_ack', 'Messages taken by basic.get with automatic ack', (c) => c.getNoAck, true],
  ['delivered_get_manual_ack', 'Messages taken by basic.get with manual ack', (c) => c.get, true],
  ['get_empty', 'basic.get on an empty queue', (c) => c.getEmpty, true],
  ['redelivered', 'Messages delivered again', (c) => c.redeliver, true],
  ['acknowledged', 'Messages acknowledged by consumers', (c) => c.ack, true],
]
