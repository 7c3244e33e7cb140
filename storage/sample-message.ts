// Messages for tests of storage and of the queue machine: what net/publish-assembly would hand over.
import { encodeProperties } from '../protocol/properties'
import type { IncomingMessage } from './message-store'

/** What stands before and behind the names in the frame of basic.publish. */
const METHOD_HEAD = Buffer.from('basic.publish') // as many bytes
const METHOD_TAIL = Buffer.from([0, 0xce])

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

/** The same message in its stored form from its names on, put together the slow way. */
export function storedForm(m: IncomingMessage): Buffer {
  const frames = [frame(2, m.headerBuf.subarray(m.headerStart, m.headerEnd))]
  if (m.bodyEnd > m.bodyStart) frames.push(frame(3, m.bodyBuf.subarray(m.bodyStart, m.bodyEnd)))
  return Buffer.concat([m.namesBuf.subarray(m.namesStart, m.namesEnd), METHOD_TAIL, ...frames])
}

/** The same message with everything in one chunk, as it mostly comes from a socket. */
export function inOneChunk(m: IncomingMessage): IncomingMessage {
  return inChunkAt(Buffer.concat([METHOD_HEAD, storedForm(m), Buffer.from('next')]), METHOD_HEAD.length, m)
}

/** These messages one after the other in one chunk. */
export function inOneChunkTogether(messages: readonly IncomingMessage[]): {
  chunk: Buffer
  messages: IncomingMessage[]
} {
  const chunk = Buffer.concat(messages.flatMap((m) => [METHOD_HEAD, storedForm(m)]))
  let at = 0
  const placed = messages.map((m) => {
    const start = at + METHOD_HEAD.length
    at = start + storedForm(m).length
    return inChunkAt(chunk, start, m)
  })
  return { chunk, messages: placed }
}

function inChunkAt(chunk: Buffer, namesStart: number, m: IncomingMessage): IncomingMessage {
  const namesEnd = namesStart + m.namesEnd - m.namesStart
  const headerStart = namesEnd + METHOD_TAIL.length + 7
  const headerEnd = headerStart + m.headerEnd - m.headerStart
  const bodyStart = m.bodyEnd > m.bodyStart ? headerEnd + 8 : 0
  return {
    namesBuf: chunk,
    namesStart,
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
