// /api/queues: the list, one queue, declare and delete, purge, pause and resume. Taking messages out is routes-messages.ts.
import type { VhostView } from '../core/core-api'
import { bodyOf, booleanIn, checkName, flagIn, tableIn } from './body'
import { type AdminContext, type Call, queueOf, type Resource, resource, vhostOf, visibleVhosts } from './context'
import { columnsOf, compareText, type List, sendList } from './listing'
import { badRequest, Problem } from './problem'
import { queueDetails, queueItem } from './view-queue'

export function queueRoutes(context: AdminContext): Resource[] {
  const list = (call: Call, vhosts: VhostView[]) => sendList(call, queueList(context, vhosts), context.slices)
  return [
    resource('/api/queues', { GET: (call) => list(call, visibleVhosts(context, call.user)) }),
    // RabbitMQ 4's name for the list with all its fields, which ours always has.
    resource('/api/queues/detailed', { GET: (call) => list(call, visibleVhosts(context, call.user)) }),
    resource('/api/queues/:vhost', { GET: (call) => list(call, [vhostOf(context, call)]) }),
    resource('/api/queues/:vhost/:name', {
      GET: (call) => columnsOf(call)(queueDetails(context, queueOf(context, call))),
      PUT: (call) => declare(context, call),
      DELETE: (call) => remove(context, call),
    }),
    resource('/api/queues/:vhost/:name/contents', { DELETE: (call) => purge(context, call) }),
    resource('/api/queues/:vhost/:name/pause', { PUT: (call) => setPaused(context, call, true) }),
    resource('/api/queues/:vhost/:name/resume', { PUT: (call) => setPaused(context, call, false) }),
  ]
}

interface QueueKey {
  vhost: string
  name: string
}

function queueList(context: AdminContext, vhosts: VhostView[]): List<QueueKey> {
  return {
    keys: queueKeys(vhosts),
    nameOf: ({ name }) => name,
    compare: (a, b) => compareText(a.vhost, b.vhost) || compareText(a.name, b.name),
    item({ vhost, name }) {
      const queue = context.management.vhosts.get(vhost)?.queues.get(name)
      return queue === undefined ? null : queueItem(context, queue)
    },
  }
}

function* queueKeys(vhosts: VhostView[]): Iterable<QueueKey> {
  for (const vhost of vhosts) for (const name of vhost.queues.keys()) yield { vhost: vhost.name, name }
}

async function declare({ management }: AdminContext, call: Call): Promise<void> {
  const { vhost, name } = call.params
  const body = bodyOf(call)
  if (!management.vhosts.has(vhost)) throw new Problem(404, 'not_found', 'vhost_not_found')
  const outcome = await management.declareQueue(call.user.name, vhost, checkName(name), {
    durable: booleanIn(body, 'durable'),
    autoDelete: booleanIn(body, 'auto_delete'),
    arguments: tableIn(body, 'arguments'),
  })
  call.reply.code(outcome === 'created' ? 201 : 204)
}

async function remove(context: AdminContext, call: Call): Promise<void> {
  const { vhostName, name } = queueOf(context, call)
  const [ifUnused, ifEmpty] = [flagIn(call, 'if-unused'), flagIn(call, 'if-empty')]
  await context.management.deleteQueue(call.user.name, vhostName, name, ifUnused, ifEmpty)
}

async function purge(context: AdminContext, call: Call): Promise<void> {
  const { vhostName, name } = queueOf(context, call)
  await context.management.purgeQueue(call.user.name, vhostName, name, countIn(call))
}

/** ?count=100: only so many, from the head. */
function countIn({ query: { count } }: Call): number | undefined {
  if (count === undefined) return undefined
  if (!/^[1-9]\d{0,14}$/.test(count)) throw badRequest('count should be a whole number from 1 up')
  return Number(count)
}

async function setPaused(context: AdminContext, call: Call, isPaused: boolean): Promise<void> {
  const { vhostName, name } = queueOf(context, call)
  await context.management.setPaused(call.user.name, vhostName, name, isPaused)
}
