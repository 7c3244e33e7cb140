// The broker as a whole: overview, nodes, vhosts, who I am; and a small page for whoever opens the address in a browser.
import type { VhostView } from '../core/core-api'
import { alarmsOf } from './alarms'
import { bodyOf, booleanIn } from './body'
import {
  type AdminContext,
  type Call,
  existing,
  publicResource,
  type Resource,
  resource,
  vhostOf,
  visibleVhosts,
} from './context'
import { PRODUCT_NAME, RABBITMQ_VERSION } from './identity'
import { columnsOf, type Item } from './listing'
import { runtime } from './machine'
import { churnStats, details, messageStats } from './message-stats'
import { notAuthorised } from './problem'
import { totalsOf, totalsStats } from './totals'
import { exchangeTypeItems, nodeItem } from './view-node'

export function overviewRoutes(context: AdminContext): Resource[] {
  const { management } = context
  const nodeOf = (call: Call) => {
    existing(call.params.node === management.nodeName || undefined)
    return nodeItem(context)
  }
  return [
    publicResource('/', { GET: ({ reply }) => frontPage(reply, management.version) }),
    resource('/api/whoami', { GET: ({ user }) => ({ name: user.name, tags: user.tags, is_internal_user: true }) }),
    resource('/api/version', { GET: ({ reply }) => json(reply, RABBITMQ_VERSION) }),
    resource('/api/cluster-name', { GET: () => ({ name: management.clusterName }) }),
    resource('/api/extensions', { GET: () => [] }),
    resource('/api/overview', { GET: async (call) => columnsOf(call)(await overview(context, call)) }),
    resource('/api/nodes', { GET: async (call) => [columnsOf(call)(await nodeItem(context))] }),
    resource('/api/nodes/:node', { GET: async (call) => columnsOf(call)(await nodeOf(call)) }),
    resource('/api/vhosts', {
      GET: async (call) => {
        const items: Item[] = []
        for (const vhost of visibleVhosts(context, call.user)) items.push(await vhostItem(context, vhost))
        return items.map(columnsOf(call))
      },
    }),
    resource('/api/vhosts/:vhost', {
      GET: async (call) => columnsOf(call)(await vhostItem(context, vhostOf(context, call))),
      PUT: (call) => changeVhost(context, call),
    }),
  ]
}

/** Of what a vhost has, tracing can be changed. */
function changeVhost(context: AdminContext, call: Call): void {
  if (!call.user.tags.includes('administrator')) throw notAuthorised('Not administrator user')
  const { name } = vhostOf(context, call)
  const body = bodyOf(call)
  if (Object.hasOwn(body, 'tracing')) context.management.setTracing(name, booleanIn(body, 'tracing'))
}

async function overview(context: AdminContext, call: Call): Promise<Item> {
  const { management, rates, slices } = context
  const vhosts = visibleVhosts(context, call.user)
  const totals = await totalsOf(queuesOf(vhosts), rates, slices)
  const connections = [...management.connections.values()]
  return {
    management_version: RABBITMQ_VERSION,
    rabbitmq_version: RABBITMQ_VERSION,
    product_name: PRODUCT_NAME,
    product_version: management.version,
    erlang_version: runtime,
    erlang_full_version: runtime,
    cluster_name: management.clusterName,
    cluster_tags: {},
    node: management.nodeName,
    node_tags: {},
    rates_mode: 'basic',
    sample_retention_policies: { global: [], basic: [], detailed: [] },
    disable_stats: false,
    enable_queue_totals: false,
    default_queue_type: 'classic',
    is_op_policy_updating_enabled: true,
    statistics_db_event_queue: 0,
    exchange_types: exchangeTypeItems(management),
    alarms: alarmsOf(management), // ours, for `leveret status`
    object_totals: {
      connections: connections.length,
      channels: connections.reduce((sum, { channels }) => sum + channels.size, 0),
      queues: totals.queues,
      consumers: totals.consumers,
      exchanges: vhosts.reduce((sum, { exchanges }) => sum + exchanges.size, 0),
    },
    queue_totals: totalsStats(totals),
    message_stats: messageStats(management.counters, rates),
    churn_rates: churnStats(management.churn, rates),
    listeners: management.listeners.map(({ protocol, host, port }) => ({
      node: management.nodeName,
      protocol,
      ip_address: host,
      port,
      socket_opts: {},
      tls: protocol === 'amqp/ssl',
    })),
    contexts: management.listeners
      .filter(({ protocol }) => protocol === 'http')
      .map(({ host, port }) => ({
        node: management.nodeName,
        description: 'Leveret Management',
        path: '/',
        ip: host,
        port: String(port),
      })),
  }
}

function* queuesOf(vhosts: VhostView[]) {
  for (const { queues } of vhosts) yield* queues.values()
}

async function vhostItem({ management, rates, slices }: AdminContext, vhost: VhostView): Promise<Item> {
  const { name, description, counters } = vhost
  const totals = await totalsOf(vhost.queues.values(), rates, slices)
  const connections = [...management.connections.values()].filter(({ vhostName }) => vhostName === name)
  const sum = (field: 'receivedBytes' | 'sentBytes') => connections.reduce((total, c) => total + c[field], 0)
  const rate = (field: 'receivedBytes' | 'sentBytes') =>
    details(connections.reduce((total, c) => total + rates.connection(c, field), 0))
  return {
    name,
    description,
    tags: [],
    default_queue_type: 'classic',
    metadata: { description, tags: [], default_queue_type: 'classic' },
    tracing: vhost.tracing,
    protected_from_deletion: false,
    cluster_state: { [management.nodeName]: 'running' },
    ...totalsStats(totals),
    recv_oct: sum('receivedBytes'),
    recv_oct_details: rate('receivedBytes'),
    send_oct: sum('sentBytes'),
    send_oct_details: rate('sentBytes'),
    message_stats: messageStats(counters, rates),
  }
}

function json(reply: Call['reply'], value: unknown): string {
  reply.header('content-type', 'application/json')
  return JSON.stringify(value)
}

function frontPage(reply: Call['reply'], version: string): string {
  reply.header('content-type', 'text/html; charset=utf-8')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Leveret</title>
<h1>Leveret ${version}</h1>
<p>A message broker that speaks AMQP 0-9-1. This is its management API, in the manner of RabbitMQ's.</p>
<ul>
<li><a href="/api/overview">/api/overview</a>: the broker at a glance, as JSON
<li><a href="/api/queues">/api/queues</a>: its queues
<li><a href="/metrics">/metrics</a>: the same for Prometheus
</ul>
</html>
`
}
