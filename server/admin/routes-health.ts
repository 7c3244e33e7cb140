// Health checks: 200 {"status":"ok"}, or 503 {"status":"failed", "reason": ...}. Those that ask about other nodes, quorums
// or certificates are there for the tools that call them, and hold on one node without TLS.

import { encodeProperties } from '../../protocol'
import { alarmsOf } from './alarms'
import { type AdminContext, BODY_BYTES_MAX, type Call, type Handler, type Resource, resource, vhostOf } from './context'
import { badRequest } from './problem'

const OK = { status: 'ok' }

/** True of every broker that can answer. */
const ALWAYS = [
  'virtual-hosts',
  'is-in-service',
  'below-node-connection-limit',
  'ready-to-serve-clients',
  'reached-target-cluster-size',
  'metadata-store/initialized',
  'metadata-store/initialized/with-data',
  'quorum-queues-without-elected-leaders/all-vhosts',
  'quorum-queues-without-elected-leaders/all-vhosts/pattern/:pattern',
  'quorum-queues-without-elected-leaders/vhost/:vhost',
  'quorum-queues-without-elected-leaders/vhost/:vhost/pattern/:pattern',
]

export function healthRoutes(context: AdminContext): Resource[] {
  const check = (path: string, handler: Handler) => resource(`/api/health/checks/${path}`, { GET: handler })
  return [
    ...ALWAYS.map((path) => check(path, () => OK)),
    check('node-is-quorum-critical', () => ({ ...OK, reason: 'single node cluster' })),
    check('alarms', (call) => alarms(context, call, 'There are alarms in effect in the cluster')),
    check('local-alarms', (call) => alarms(context, call, 'There are alarms in effect on the node')),
    check('port-listener/:port', (call) => portListener(context, call)),
    check('protocol-listener/:protocol', (call) => protocolListener(context, call)),
    check('certificate-expiration/:within/:unit', certificateExpiration),
    resource('/api/healthchecks/node', { GET: () => OK }),
    resource('/api/aliveness-test/:vhost', { GET: alivenessTest(context) }),
  ]
}

function failed({ reply }: Call, details: Record<string, unknown>): Record<string, unknown> {
  reply.code(503)
  return { status: 'failed', ...details }
}

function alarms({ management }: AdminContext, call: Call, reason: string): unknown {
  const found = alarmsOf(management)
  if (found.length === 0) return OK
  return failed(call, {
    reason: `${reason}: ${found.map((alarm) => alarm.reason).join('; ')}`,
    alarms: found.map(({ resource }) => ({ node: management.nodeName, resource })),
  })
}

function portListener({ management }: AdminContext, call: Call): unknown {
  if (!/^\d{1,5}$/.test(call.params.port)) throw badRequest('Invalid port')
  const port = Number(call.params.port)
  const ports = management.listeners.map((listener) => listener.port)
  return ports.includes(port) ? { ...OK, port } : failed(call, { reason: 'No active listener', missing: port, ports })
}

/** RabbitMQ's spellings of the protocol that we speak. */
const AMQP = ['amqp', 'amqp091', 'amqp0-9-1', 'amqp0.9.1']

function protocolListener({ management }: AdminContext, call: Call): unknown {
  const asked = call.params.protocol.toLowerCase()
  const protocols = [...new Set(management.listeners.map(({ protocol }) => protocol))]
  const isThere = protocols.some((protocol) => protocol === (AMQP.includes(asked) ? 'amqp' : asked))
  return isThere ? { ...OK, protocols } : failed(call, { reason: 'No active listener', missing: [asked], protocols })
}

function certificateExpiration({ params }: Call): unknown {
  if (!/^\d{1,6}$/.test(params.within)) throw badRequest('Invalid expiration')
  if (!['days', 'weeks', 'months', 'years'].includes(params.unit))
    throw badRequest('Time unit not recognised. Supported units: days, weeks, months, years.')
  return OK
}

/** Declares a queue, sends a message through it and takes it out. Each call has a queue of its own: two at once would take
 *  each other's message. */
function alivenessTest(context: AdminContext): Handler {
  let calls = 0
  return async (call) => {
    const { name: vhost } = vhostOf(context, call)
    const { management } = context
    const user = call.user.name
    const queue = `aliveness-test.${++calls}`
    await management.declareQueue(user, vhost, queue, { durable: false, autoDelete: false, arguments: {} })
    try {
      await management.publish(user, vhost, '', queue, encodeProperties({}), Buffer.from('test_message'))
      const [message] = await management.fetch(user, vhost, queue, 1, BODY_BYTES_MAX, 'ack')
      if (message !== undefined) return OK
      return failed(call, { reason: 'The message that was sent did not come back' })
    } finally {
      await management.deleteQueue(user, vhost, queue, false, false)
    }
  }
}
