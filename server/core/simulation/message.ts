// The messages of the simulation. Each has its number as message id; its body is a stretch of one pattern, another for each
// number, so that bytes which belong to another message are noticed.
import { fieldValueText } from '../../../protocol/field-table'
import { decodeProperties } from '../../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../../storage/message-store'
import { inOneChunk, sampleMessage } from '../../../storage/sample-message'
import { storedBodyLength, storedHeaderStart } from '../../../storage/segment'
import { Violation } from './model'
import { Random } from './random'

export const BODY_BYTES_MAX = 100_000

const PATTERN_BYTES = 128 * 1024
const pattern = patternOf(new Random(1))
const FRAME_HEAD = 7
const FRAME_OVERHEAD = 8
/** Content header: class 2, weight 2, body size 8, then the properties. */
const PROPERTIES_AT = 12

export interface Letter {
  exchange: string
  routingKey: string
  bytes: number
  persistent: boolean
}

export function numberedMessage(n: number, { exchange, routingKey, bytes, persistent }: Letter): IncomingMessage {
  const message = sampleMessage({ exchange, routingKey, persistent, body: bodyOf(n, bytes), messageId: `${n}` })
  return n % 2 === 0 ? message : inOneChunk(message)
}

/** The number of a stored message, and how often it failed, as it says. Throws if its bytes are not what was published. */
export function readMessage({ buf, start, end }: ByteRange): { n: number; failures: number } {
  const header = storedHeaderStart(buf, start)
  const headerEnd = header + FRAME_HEAD + buf.readUInt32BE(header + 3)
  const { messageId, headers } = decodeProperties(buf, header + FRAME_HEAD + PROPERTIES_AT, headerEnd)
  const n = Number(messageId)
  const failures = headers?.['x-delivery-count']
  const bytes = storedBodyLength(buf, start)
  const bodyEnd = end - 1
  const expectedEnd = headerEnd + 1 + (bytes === 0 ? 0 : FRAME_OVERHEAD + bytes)
  if (end !== expectedEnd) throw new Violation(`message ${n} ends at ${end}, not ${expectedEnd}`)
  if (bytes > 0 && !buf.subarray(bodyEnd - bytes, bodyEnd).equals(bodyOf(n, bytes))) {
    throw new Violation(`message ${n} has the body of another`)
  }
  return { n, failures: failures === undefined ? 0 : Number(fieldValueText(failures)) }
}

function bodyOf(n: number, bytes: number): Buffer {
  const at = (n * 7919) % (PATTERN_BYTES - BODY_BYTES_MAX)
  return pattern.subarray(at, at + bytes)
}

function patternOf(random: Random): Buffer {
  const bytes = Buffer.alloc(PATTERN_BYTES)
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256)
  return bytes
}
