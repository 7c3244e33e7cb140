// Between names and bytes for the raw client. Methods, tables and properties are protocol/'s; what is here makes frames
// that a proper encoder refuses to make.
import { FRAME_END, METHOD_BY_ID, METHOD_BY_NAME, type MethodName } from '../../protocol'

export const protocolHeader = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')

/** Any frame: `type` and `end` may be wrong, `announced` may lie about the size of the payload. */
export function anyFrame(
  type: number,
  channel: number,
  payload: Buffer,
  end = FRAME_END,
  announced = payload.length,
): Buffer {
  const bytes = Buffer.alloc(7 + payload.length + 1)
  bytes.writeUInt8(type, 0)
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(announced, 3)
  payload.copy(bytes, 7)
  bytes.writeUInt8(end, 7 + payload.length)
  return bytes
}

/** A method frame's payload from ids and argument bytes, known or not. */
export function methodPayload(classId: number, methodId: number, args: Buffer = Buffer.alloc(0)): Buffer {
  const ids = Buffer.alloc(4)
  ids.writeUInt16BE(classId, 0)
  ids.writeUInt16BE(methodId, 2)
  return Buffer.concat([ids, args])
}

/** A content header's payload; `properties` are flags and values. */
export function headerPayload(bodySize: number, properties: Buffer, classId = 60): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(classId, 0)
  head.writeBigUInt64BE(BigInt(bodySize), 4)
  return Buffer.concat([head, properties])
}

export function methodIdOf(name: MethodName): number {
  return METHOD_BY_NAME.get(name)?.id as number
}

export function methodNameOf(id: number): string {
  return METHOD_BY_ID.get(id)?.name ?? `${id >>> 16}.${id & 0xffff}`
}
