// Messages over HTTP: publish to an exchange, take from a queue. For trying things out and for tests, not for traffic.
import {
  decodeProperties,
  encodeProperties,
  type FieldTable,
  type Properties,
  ProtocolError,
  tableToPlain,
} from '../../protocol'
import type { FetchedMessage } from '../core/core-api'
import { type Body, bodyOf, checkName, integerIn, stringIn, tableFrom } from './body'
import { type AdminContext, type Call, exchangeName, exchangeOf, type Resource, resource, vhostOf } from './context'
import { badRequest, notFound, Problem } from './problem'

/** A request that asks for more gets this many, or as many as come to so many bytes: all of them are held in memory and
 *  unacked at once, and turned into JSON in one go. */
const FETCH_MAX = 1000
const FETCH_BYTES_MAX = 4 * 1024 * 1024
/** A message of some size, written in JSON as base64. More than this is no trying out, and would hold up the others. */
const PUBLISH_BYTES_MAX = 8 * 1024 * 1024

export function messageRoutes(context: AdminContext): Resource[] {
  return [
    resource('/api/exchanges/:vhost/:name/publish', { POST: (call) => publish(context, call) }, PUBLISH_BYTES_MAX),
    resource('/api/exchanges/:vhost/:name/delayed', { GET: (call) => listDelayed(context, call) }),
    resource('/api/exchanges/:vhost/:name/delayed/:id', { DELETE: (call) => cancelDelayed(context, call) }),
    resource('/api/queues/:vhost/:name/get', { POST: (call) => fetchMessages(context, call) }),
  ]
}

// -- publish ----------------------------------------------------------------------------------------------------------

async function publish(context: AdminContext, call: Call): Promise<{ routed: boolean }> {
  const vhost = vhostOf(context, call)
  const name = exchangeName(call.params.name)
  if (!vhost.exchanges.has(name)) throw new Problem(404, 'not_found', 'exchange_not_found')
  const body = bodyOf(call, 'routing_key', 'properties', 'payload', 'payload_encoding')
  const routingKey = checkName(stringIn(body, 'routing_key'))
  const properties = encoded(propertiesIn(body))
  const { management } = context
  try {
    return {
      routed: await management.publish(call.user.name, vhost.name, name, routingKey, properties, payloadIn(body)),
    }
  } catch (error) {
    // RabbitMQ hands on the whole text of the channel's end here, with its code.
    throw error instanceof ProtocolError ? badRequest(`${error.replyCode} ${error.text}`) : error
  }
}

function payloadIn({ payload, payload_encoding }: Body): Buffer {
  if (typeof payload !== 'string') throw badRequest('payload_not_string')
  if (payload_encoding === 'string') return Buffer.from(payload)
  if (payload_encoding !== 'base64') throw badRequest(['unsupported_encoding', payload_encoding])
  if (!/^[a-z0-9+/\s]*={0,2}\s*$/i.test(payload)) throw badRequest(['not_base64', payload])
  return Buffer.from(payload, 'base64')
}

type Kind = 'string' | 'integer' | 'table'

const PROPERTIES: readonly (readonly [json: string, name: keyof Properties, kind: Kind, max?: number])[] = [
  ['content_type', 'contentType', 'string'],
  ['content_encoding', 'contentEncoding', 'string'],
  ['headers', 'headers', 'table'],
  ['delivery_mode', 'deliveryMode', 'integer', 255],
  ['priority', 'priority', 'integer', 255],
  ['correlation_id', 'correlationId', 'string'],
  ['reply_to', 'replyTo', 'string'],
  ['expiration', 'expiration', 'string'],
  ['message_id', 'messageId', 'string'],
  ['timestamp', 'timestamp', 'integer'],
  ['type', 'type', 'string'],
  ['user_id', 'userId', 'string'],
  ['app_id', 'appId', 'string'],
  ['cluster_id', 'clusterId', 'string'],
]

/** Unknown names are left out, as RabbitMQ leaves them out. */
function propertiesIn(body: Body): Properties {
  const given = (body.properties ?? {}) as Body
  if (typeof given !== 'object') throw badRequest(['not_table', 'properties'])
  const properties: Record<string, unknown> = {}
  for (const [json, name, kind, max] of PROPERTIES) {
    const value = given[json]
    if (value !== undefined && value !== null) properties[name] = propertyValue(json, kind, value, max)
  }
  return properties
}

function propertyValue(json: string, kind: Kind, value: unknown, max = Number.MAX_SAFE_INTEGER): unknown {
  if (kind === 'string') {
    if (typeof value !== 'string') throw badRequest(['not_string', json])
    return value
  }
  if (kind === 'integer') {
    const isFitting = Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max
    if (!isFitting) throw badRequest(['not_int', json])
    return value
  }
  return tableFrom(value, json)
}

function encoded(properties: Properties): Buffer {
  try {
    return encodeProperties(properties)
  } catch (error) {
    throw badRequest((error as Error).message) // a text over 255 bytes
  }
}

// -- get --------------------------------------------------------------------------------------------------------------

const ACK_MODES: Readonly<Record<string, 'ack' | 'requeue' | 'reject'>> = {
  ack_requeue_true: 'requeue',
  ack_requeue_false: 'ack',
  reject_requeue_true: 'requeue',
  reject_requeue_false: 'reject',
}

async function fetchMessages(context: AdminContext, call: Call): Promise<unknown[]> {
  const vhost = vhostOf(context, call)
  const { name } = call.params
  if (!vhost.queues.has(name)) throw new Problem(404, 'not_found', 'queue_not_found')
  const body = bodyOf(call, 'ackmode', 'count', 'encoding')
  const settle = settleIn(body)
  const encoding = encodingIn(body)
  const count = Math.min(integerIn(body, 'count'), FETCH_MAX)
  const truncate = body.truncate === undefined ? Number.MAX_SAFE_INTEGER : Math.max(0, integerIn(body, 'truncate'))
  if (count <= 0) return []
  const messages = await context.management.fetch(call.user.name, vhost.name, name, count, FETCH_BYTES_MAX, settle)
  return messages.map((message) => messageItem(message, encoding, truncate))
}

function settleIn({ ackmode }: Body): 'ack' | 'requeue' | 'reject' {
  if (typeof ackmode === 'string' && Object.hasOwn(ACK_MODES, ackmode)) return ACK_MODES[ackmode]
  const valid = Object.keys(ACK_MODES).join(', ')
  throw badRequest(`Invalid ackmode value: ${ackmode}. Valid values are: ${valid}`)
}

function encodingIn({ encoding }: Body): 'auto' | 'base64' {
  if (encoding === 'auto' || encoding === 'base64') return encoding
  throw badRequest('Unsupported encoding. Please use auto or base64.')
}

function messageItem(message: FetchedMessage, encoding: 'auto' | 'base64', truncate: number) {
  const { body, exchange, routingKey, redelivered, remaining } = message
  const shown = body.subarray(0, truncate)
  const text = encoding === 'auto' ? utf8(shown) : null
  return {
    payload_bytes: body.length,
    redelivered,
    exchange,
    routing_key: routingKey,
    message_count: remaining,
    properties: propertiesItem(decodeProperties(message.properties, 0, message.properties.length)),
    payload: text ?? shown.toString('base64'),
    payload_encoding: text === null ? 'base64' : 'string',
  }
}

// -- what an exchange keeps until it is due ---------------------------------------------------------------------------

/** ?count=: so many at most, the first to be due first. */
async function listDelayed(context: AdminContext, call: Call): Promise<unknown[]> {
  const { name } = exchangeOf(context, call)
  const count = call.query.count === undefined ? FETCH_MAX : Math.min(integerIn(call.query, 'count'), FETCH_MAX)
  const { vhost } = call.params
  const messages = await context.management.delayed(call.user.name, vhost, name, count, FETCH_BYTES_MAX)
  return messages.map(({ id, dueMs, routingKey, properties, body }) => {
    const text = utf8(body)
    return {
      id,
      due_at: dueMs,
      exchange: name,
      routing_key: routingKey,
      properties: propertiesItem(decodeProperties(properties, 0, properties.length)),
      payload_bytes: body.length,
      payload: text ?? body.toString('base64'),
      payload_encoding: text === null ? 'base64' : 'string',
    }
  })
}

async function cancelDelayed(context: AdminContext, call: Call): Promise<void> {
  const { name } = exchangeOf(context, call)
  const id = integerIn(call.params, 'id')
  if (!(await context.management.cancelDelayed(call.user.name, call.params.vhost, name, id))) throw notFound()
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(bytes: Buffer): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}

/** [] when there are none: clients of RabbitMQ's API know an empty table as an empty list. */
function propertiesItem(properties: Properties): unknown {
  const item: Record<string, unknown> = {}
  for (const [json, name, kind] of PROPERTIES) {
    const value = properties[name]
    if (value !== undefined) item[json] = kind === 'table' ? tableToPlain(value as FieldTable) : value
  }
  return Object.keys(item).length === 0 ? [] : item
}
