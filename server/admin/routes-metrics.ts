// /metrics answers whoever asks, as RabbitMQ's does: Prometheus is rarely given a login, and sums tell little. The names of
// queues are not for everybody: /metrics/per-object wants a user.
import { Readable } from 'node:stream'
import { type AdminContext, isMonitor, publicResource, type Resource, resource } from './context'
import { Metrics } from './metrics'
import { queueMetrics } from './metrics-per-object'
import { notAuthorised } from './problem'

export function metricRoutes(context: AdminContext): Resource[] {
  const metrics = new Metrics(context)
  return [
    publicResource('/metrics', {
      GET: ({ reply }) => {
        reply.header('content-type', metrics.contentType)
        return metrics.text()
      },
    }),
    resource('/metrics/per-object', {
      GET: async ({ reply, user }) => {
        if (!isMonitor(user)) throw notAuthorised('Not monitor user')
        reply.header('content-type', metrics.contentType)
        return Readable.from(withQueues(await metrics.text(), context), { objectMode: false })
      },
    }),
  ]
}

/** What is summed up in /metrics under the same name gives way to the series of single queues. */
async function* withQueues(text: string, context: AdminContext): AsyncIterable<string> {
  yield text.replace(/^(# (HELP|TYPE) )?rabbitmq_queue_.*\n/gm, '')
  yield* queueMetrics(context)
}
