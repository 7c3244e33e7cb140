// Takes fields out of a message's header table and puts others behind the rest, which stay byte for byte as they are. Cold: used
// where an exchange changes messages (copies.ts, delay.ts).
import { decodeTable, encodeTable, type FieldTable } from '../../protocol/field-table'
import { findHeader } from '../../protocol/field-walk'
import { FLAG_HEADERS, locateProperty } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { PROPERTIES_AT } from './routed-message'

/** Of a message that has headers. It gets a header of its own: the buffer it came in is the connection's, or the store's. */
export function editHeaders(m: IncomingMessage, removed: readonly string[], added: FieldTable): void {
  const table: ByteRange = { buf: m.headerBuf, start: 0, end: 0 }
  locateProperty(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd, FLAG_HEADERS, table)
  let fields = m.headerBuf.subarray(table.start, table.end)
  for (const name of removed) fields = without(fields, name)
  const more = encodeTable(added).subarray(4)
  const edited = Buffer.concat([fields, more])
  edited.writeUInt32BE(edited.length - 4)
  m.headerBuf = Buffer.concat([
    m.headerBuf.subarray(m.headerStart, table.start),
    edited,
    m.headerBuf.subarray(table.end, m.headerEnd),
  ])
  m.headerStart = 0
  m.headerEnd = m.headerBuf.length
}

/** `table` with its length in front; so is what comes back, but for the length being right. */
function without(table: Buffer, name: string): Buffer {
  const bytes = Buffer.from(name)
  const field: ByteRange = { buf: table, start: 0, end: 0 }
  if (!findHeader(table, 0, table.length, bytes, field)) return table
  const rest = Buffer.concat([table.subarray(0, field.start - bytes.length - 1), table.subarray(field.end)])
  rest.writeUInt32BE(rest.length - 4)
  if (!findHeader(rest, 0, rest.length, bytes, field)) return rest
  // Again and again, then: a table decoded has each name once.
  const decoded = decodeTable(rest, 0, rest.length)
  delete decoded[name]
  return encodeTable(decoded)
}

/** The same message, to be edited. */
export function copyOf(m: IncomingMessage): IncomingMessage {
  const { namesBuf, namesStart, namesEnd, headerBuf, headerStart, headerEnd, bodyBuf, bodyStart, bodyEnd } = m
  return { namesBuf, namesStart, namesEnd, headerBuf, headerStart, headerEnd, bodyBuf, bodyStart, bodyEnd }
}
