// /api/queues: the list, one queue, declare and delete, purge, get.
import type { QueueView } from '../core/core-api'
import { type AdminContext, queueOf, type Resource, resource, vhostOf, visibleVhosts } from './context'
import { queueJson } from './view-queue'

export function queueRoutes({ management }: AdminContext): Resource[] {
  const json = (queue: QueueView) => queueJson(management, queue)
  return [
    resource('/api/queues', {
      GET: ({ user }) => visibleVhosts(management, user).flatMap((vhost) => [...vhost.queues.values()].map(json)),
    }),
    resource('/api/queues/:vhost', { GET: (call) => [...vhostOf(management, call).queues.values()].map(json) }),
    resource('/api/queues/:vhost/:name', { GET: (call) => json(queueOf(management, call)) }),
  ]
}
