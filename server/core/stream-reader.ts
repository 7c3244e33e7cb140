// One consumer of a stream: where it is, and which messages it wants. What it reads stays in the stream. Made and called by
// stream.ts.
import { decodeField } from '../../protocol/field-table'
import { findHeader } from '../../protocol/field-walk'
import type { ByteRange } from '../../storage/message-store'
import type { Consumer } from './consumer'
import type { Ticket } from './core-api'
import { filterOf, type Start, type StreamFilter } from './stream-arguments'
import { type Chunk, Cursor, type StreamLog } from './stream-log'
import type { StreamStamp } from './stream-stamp'

const FILTER_VALUE = Buffer.from('x-stream-filter-value')

export class StreamReader {
  readonly cursor: Cursor
  private readonly filter: StreamFilter | null
  /** Nothing older is wanted: lower offsets, earlier times. */
  private readonly leastOffset: number
  private readonly leastMs: number
  /** It begins at a time, and where that is has to be found yet. */
  isSeeking: boolean
  private readonly field: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(
    readonly consumer: Consumer,
    private readonly log: StreamLog,
    start: Start,
  ) {
    this.filter = filterOf(consumer.arguments)
    this.isSeeking = start.at === 'time'
    this.leastMs = start.at === 'time' ? start.ms : Number.NEGATIVE_INFINITY
    this.cursor = new Cursor(log, firstOffsetOf(start, log))
    this.leastOffset = this.cursor.offset
  }

  /** What comes next has been dropped meanwhile, perhaps: then it is the oldest there is. */
  get offset(): number {
    if (this.cursor.offset < this.log.firstOffset) this.cursor.offset = this.log.firstOffset
    return this.cursor.offset
  }

  /** Goes to the chunk in which its time is. `timeOf` tells of a chunk's first message; null: its bytes are on their way, so not
   *  yet. */
  seek(timeOf: (chunk: Chunk) => number | null): void {
    if (this.log.count > 0) {
      const chunk = this.log.lastWhere((chunk) => {
        const ms = timeOf(chunk)
        return ms === null ? null : ms < this.leastMs
      })
      if (chunk === null) return
      this.cursor.offset = chunk.firstOffset
    }
    this.isSeeking = false
  }

  get ticket(): Ticket {
    return this.cursor.current
  }

  /** Whether the consumer asked for it; the stamp has read it. */
  wants(stamp: StreamStamp): boolean {
    if (stamp.ms < this.leastMs || (stamp.offset < this.leastOffset && stamp.offset !== -1)) return false
    return this.filter === null || this.passes(this.filter, stamp.table)
  }

  private passes({ values, matchUnfiltered }: StreamFilter, table: ByteRange): boolean {
    const { field } = this
    const isThere = table.end > table.start && findHeader(table.buf, table.start, table.end, FILTER_VALUE, field)
    if (!isThere) return matchUnfiltered
    const value = decodeField(table.buf, field.start, field.end)
    return typeof value === 'string' ? values.has(value) : matchUnfiltered
  }
}

function firstOffsetOf(start: Start, { firstOffset, nextOffset }: StreamLog): number {
  switch (start.at) {
    case 'offset':
      return Math.max(start.offset, firstOffset)
    case 'newest':
      return Math.max(nextOffset - start.count, firstOffset)
    case 'last':
      return Math.max(nextOffset - 1, firstOffset)
    case 'next':
      return nextOffset
    default:
      return firstOffset
  }
}
