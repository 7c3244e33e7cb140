// A buffer of equal basic.publish messages, frames and all, made once. Sending again costs four bytes per message: the
// number at the start of each body (and eight for its time, where that is measured).
import { encodeBodyFrames, encodeContentHeader, encodeMethod } from '../../protocol/method-codec'
import { encodeProperties } from '../../protocol/properties'
import { numberedSize, stampedSize, writeNumber, writeSentAt, writeStream } from './body-stamp'

const channel = 1
const frameHeadSize = 7
const persistentMode = 2
const transientMode = 1

export interface BlockMessage {
  exchange: string
  routingKey: string
  stream: number
  bodyBytes: number
  persistent: boolean
}

export class PublishBlock {
  readonly capacity: number // messages

  private readonly bytes: Buffer
  private readonly messageSize: number
  private readonly bodyOffset: number // of the first body frame's payload within a message
  private readonly isNumbered: boolean
  private readonly isStamped: boolean

  /** As many messages as fit in `bytesMax`, at least one. */
  constructor(message: BlockMessage, frameMax: number, bytesMax: number) {
    const { exchange, routingKey, bodyBytes, persistent, stream } = message
    const method = encodeMethod('basic.publish', channel, { exchange, routingKey })
    const properties = encodeProperties({ deliveryMode: persistent ? persistentMode : transientMode })
    const header = encodeContentHeader(channel, bodyBytes, properties)
    const body = encodeBodyFrames(channel, bodyFor(stream, bodyBytes), frameMax)
    const one = Buffer.concat([method, header, body])
    this.capacity = Math.max(1, Math.floor(bytesMax / one.length))
    this.bytes = Buffer.alloc(this.capacity * one.length, one) // filled with copies of it
    this.messageSize = one.length
    this.bodyOffset = method.length + header.length + frameHeadSize
    this.isNumbered = bodyBytes >= numberedSize
    this.isStamped = bodyBytes >= stampedSize
  }

  /** The first `count` messages, numbered from `first`, with their time unless it is 0. Overwritten by the next call. */
  fill(first: number, count: number, sentAtUs: number): Buffer {
    const { bytes, messageSize } = this
    let body = this.bodyOffset
    const end = count * messageSize
    if (this.isNumbered) {
      for (let number = first; body < end; body += messageSize) writeNumber(bytes, body, number++)
    }
    if (this.isStamped && sentAtUs !== 0) {
      for (body = this.bodyOffset; body < end; body += messageSize) writeSentAt(bytes, body, sentAtUs)
    }
    return bytes.subarray(0, end)
  }
}

function bodyFor(stream: number, size: number): Buffer {
  const body = Buffer.alloc(size, 'x')
  if (size >= numberedSize) writeStream(body, 0, stream)
  return body
}
