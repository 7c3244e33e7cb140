// What a message in a stream carries besides what was published: its offset, in the header x-stream-offset that consumers see, and
// the time it came, in a header that they do not. Both stand at the end of the header table, where they are found in place, and
// go wherever the message goes: through restarts, and to the log's end when it is copied there. One codec per stream; what it
// returns is valid until its next call.
//
//   ... [15]x-stream-offset l offset:i64 [14]x-leveret-time l ms:i64  end of the table
import { hasEither } from '../../protocol/field-walk'
import { FLAG_HEADERS, headersAt, locateProperty } from '../../protocol/properties'
import { copyBytes } from '../../storage/bytes'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { storedHeaderStart } from '../../storage/segment'
import { copyOf, editHeaders } from './header-edit'
import { PROPERTIES_AT } from './routed-message'

const OFFSET = 'x-stream-offset'
const TIME = 'x-leveret-time'
const [OFFSET_BYTES, TIME_BYTES] = [Buffer.from(OFFSET), Buffer.from(TIME)]
const [OFFSET_FIELD, TIME_FIELD] = [longField(OFFSET_BYTES), longField(TIME_BYTES)]
const FIELDS = Buffer.concat([OFFSET_FIELD, TIME_FIELD])
const VALUE_LENGTH = 8
const OFFSET_AT = OFFSET_FIELD.length - VALUE_LENGTH
const TIME_AT = FIELDS.length - VALUE_LENGTH

const FRAME_HEAD = 7
/** For what is larger there is an allocation of its own. */
const KEPT_BYTES_MAX = 256 * 1024
const UNIT = 2 ** 32

export class StreamStamp {
  /** Of the message that was read last; -1 and NaN where it has no stamp. */
  offset = -1
  ms = Number.NaN
  /** Its header table; empty where it has none. */
  readonly table: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private headerAt = 0
  private readonly seen: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private readonly header = new Room()
  private readonly viewed = new Room()

  /** The message with a stamp; `m` itself stays as it is. */
  write(m: IncomingMessage, offset: number, ms: number): IncomingMessage {
    const stamped = copyOf(m)
    const hasTable = this.locateUnstamped(stamped)
    const { headerBuf, headerStart, headerEnd } = stamped
    const behind = hasTable ? this.table.end : headersAt(headerBuf, headerStart + PROPERTIES_AT)
    const buf = this.header.of(headerEnd - headerStart + 4 + FIELDS.length)
    let at = copyBytes(headerBuf, headerStart, behind, buf, 0)
    if (hasTable) buf.writeUInt32BE(behind - this.table.start - 4 + FIELDS.length, this.table.start - headerStart)
    else {
      buf[PROPERTIES_AT] |= FLAG_HEADERS >>> 8
      at = buf.writeUInt32BE(FIELDS.length, at)
    }
    FIELDS.copy(buf, at)
    writeLong(buf, at + OFFSET_AT, offset)
    writeLong(buf, at + TIME_AT, ms)
    stamped.headerEnd = copyBytes(headerBuf, behind, headerEnd, buf, at + FIELDS.length)
    stamped.headerBuf = buf
    stamped.headerStart = 0
    return stamped
  }

  /** Takes out what another stream has put in. false: there is no table. */
  private locateUnstamped(m: IncomingMessage): boolean {
    const locate = () =>
      locateProperty(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd, FLAG_HEADERS, this.table)
    if (!locate()) return false
    if (!hasEither(m.headerBuf, this.table.start, this.table.end, OFFSET_BYTES, TIME_BYTES)) return true
    editHeaders(m, [OFFSET, TIME], {})
    return locate()
  }

  /** Looks at a stored message. false: it has no stamp, being no stream's. */
  read({ buf, start }: ByteRange): boolean {
    const { table } = this
    this.headerAt = storedHeaderStart(buf, start)
    const headerStart = this.headerAt + FRAME_HEAD
    const headerEnd = headerStart + buf.readUInt32BE(this.headerAt + 3)
    table.buf = buf
    if (!locateProperty(buf, headerStart + PROPERTIES_AT, headerEnd, FLAG_HEADERS, table)) table.start = table.end = 0
    const at = table.end - FIELDS.length
    const isStamped = at >= table.start + 4 && isOffsetField(buf, at)
    this.offset = isStamped ? readLong(buf, at + OFFSET_AT) : -1
    this.ms = isStamped ? readLong(buf, at + TIME_AT) : Number.NaN
    return isStamped
  }

  /** The message that was read last, as consumers see it. */
  view({ buf, start, end }: ByteRange): ByteRange {
    const { table, seen } = this
    if (this.offset === -1) return { buf, start, end }
    const length = end - start - TIME_FIELD.length
    const out = this.viewed.of(length)
    const at = copyBytes(buf, start, table.end - TIME_FIELD.length, out, 0)
    copyBytes(buf, table.end, end, out, at)
    out.writeUInt32BE(table.end - table.start - 4 - TIME_FIELD.length, table.start - start)
    const frameLengthAt = this.headerAt + 3
    out.writeUInt32BE(buf.readUInt32BE(frameLengthAt) - TIME_FIELD.length, frameLengthAt - start)
    seen.buf = out
    seen.start = 0
    seen.end = length
    return seen
  }
}

/** Bytes to write in, the same ones each time. */
class Room {
  private kept = Buffer.alloc(0)

  of(bytes: number): Buffer {
    if (bytes > KEPT_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes)
    if (bytes > this.kept.length) this.kept = Buffer.allocUnsafeSlow(Math.min(KEPT_BYTES_MAX, bytes * 2))
    return this.kept
  }
}

function isOffsetField(buf: Buffer, at: number): boolean {
  for (let i = 0; i < OFFSET_AT; i++) if (buf[at + i] !== OFFSET_FIELD[i]) return false
  return true
}

function longField(name: Buffer): Buffer {
  return Buffer.concat([Buffer.from([name.length]), name, Buffer.from('l'), Buffer.alloc(8)])
}

function writeLong(buf: Buffer, at: number, value: number): void {
  buf.writeUInt32BE(Math.floor(value / UNIT), at)
  buf.writeUInt32BE(value % UNIT, at + 4)
}

function readLong(buf: Buffer, at: number): number {
  return buf.readUInt32BE(at) * UNIT + buf.readUInt32BE(at + 4)
}
