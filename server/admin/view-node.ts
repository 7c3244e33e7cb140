// The node, of which there is one, as the management API shows it.
import type { Management } from '../core/core-api'
import type { AdminContext } from './context'
import { RABBITMQ_VERSION } from './identity'
import type { Item } from './listing'
import { machineFacts, runtime } from './machine'
import { churnStats } from './message-stats'

const AUTH_MECHANISMS = [
  { name: 'PLAIN', description: 'SASL PLAIN authentication mechanism', enabled: true },
  { name: 'AMQPLAIN', description: 'QPid AMQPLAIN mechanism', enabled: true },
]

export async function nodeItem({ management, rates }: AdminContext): Promise<Item> {
  const [machine, storage] = await Promise.all([machineFacts(), management.storage()])
  const memory = management.memory()
  const hasDiskError = management.storageError() !== null
  return {
    name: management.nodeName,
    type: 'disc',
    running: true,
    being_drained: false,
    partitions: [],
    cluster_links: [],
    applications: [{ name: 'leveret', description: 'Leveret', version: management.version }],
    enabled_plugins: ['rabbitmq_management', 'rabbitmq_prometheus'],
    exchange_types: exchangeTypeItems(management),
    auth_mechanisms: AUTH_MECHANISMS,
    contexts: [],
    log_files: [],
    config_files: [],
    rabbitmq_version: RABBITMQ_VERSION,
    erlang_version: runtime,
    erlang_full_version: runtime,
    rates_mode: 'basic',
    uptime: uptimeMs(management),
    os_pid: String(machine.pid),
    processors: machine.processors,
    run_queue: 0,
    proc_used: management.connections.size,
    proc_total: 1_048_576,
    fd_used: machine.openFiles,
    fd_total: machine.openFilesMax,
    sockets_used: management.connections.size,
    sockets_total: machine.openFilesMax,
    mem_used: memory.usedBytes,
    mem_limit: memory.limitBytes,
    mem_alarm: memory.alarm,
    mem_calculation_strategy: 'rss',
    // In-memory brokers have no disk to run out of, and JSON no infinity.
    disk_free: Math.min(storage.freeBytes, Number.MAX_SAFE_INTEGER),
    disk_free_limit: management.diskFreeLimit,
    disk_free_alarm: hasDiskError,
    ...churnStats(management.churn, rates),
  }
}

export function uptimeMs(management: Management): number {
  return management.now() - management.startedAtMs
}

export function exchangeTypeItems({ exchangeTypes }: Management): Item[] {
  return [...exchangeTypes].map(([name, { description }]) => ({ name, description, enabled: true }))
}
