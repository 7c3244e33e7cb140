// Where an exchange keeps messages: in the message store and, if the exchange is durable and the message persistent, in the
// log, under the id of a queue of its own that no client sees. So they survive a restart as a queue's messages do. Used by
// recent-history.ts and delay.ts.
import { deliveryModeOf } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { STORED_TAIL_BYTES, storedNamesEnd } from '../../storage/segment'
import type { Ticket } from './core-api'
import { PROPERTIES_AT } from './routed-message'
import type { VhostContext } from './vhost'

const PERSISTENT = 2
const FRAME_HEAD = 7
const FRAME_OVERHEAD = 8

/** In front of the exchange's name; declares of clients cannot use it. */
export const SHELF_PREFIX = 'amq.shelf.'

export class Shelf {
  readonly name: string

  /** `id` as of a queue; a restart puts back the one that the log knows. */
  constructor(
    exchange: string,
    readonly durable: boolean,
    public id: number,
    readonly context: VhostContext,
  ) {
    this.name = SHELF_PREFIX + exchange
  }

  private get logId(): number {
    return this.durable ? this.id : 0
  }

  put(m: IncomingMessage): { ticket: Ticket; isLogged: boolean } {
    const { journal } = this.context
    const isLogged =
      this.durable && deliveryModeOf(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd) === PERSISTENT
    const ticket = journal.store.append(m, 1, isLogged ? 1 : 0)
    if (isLogged) {
      journal.addQueue(this.id)
      journal.enqueue(ticket, m.bodyEnd - m.bodyStart)
    }
    return { ticket, isLogged }
  }

  /** The message as it came, in place: valid until the end of the turn. null: its bytes are not in memory. */
  read(ticket: Ticket, range: ByteRange): IncomingMessage | null {
    return this.context.journal.store.locate(ticket, range) ? asIncoming(range) : null
  }

  /** As `settle`, when the message was stored elsewhere in this turn: it is here or there, whenever a crash comes. */
  settleMoved(ticket: Ticket): void {
    this.context.journal.settleMoved(ticket, this.logId)
  }

  settle(ticket: Ticket): void {
    this.context.journal.settle(ticket, this.logId)
  }
}

/** A stored message as it came, in place. */
export function asIncoming({ buf, start, end }: ByteRange): IncomingMessage {
  const namesEnd = storedNamesEnd(buf, start)
  const headerAt = namesEnd + STORED_TAIL_BYTES
  const headerStart = headerAt + FRAME_HEAD
  const headerEnd = headerStart + buf.readUInt32BE(headerAt + 3)
  const hasBody = headerEnd + 1 < end
  return {
    namesBuf: buf,
    namesStart: start,
    namesEnd,
    headerBuf: buf,
    headerStart,
    headerEnd,
    bodyBuf: buf,
    bodyStart: hasBody ? headerEnd + FRAME_OVERHEAD : 0,
    bodyEnd: hasBody ? end - 1 : 0,
  }
}
