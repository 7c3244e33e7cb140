// The firehose: a copy of each message that a vhost's clients publish, and of each that they get, to the exchange
// amq.rabbitmq.trace, with what is known of it in headers. On only while somebody asks for it; off after a restart. RabbitMQ docs
// "Firehose Tracer". Called by vhost.ts for publishes, by net/channel for deliveries.
import { type FieldTable, Typed } from '../../protocol/field-table'
import { decodeProperties, encodeProperties, type Properties } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { PROPERTIES_AT } from './routed-message'
import { asIncoming } from './shelf'

export const TRACE_EXCHANGE = 'amq.rabbitmq.trace'

const NAME_BYTES_MAX = 255
const BASIC_CLASS = 60
const PROPERTY_NAMES: readonly [json: string, name: keyof Properties][] = [
  ['content_type', 'contentType'],
  ['content_encoding', 'contentEncoding'],
  ['headers', 'headers'],
  ['delivery_mode', 'deliveryMode'],
  ['priority', 'priority'],
  ['correlation_id', 'correlationId'],
  ['reply_to', 'replyTo'],
  ['expiration', 'expiration'],
  ['message_id', 'messageId'],
  ['timestamp', 'timestamp'],
  ['type', 'type'],
  ['user_id', 'userId'],
  ['app_id', 'appId'],
  ['cluster_id', 'clusterId'],
]

/** Who published or got the message. */
export interface Peer {
  readonly connectionName: string
  readonly user: string
  readonly channelNumber: number
}

export class Firehose {
  /** `publish` routes a copy from the trace exchange on. */
  constructor(
    private readonly node: string,
    private readonly vhost: string,
    private readonly publish: (copy: IncomingMessage) => void,
  ) {}

  onPublish(peer: Peer, m: IncomingMessage, furtherKeys: readonly string[], queues: readonly { name: string }[]): void {
    const names = namesOf(m)
    if (names.exchange === TRACE_EXCHANGE) return
    const headers = this.headersOf(peer, m, names, furtherKeys)
    const routed = queues.map(({ name }) => name)
    this.publish(copyOf(m, `publish.${names.exchange}`, { ...headers, routed_queues: routed }))
  }

  onDeliver(peer: Peer, queue: string, redelivered: boolean, stored: ByteRange): void {
    const m = asIncoming(stored)
    const names = namesOf(m)
    if (names.exchange === TRACE_EXCHANGE) return
    const headers = this.headersOf(peer, m, names, [])
    this.publish(copyOf(m, `deliver.${queue}`, { ...headers, redelivered: redelivered ? 1 : 0 }))
  }

  private headersOf(peer: Peer, m: IncomingMessage, names: Names, furtherKeys: readonly string[]): FieldTable {
    return {
      exchange_name: names.exchange,
      routing_keys: [names.routingKey, ...furtherKeys],
      properties: propertyTable(decodeProperties(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd)),
      node: this.node,
      vhost: this.vhost,
      connection: peer.connectionName,
      channel: peer.channelNumber,
      user: peer.user,
    }
  }
}

interface Names {
  exchange: string
  routingKey: string
}

function namesOf({ namesBuf, namesStart, namesEnd }: IncomingMessage): Names {
  const exchangeEnd = namesStart + 1 + namesBuf[namesStart]
  return {
    exchange: namesBuf.toString('utf8', namesStart + 1, exchangeEnd),
    routingKey: namesBuf.toString('utf8', exchangeEnd + 1, namesEnd),
  }
}

function propertyTable(properties: Properties): FieldTable {
  const table: FieldTable = {}
  for (const [json, name] of PROPERTY_NAMES) {
    const value = properties[name]
    if (value !== undefined) table[json] = name === 'timestamp' ? new Typed('T', value as number) : value
  }
  return table
}

/** The body where it lies, behind a name and a header of its own. */
function copyOf(m: IncomingMessage, routingKey: string, headers: FieldTable): IncomingMessage {
  const namesBuf = Buffer.concat([shortstr(TRACE_EXCHANGE), shortstr(routingKey)])
  const head = Buffer.alloc(PROPERTIES_AT)
  head.writeUInt16BE(BASIC_CLASS)
  head.writeUInt32BE(m.bodyEnd - m.bodyStart, 8)
  const headerBuf = Buffer.concat([head, encodeProperties({ headers })])
  const { bodyBuf, bodyStart, bodyEnd } = m
  const names = { namesBuf, namesStart: 0, namesEnd: namesBuf.length }
  return { ...names, headerBuf, headerStart: 0, headerEnd: headerBuf.length, bodyBuf, bodyStart, bodyEnd }
}

/** What is too long for a name is cut off. */
function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, NAME_BYTES_MAX)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
