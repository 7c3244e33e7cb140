// Sender-selected distribution: the headers CC and BCC hold further routing keys, and BCC is gone before anybody sees the
// message. A message without headers costs two bytes looked at, another one a walk over the names. RabbitMQ docs
// "Sender-selected Distribution". Called by router.ts for each publish.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { decodeField, fieldTypeName } from '../../protocol/field-table'
import { findHeader, hasEither } from '../../protocol/field-walk'
import { FLAG_HEADERS, locateProperty, propertyFlags } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { editHeaders } from './header-edit'
import { PROPERTIES_AT } from './routed-message'

const CC = Buffer.from('CC')
const BCC = Buffer.from('BCC')

export class Copies {
  private readonly table: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private readonly field: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  hasHeaders(m: IncomingMessage): boolean {
    return (propertyFlags(m.headerBuf, m.headerStart + PROPERTIES_AT) & FLAG_HEADERS) !== 0
  }

  /** The keys of CC and BCC, null where there is neither. Throws 406 as RabbitMQ does, which passes over elements that are
   *  no strings. For a message with headers. */
  keysOf(m: IncomingMessage): string[] | null {
    const { table } = this
    locateProperty(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd, FLAG_HEADERS, table)
    if (!hasEither(m.headerBuf, table.start, table.end, CC, BCC)) return null
    const cc = this.keysIn(m, CC)
    const bcc = this.keysIn(m, BCC)
    return cc === null || bcc === null ? (cc ?? bcc) : cc.concat(bcc)
  }

  /** Takes BCC out, of the message that `keysOf` looked at last. */
  removeBcc(m: IncomingMessage): void {
    if (this.find(m, BCC)) editHeaders(m, ['BCC'], {})
  }

  private find(m: IncomingMessage, name: Buffer): boolean {
    return findHeader(m.headerBuf, this.table.start, this.table.end, name, this.field)
  }

  private keysIn(m: IncomingMessage, name: Buffer): string[] | null {
    if (!this.find(m, name)) return null
    const value = decodeField(m.headerBuf, this.field.start, this.field.end)
    if (Array.isArray(value)) return value.filter((key) => typeof key === 'string')
    const text = `invalid message: {unacceptable_type_in_header,"${name}",${fieldTypeName(value)}}`
    throw new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
  }
}
