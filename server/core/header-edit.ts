// Changes the properties of a message in place of decoding them: what is not changed stays byte for byte as it came, whatever it
// is. Cold: used where a message is kept, moved or told of (copies.ts, delay.ts, dead-letter.ts, stream-stamp.ts).
import { encodeTable, type FieldTable } from '../../protocol/field-table'
import { eachField } from '../../protocol/field-walk'
import { FLAG_HEADERS, headersAt, locateProperty, propertyFlags } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { PROPERTIES_AT } from './routed-message'

const NO_FIELDS = Buffer.alloc(4)

/** Takes fields out of the header table and puts others behind the rest. The message gets a header of its own: the buffer it came in
 *  is the connection's, or the store's. */
export function editHeaders(m: IncomingMessage, removed: readonly string[], added: FieldTable): void {
  const flagsAt = m.headerStart + PROPERTIES_AT
  const flags = propertyFlags(m.headerBuf, flagsAt)
  const at = headersAt(m.headerBuf, flagsAt)
  const table: ByteRange = { buf: m.headerBuf, start: at, end: at }
  const hasTable = locateProperty(m.headerBuf, flagsAt, m.headerEnd, FLAG_HEADERS, table)
  const fields = hasTable ? without(m.headerBuf.subarray(table.start, table.end), removed) : NO_FIELDS
  const edited = Buffer.concat([fields, encodeTable(added).subarray(4)])
  edited.writeUInt32BE(edited.length - 4)
  replace(m, table, edited, flags | FLAG_HEADERS)
}

/** Takes out a property that is a text, as it is called by its flag. Returns it; undefined: the message has none. */
export function removeText(m: IncomingMessage, flag: number): string | undefined {
  const flagsAt = m.headerStart + PROPERTIES_AT
  const range: ByteRange = { buf: m.headerBuf, start: 0, end: 0 }
  if (!locateProperty(m.headerBuf, flagsAt, m.headerEnd, flag, range)) return undefined
  const text = m.headerBuf.toString('utf8', range.start, range.end)
  range.start-- // its length
  replace(m, range, Buffer.alloc(0), propertyFlags(m.headerBuf, flagsAt) & ~flag)
  return text
}

function replace(m: IncomingMessage, range: ByteRange, by: Buffer, flags: number): void {
  const before = m.headerBuf.subarray(m.headerStart, range.start)
  m.headerBuf = Buffer.concat([before, by, m.headerBuf.subarray(range.end, m.headerEnd)])
  m.headerBuf.writeUInt16BE(flags, PROPERTIES_AT)
  m.headerStart = 0
  m.headerEnd = m.headerBuf.length
}

/** `table` with its length in front; so is what comes back, but for the length being right. */
function without(table: Buffer, names: readonly string[]): Buffer {
  const kept: Buffer[] = [NO_FIELDS]
  eachField(table, 0, table.length, (at, typeAt, end) => {
    if (!names.includes(table.toString('latin1', at + 1, typeAt))) kept.push(table.subarray(at, end))
  })
  return Buffer.concat(kept)
}

/** The same message, to be edited. */
export function copyOf(m: IncomingMessage): IncomingMessage {
  const { namesBuf, namesStart, namesEnd, headerBuf, headerStart, headerEnd, bodyBuf, bodyStart, bodyEnd } = m
  return { namesBuf, namesStart, namesEnd, headerBuf, headerStart, headerEnd, bodyBuf, bodyStart, bodyEnd }
}
