// The definitions that a start finds in the log, put back: vhosts, users, policies, exchanges, queues, bindings, and what belongs to
// them. Called once by core.ts, before the messages come.
import { tableFromJson } from '../../protocol'
import type { Definitions, QueueRecord } from '../../storage/definitions'
import type { Core } from './core'
import { Deduplication } from './deduplication'
import { storedIds } from './deduplication-log'
import type { ApplyTo } from './policies'
import { SHELF_PREFIX } from './shelf'
import { PAUSED_QUEUE, PREDECLARED, Vhost } from './vhost'

type Vhosts = ReadonlyMap<string, Vhost>

/** Puts the stored definitions back; as they come from the log, nothing is written again. */
export function restoreDefinitions(core: Core, definitions: Definitions, defaultVhost: string): void {
  const { vhosts, journal } = core
  journal.isRestoring = true
  for (const { name, description } of definitions.vhost) {
    vhosts.set(name, new Vhost(name, description, core, name === defaultVhost))
  }
  for (const user of definitions.user) core.users.add(user)
  for (const permission of definitions.permission) core.users.addPermission(permission)
  for (const record of definitions.policy) {
    const definition = JSON.parse(record.definition)
    const applyTo = record.applyTo as ApplyTo
    vhosts.get(record.vhost)?.policies.set('policy', { ...record, applyTo, definition })
  }
  for (const { component, vhost, name, value } of definitions.parameter) {
    if (component !== 'operator_policy') continue
    const { 'apply-to': applyTo, definition, ...rest } = JSON.parse(value)
    const policy = { ...rest, name, applyTo, definition: JSON.parse(definition) }
    vhosts.get(vhost)?.policies.set(component, policy)
  }
  for (const record of definitions.exchange) {
    if (PREDECLARED.some(([name]) => name === record.name)) continue
    vhosts.get(record.vhost)?.addExchange(record.name, { ...record, arguments: tableFromJson(record.arguments) })
  }
  const shelves = new Set<number>()
  for (const record of definitions.queue) {
    if (record.name.startsWith(SHELF_PREFIX)) {
      restoreShelf(vhosts, record)
      shelves.add(record.id)
      continue
    }
    const spec = { durable: record.durable, autoDelete: record.autoDelete, owner: null }
    const args = { arguments: tableFromJson(record.arguments), argumentsJson: record.arguments }
    vhosts.get(record.vhost)?.addQueue(record.name, { ...spec, ...args, id: record.id })
  }
  for (const record of definitions.binding) {
    const vhost = vhosts.get(record.vhost)
    const from = vhost?.exchanges.get(record.source)
    const to = (record.destinationType === 'queue' ? vhost?.queues : vhost?.exchanges)?.get(record.destination)
    if (from && to) vhost?.addBinding(from, to, record.routingKey, tableFromJson(record.arguments))
  }
  for (const { component, vhost, name, value } of definitions.parameter) {
    core.limits.restore(component, name, vhost, value)
    const queue = component === PAUSED_QUEUE ? vhosts.get(vhost)?.queues.get(name) : undefined
    if (queue !== undefined) queue.isPaused = true
  }
  restoreIds(vhosts, definitions)
  core.churn.queuesCreated = 0
  journal.isRestoring = false
  for (const vhost of vhosts.values()) vhost.defineShelves(shelves)
}

/** Those that deduplication had seen. */
function restoreIds(vhosts: Vhosts, { parameter }: Definitions): void {
  for (const stored of storedIds(parameter)) {
    const vhost = vhosts.get(stored.vhost)
    const gates =
      stored.owner === 'queue' ? [vhost?.queues.get(stored.name)?.gate] : vhost?.exchanges.get(stored.name)?.gates
    for (const gate of gates ?? []) if (gate instanceof Deduplication) gate.restore(stored)
  }
}

function restoreShelf(vhosts: Vhosts, { vhost, name, id }: QueueRecord): void {
  const exchange = vhosts.get(vhost)?.exchanges.get(name.slice(SHELF_PREFIX.length))
  for (const { shelf } of exchange?.gates ?? []) if (shelf?.name === name) shelf.id = id
}
