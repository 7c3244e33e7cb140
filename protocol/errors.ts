// Protocol errors by scope: what closes a channel and what closes the connection. Raised anywhere below server/net, turned
// into a close frame there. The text is RabbitMQ's form, "CODE_NAME - detail".
import { replyName } from './constants'

const TEXT_BYTES_MAX = 255

export class ProtocolError extends Error {
  readonly text: string

  constructor(
    readonly replyCode: number,
    detail: string,
    public methodId = 0, // the method that failed, class id << 16 | method id; 0: none
  ) {
    const text = shortened(`${replyName(replyCode)} - ${detail}`)
    super(text)
    this.text = text
  }
}

export class ChannelError extends ProtocolError {
  override readonly name = 'ChannelError'
}

export class ConnectionError extends ProtocolError {
  override readonly name = 'ConnectionError'
}

/** A reply text is a short string: cut at 255 bytes, never inside a character. */
function shortened(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= TEXT_BYTES_MAX) return text
  let end = TEXT_BYTES_MAX
  while ((bytes[end] & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** As the method of an error that no method caused, though one was being handled. */
export const NO_METHOD = -1
