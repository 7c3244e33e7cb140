// Messages for tests of storage and of the queue machine: what net/publish-assembly would hand over.
import { encodeProperties } from '../protocol/properties'
import type { IncomingMessage } from './message-store'

export interface Sample {
  exchange?: string
  routingKey?: string
  body?: string | Buffer
  persistent?: boolean
  messageId?: string
  priority?: number
}

export function sampleMessage({
  exchange = '',
  routingKey = '',
  body = '',
  persistent = true,
  messageId,
  priority,
}: Sample): IncomingMessage {
  const namesBuf = Buffer.concat([shortstr(exchange), shortstr(routingKey)])
  const bodyBuf = typeof body === 'string' ? Buffer.from(body) : body
  const head = Buffer.alloc(12)
  head.writeUInt16BE(60, 0)
  head.writeUInt32BE(bodyBuf.length, 8)
  const headerBuf = Buffer.concat([head, encodeProperties({ deliveryMode: persistent ? 2 : 1, messageId, priority })])
  return {
    namesBuf,
    namesStart: 0,
    namesEnd: namesBuf.length,
    headerBuf,
    headerStart: 0,
    headerEnd: headerBuf.length,
    bodyBuf,
    bodyStart: 0,
    bodyEnd: bodyBuf.length,
  }
}

/** The same message in its stored form, put together the slow way. */
export function storedForm(m: IncomingMessage): Buffer {
  const frames = [frame(2, m.headerBuf.subarray(m.headerStart, m.headerEnd))]
  if (m.bodyEnd > m.bodyStart) frames.push(frame(3, m.bodyBuf.subarray(m.bodyStart, m.bodyEnd)))
  return Buffer.concat([m.namesBuf.subarray(m.namesStart, m.namesEnd), ...frames])
}

/** The same message with everything in one chunk, as it mostly comes from a socket. */
export function inOneChunk(m: IncomingMessage): IncomingMessage {
  const before = Buffer.from('basic.publish')
  const chunk = Buffer.concat([before, storedForm(m), Buffer.from('next')])
  const namesEnd = before.length + m.namesEnd - m.namesStart
  const headerStart = namesEnd + 7
  const headerEnd = headerStart + m.headerEnd - m.headerStart
  const bodyStart = m.bodyEnd > m.bodyStart ? headerEnd + 8 : 0
  return {
    namesBuf: chunk,
    namesStart: before.length,
    namesEnd,
    headerBuf: chunk,
    headerStart,
    headerEnd,
    bodyBuf: chunk,
    bodyStart,
    bodyEnd: bodyStart + m.bodyEnd - m.bodyStart,
  }
}

function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head[0] = type
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([0xce])])
}
