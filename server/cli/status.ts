// `leveret status`: one screen about a running broker, from /api/overview. Called by command-line.ts.
import { AdminClient, type AdminOptions, type Answer } from './admin-client'
import type { CliContext } from './context'
import { formatTable } from './table'

export async function status(options: AdminOptions, context: CliContext): Promise<number> {
  const overview = await (await AdminClient.create(options, context)).get('/api/overview')
  const lines = options.json ? [JSON.stringify(overview, null, 2)] : describe(overview)
  for (const line of lines) context.print(line)
  return 0
}

function describe(overview: Answer): string[] {
  const { object_totals: objects = {}, queue_totals: totals = {}, message_stats: stats = {} } = overview
  return formatTable([
    ['Node', overview.node ?? 'unknown'],
    ['Version', `${overview.product_name ?? 'Leveret'} ${overview.product_version ?? overview.rabbitmq_version ?? ''}`],
    ['Listening', (overview.listeners ?? []).map(describeListener).join(', ')],
    ['Connections', `${objects.connections ?? 0} with ${objects.channels ?? 0} channels`],
    ['Queues', `${objects.queues ?? 0} with ${objects.consumers ?? 0} consumers`],
    ['Messages', `${totals.messages_ready ?? 0} ready, ${totals.messages_unacknowledged ?? 0} unacked`],
    ['Published', rate(stats, 'publish')],
    ['Delivered', rate(stats, 'deliver_get')],
    ['Acked', rate(stats, 'ack')],
    ...(overview.alarms ?? []).map((alarm: Answer) => ['Alarm', `${alarm.resource}: ${alarm.reason}`]),
  ])
}

function describeListener(listener: Answer): string {
  return `${listener.protocol} ${listener.ip_address}:${listener.port}`
}

function rate(stats: Answer, name: string): string {
  return `${Number(stats[`${name}_details`]?.rate ?? 0).toFixed(1)}/s, ${stats[name] ?? 0} in all`
}
