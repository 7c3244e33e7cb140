// Which rows of the log are still needed. The log is forgotten from its front only: a row may go when no message in it is
// live and every row before it is gone too, because its settle records speak of those. When few survivors pin the front,
// their messages are written again at the log's end (copy-forward), so that one slow message never pins gigabytes.
import { type RecordSink, RecordWriter, readRecords } from './batch-codec'
import type { LogBackend, LogEntry } from './log-backend'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

/** When survivors are copied, and how many at a time. */
const COPY_LIMITS = {
  /** A log smaller than both is left alone however little of it is live. */
  logBytesMin: 32 * 1024 * 1024,
  rowsMin: 65536,
  /** Copy while less than a third is live: each byte is written at most about 1.5 times. */
  liveShare: 3,
  /** Bytes of rows read for one commit. */
  copyBytesMax: 1024 * 1024,
}

interface TrackedRow extends LogRow {
  segment: Segment | null
}

interface Copy {
  from: TrackedRow
  to: TrackedRow | null
  entry: LogEntry
}

export class LogRows {
  bytes = 0
  /** Of `bytes`, the share of live messages, each taken as the average of its row. */
  liveBytes = 0
  /** A test may lower them. */
  readonly limits = { ...COPY_LIMITS }
  private rows: TrackedRow[] = []
  private head = 0
  private building: TrackedRow[] = []
  private nextPosition = 1
  private copies: Copy[] = []
  private copiesInFlight: Copy[] = []
  private copying = false

  get count(): number {
    return this.rows.length - this.head
  }

  /** A row of the unit being built. Without a segment it holds records only. */
  add(live: number, bytes: number, segment: Segment | null = null, firstIndex = 0): void {
    const row = { position: 0, firstIndex, total: live, live, bytes, segment }
    this.building.push(row)
    this.bytes += bytes
    if (segment === null) return
    segment.rows.push(row)
    this.liveBytes += bytes
  }

  /** A row found at recovery, committed; its live messages are counted later, by addLive. */
  recover(row: LogRow, segment: Segment | null): void {
    this.rows.push(Object.assign(row, { segment }))
    this.bytes += row.bytes
    this.nextPosition = row.position + 1
  }

  addLive(row: LogRow): void {
    row.live++
    this.liveBytes += row.bytes / row.total
  }

  onSettled(segment: Segment, index: number): void {
    const row = segment.rowOf(index)
    if (row === null) return
    row.live--
    this.liveBytes -= row.bytes / row.total
  }

  onCommitted(position: number): void {
    for (const row of this.building) {
      row.position = position++
      this.rows.push(row)
    }
    if (this.building.length > 0) this.nextPosition = position
    this.building = []
    for (const copy of this.copiesInFlight) {
      copy.from.live = 0
      copy.from.segment = null
    }
    this.copiesInFlight = []
  }

  onFailed(): void {
    for (const row of this.building) {
      this.bytes -= row.bytes
      if (row.segment === null) continue
      this.liveBytes -= liveBytesOf(row)
      row.segment.rows = row.segment.rows.filter((r) => r !== row)
    }
    this.building = []
    for (const { from, to } of this.copiesInFlight) {
      if (to === null || from.segment === null) continue
      from.live = to.live
      this.liveBytes += liveBytesOf(from)
      from.segment.rows.push(from)
      from.segment.rows.sort((a, b) => a.firstIndex - b.firstIndex)
    }
    this.copiesInFlight = []
  }

  /** Everything before the returned position may go; 0 when nothing new may. */
  trimmable(): number {
    const before = this.head
    while (this.head < this.rows.length && this.rows[this.head].live === 0) {
      const row = this.rows[this.head++]
      this.bytes -= row.bytes
      if (row.segment !== null) row.segment.rows = row.segment.rows.filter((r) => r !== row)
    }
    if (this.head === before) return 0
    const position = this.head < this.rows.length ? this.rows[this.head].position : this.nextPosition
    if (this.head > 1024 && this.head * 2 > this.rows.length) {
      this.rows = this.rows.slice(this.head)
      this.head = 0
    }
    return position
  }

  wantsCopy(): boolean {
    // One copying at a time, from reading to commit: a row read twice would be counted twice.
    if (this.copying || this.copies.length > 0 || this.copiesInFlight.length > 0 || this.count < 2) return false
    const { logBytesMin, rowsMin, liveShare } = this.limits
    const isLarge = this.bytes > logBytesMin || this.count > rowsMin
    return isLarge && this.liveBytes < this.bytes / liveShare
  }

  /** Reads survivors at the front; `onReady` when the next batch can take them. Errors are left to the next attempt. */
  copyFront(backend: LogBackend, onReady: () => void): void {
    this.copying = true
    this.readFront(backend)
      .catch(() => {})
      .finally(() => {
        this.copying = false
        if (this.copies.length > 0) onReady()
      })
  }

  private async readFront(backend: LogBackend): Promise<void> {
    let bytes = 0
    for (let i = this.head; i < this.rows.length && bytes < this.limits.copyBytesMax; i++) {
      const row = this.rows[i]
      if (row.live === 0 || row.segment === null) continue
      bytes += row.bytes
      const read = await backend.read(row.position)
      const entry = { records: read.records.slice(), payload: read.payload.slice() } // the next batch may be long in coming
      backend.giveBack?.(read)
      this.copies.push({ from: row, to: null, entry })
    }
  }

  /** Entries for the copies, of what is live at this moment: a message settled since must not come back. */
  buildCopies(): LogEntry[] {
    const entries: LogEntry[] = []
    for (const copy of this.copies) {
      const { from } = copy
      if (from.live === 0 || from.segment === null) continue
      const wasCompact = from.segment.isCompact
      from.segment.expand()
      const entry = this.survivors(copy.entry, from, from.segment)
      if (wasCompact) from.segment.compact()
      const bytes = entry.records.length + entry.payload.length
      // Until the commit its position stays that of the old row, so that the segment can be loaded meanwhile.
      const to = { ...from, total: from.live, bytes }
      from.segment.rows[from.segment.rows.indexOf(from)] = to
      this.liveBytes += bytes - liveBytesOf(from)
      copy.to = to
      this.building.push(to)
      this.bytes += to.bytes
      this.copiesInFlight.push(copy)
      entries.push(entry)
    }
    this.copies = []
    return entries
  }

  private survivors(entry: LogEntry, row: LogRow, segment: Segment): LogEntry {
    const records = new RecordWriter()
    const parts: Uint8Array[] = []
    let at = 0
    const onTime = (ms: number) => records.time(ms)
    forEachMessage(entry.records, onTime, (ticket, length, bodyLength, queueIds, expiration) => {
      const index = ticket % SEGMENT_TICKETS
      if (segment.logRefs !== null && segment.logRefs[index] > 0 && segment.rowOf(index) === row) {
        // All its queues, then who of them has settled: a settle that is written behind the copy must find its queue there,
        // or recovery would take it for that of another.
        records.enqueue(
          ticket,
          length,
          bodyLength,
          Int32Array.from(queueIds),
          0,
          queueIds.length,
          expiration,
          segment.priorityAt(index),
        )
        for (const id of queueIds) {
          const counts = segment.returnsOf(id, index)
          if (segment.isSettledBy(id, index)) records.settle(id, ticket)
          else if (counts !== undefined) records.counts(id, ticket, counts)
        }
        parts.push(entry.payload.subarray(at, at + length))
      }
      at += length
    })
    const payload = Buffer.concat(parts)
    // A small result of concat may lie in Node's shared pool; the backend wants whole buffers.
    return { records: records.finish(), payload: Uint8Array.prototype.slice.call(payload) }
  }
}

function liveBytesOf(row: LogRow): number {
  return (row.bytes / row.total) * row.live
}

/** Calls back for each message of a records block in payload order. */
export function forEachMessage(
  records: Uint8Array,
  onTime: (ms: number) => void,
  onMessage: (
    ticket: number,
    length: number,
    bodyLength: number,
    queueIds: readonly number[],
    expiration: number,
  ) => void,
): void {
  const sink: RecordSink = {
    onTime,
    onEnqueue(firstTicket, count, queueIds, lengths, lengthsAt, expiration) {
      for (let i = 0; i < count; i++) {
        const at = lengthsAt + 8 * i
        onMessage(firstTicket + i, lengths.getUint32(at, true), lengths.getUint32(at + 4, true), queueIds, expiration)
      }
    },
    onSettle() {},
    onReturned() {},
    onDelivered() {},
    onCounts() {},
  }
  readRecords(records, sink)
}
