// `leveret queues`: a table of a running broker's queues, from /api/queues, fetched page by page; `pause` and `resume` one of
// them. Called by command-line.ts.
import { AdminClient, type AdminOptions, type Answer } from './admin-client'
import type { CliContext } from './context'
import { formatTable } from './table'

const pageSize = 500

export interface QueuesOptions extends AdminOptions {
  vhost?: string
}

export async function queues(options: QueuesOptions, context: CliContext): Promise<number> {
  const client = await AdminClient.create(options, context)
  const list = await fetchAll(client, options.vhost)
  const lines = options.json ? [JSON.stringify(list, null, 2)] : describe(list)
  for (const line of lines) context.print(line)
  return 0
}

export interface QueueOptions extends AdminOptions {
  vhost: string
}

export function pauseQueue(name: string, options: QueueOptions, context: CliContext): Promise<number> {
  return turn('pause', name, options, context, 'is paused: it takes messages, and hands out none.')
}

export function resumeQueue(name: string, options: QueueOptions, context: CliContext): Promise<number> {
  return turn('resume', name, options, context, 'hands out messages.')
}

async function turn(how: string, name: string, options: QueueOptions, context: CliContext, outcome: string) {
  const path = `/api/queues/${encodeURIComponent(options.vhost)}/${encodeURIComponent(name)}/${how}`
  await (await AdminClient.create(options, context)).send('PUT', path)
  context.print(`Queue ${name} ${outcome}`)
  return 0
}

async function fetchAll(client: AdminClient, vhost: string | undefined): Promise<Answer[]> {
  const path = vhost === undefined ? '/api/queues' : `/api/queues/${encodeURIComponent(vhost)}`
  const all: Answer[] = []
  for (let page = 1, pageCount = 1; page <= pageCount; page++) {
    const answer = await client.get(`${path}?page=${page}&page_size=${pageSize}`)
    all.push(...(answer.items ?? []))
    pageCount = answer.page_count ?? 1
  }
  return all
}

function describe(list: readonly Answer[]): string[] {
  if (list.length === 0) return ['There are no queues.']
  const rows = list.map((queue) => [
    queue.vhost,
    queue.name,
    queue.messages_ready ?? 0,
    queue.messages_unacknowledged ?? 0,
    queue.consumers ?? 0,
    queue.durable ? 'durable' : 'transient',
    queue.state ?? '',
  ])
  return formatTable([['vhost', 'name', 'ready', 'unacked', 'consumers', 'kept', 'state'], ...rows])
}
