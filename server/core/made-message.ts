// Messages that the broker makes itself, or gets by another way than AMQP, in the form in which the others come from a channel.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import type { IncomingMessage } from '../../storage/message-store'
import { PROPERTIES_AT } from './routed-message'

const BASIC_CLASS = 60

/** A message as if it had come over the wire. */
export function madeMessage(exchange: string, routingKey: string, properties: Buffer, body: Buffer): IncomingMessage {
  const names = Buffer.concat([shortstr(exchange), shortstr(routingKey)])
  const header = Buffer.alloc(PROPERTIES_AT + properties.length)
  header.writeUInt16BE(BASIC_CLASS, 0)
  header.writeUInt32BE(body.length, 8)
  properties.copy(header, PROPERTIES_AT)
  return messageOf(names, header, body)
}

/** Of buffers that hold nothing else. `header`: the payload of a content header frame. */
export function messageOf(names: Buffer, header: Buffer, body: Buffer): IncomingMessage {
  return {
    namesBuf: names,
    namesStart: 0,
    namesEnd: names.length,
    headerBuf: header,
    headerStart: 0,
    headerEnd: header.length,
    bodyBuf: body,
    bodyStart: 0,
    bodyEnd: body.length,
  }
}

/** 0-9-1 §4.2.5.3. */
export const NAME_BYTES_MAX = 255

export function isName(text: string): boolean {
  return Buffer.byteLength(text) <= NAME_BYTES_MAX
}

/** A name as it stands on the wire. Throws 406 for one that is too long. */
export function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (!isName(text)) {
    throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `a name is at most ${NAME_BYTES_MAX} bytes`)
  }
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
