// Reads and writes any method by its row in spec.ts. For everything but the few methods of the per-message lane.
import { isUtf8 } from 'node:buffer'
import { FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, FRAME_OVERHEAD, ReplyCode } from './constants'
import { ConnectionError } from './errors'
import { decodeTable, encodeTable, type FieldTable } from './field-table'
import {
  type ArgumentType,
  METHOD_BY_ID,
  METHOD_BY_NAME,
  type MethodArgs,
  type MethodName,
  type MethodSpec,
} from './spec'

/** A method as read, told apart by `name`. */
export type DecodedMethod = { [N in MethodName]: { name: N; id: number; args: MethodArgs<N> } }[MethodName]

/** Throws ConnectionError: 503 for an unknown method, 502 for arguments that are not what the method says. */
export function decodeMethod(id: number, buf: Buffer, start: number, end: number): DecodedMethod {
  const spec = METHOD_BY_ID.get(id)
  if (spec === undefined) {
    throw new ConnectionError(ReplyCode.COMMAND_INVALID, `unknown method ${id >>> 16}.${id & 0xffff}`, id)
  }
  const reader = new ArgumentReader(spec, buf, start, end)
  const args: Record<string, unknown> = {}
  for (const [name, type] of spec.args) args[name] = reader.read(type)
  reader.finish()
  return { name: spec.name, id, args } as DecodedMethod
}

class ArgumentReader {
  private bits = 0
  private bitsLeft = 0

  constructor(
    private readonly spec: MethodSpec,
    private readonly buf: Buffer,
    private at: number,
    private readonly end: number,
  ) {}

  read(type: ArgumentType): unknown {
    if (type === 'bit') return this.readBit()
    this.bitsLeft = 0
    switch (type) {
      case 'octet':
        return this.buf[this.take(1)]
      case 'short':
        return this.buf.readUInt16BE(this.take(2))
      case 'long':
        return this.buf.readUInt32BE(this.take(4))
      case 'longlong':
        return this.readLongLong()
      case 'shortstr':
        return this.readShortString()
      case 'longstr': {
        const length = this.buf.readUInt32BE(this.take(4))
        const at = this.take(length)
        return Buffer.from(this.buf.subarray(at, at + length))
      }
      case 'table':
        return this.readTable()
    }
  }

  finish(): void {
    if (this.at !== this.end) throw this.malformed(`${this.end - this.at} bytes behind its arguments`)
  }

  /** Bits that follow each other share octets, lowest first. 0-9-1 §4.2.5.2. */
  private readBit(): boolean {
    if (this.bitsLeft === 0) {
      this.bits = this.buf[this.take(1)]
      this.bitsLeft = 8
    }
    const bit = this.bits & 1
    this.bits >>>= 1
    this.bitsLeft--
    return bit === 1
  }

  private readShortString(): string {
    const length = this.buf[this.take(1)]
    const at = this.take(length)
    const bytes = this.buf.subarray(at, at + length)
    if (!isUtf8(bytes)) throw this.malformed('a short string that is not UTF-8')
    return bytes.toString('utf8')
  }

  /** All of them are delivery tags: one beyond 2^53 was never given out, and as a number it would be another one. */
  private readLongLong(): number {
    const value = Number(this.buf.readBigUInt64BE(this.take(8)))
    if (!Number.isSafeInteger(value)) throw this.malformed('a 64-bit number beyond 2^53')
    return value
  }

  private readTable(): FieldTable {
    const at = this.take(4)
    const length = this.buf.readUInt32BE(at)
    this.take(length)
    try {
      return decodeTable(this.buf, at, this.at)
    } catch (error) {
      if (error instanceof ConnectionError) error.methodId = this.spec.id
      throw error
    }
  }

  private take(bytes: number): number {
    const at = this.at
    if (bytes > this.end - at) throw this.malformed('cut short')
    this.at = at + bytes
    return at
  }

  private malformed(detail: string): ConnectionError {
    return new ConnectionError(ReplyCode.SYNTAX_ERROR, `malformed ${this.spec.name}: ${detail}`, this.spec.id)
  }
}

/** A whole method frame. Arguments not given are 0, false, empty. Throws RangeError for what its type cannot hold, as a string
 *  over 255 bytes. */
export function encodeMethod<N extends MethodName>(name: N, channel: number, args: Partial<MethodArgs<N>>): Buffer {
  const spec = METHOD_BY_NAME.get(name) as MethodSpec
  const ids = Buffer.alloc(4)
  ids.writeInt32BE(spec.id)
  const parts: Buffer[] = [ids]
  let bits = 0
  let bitCount = 0
  const values = args as Record<string, unknown>
  for (const [argument, type] of spec.args) {
    if (type === 'bit') {
      if (values[argument]) bits |= 1 << bitCount
      bitCount++
      continue
    }
    if (bitCount > 0) parts.push(Buffer.from([bits]))
    bits = 0
    bitCount = 0
    parts.push(argumentBytes(argument, type, values[argument]))
  }
  if (bitCount > 0) parts.push(Buffer.from([bits]))
  return frame(FRAME_METHOD, channel, Buffer.concat(parts))
}

function argumentBytes(name: string, type: ArgumentType, value: unknown): Buffer {
  const bytes = Buffer.alloc(8)
  switch (type) {
    case 'octet':
      return bytes.subarray(0, bytes.writeUInt8((value as number) ?? 0))
    case 'short':
      return bytes.subarray(0, bytes.writeUInt16BE((value as number) ?? 0))
    case 'long':
      return bytes.subarray(0, bytes.writeUInt32BE((value as number) ?? 0))
    case 'longlong':
      return bytes.subarray(0, bytes.writeBigUInt64BE(BigInt((value as number) ?? 0)))
    case 'table':
      return encodeTable((value as FieldTable) ?? {})
    case 'longstr':
      return longString((value as Buffer | string) ?? '')
    default:
      return shortString(name, (value as string) ?? '')
  }
}

function longString(value: Buffer | string): Buffer {
  const text = Buffer.from(value as string)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

function shortString(name: string, value: string): Buffer {
  const text = Buffer.from(value)
  if (text.length > 255) throw new RangeError(`${name} is over 255 bytes`)
  return Buffer.concat([Buffer.from([text.length]), text])
}

/** The content header frame of class basic. `properties` as encodeProperties gives them. */
export function encodeContentHeader(channel: number, bodySize: number, properties: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(60)
  head.writeBigUInt64BE(BigInt(bodySize), 4)
  return frame(FRAME_HEADER, channel, Buffer.concat([head, properties]))
}

/** The body in frames of at most `frameMax` bytes, 0 for no limit; nothing for an empty one. */
export function encodeBodyFrames(channel: number, body: Buffer, frameMax: number): Buffer {
  const payloadMax = frameMax === 0 ? body.length : frameMax - FRAME_OVERHEAD
  if (payloadMax < 1 && body.length > 0) throw new RangeError(`frame-max ${frameMax} leaves no room for a body`)
  const frames: Buffer[] = []
  for (let at = 0; at < body.length; at += payloadMax) {
    frames.push(frame(FRAME_BODY, channel, body.subarray(at, at + payloadMax)))
  }
  return Buffer.concat(frames)
}

export function frame(type: number, channel: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_OVERHEAD + payload.length)
  bytes[0] = type
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(payload.length, 3)
  payload.copy(bytes, 7)
  bytes[bytes.length - 1] = FRAME_END
  return bytes
}
