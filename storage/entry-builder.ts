// What of a batch goes to the log: one entry for each segment, with the records of its messages and their bytes. Called by journal when a
// batch leaves; what was settled meanwhile is left out.
import { RecordWriter } from './batch-codec'
import type { LogBackend, LogEntry } from './log-backend'
import type { LogRows } from './log-rows'
import type { MessageStore } from './message-store'
import type { PendingMessages } from './pending-messages'
import { SEGMENT_TICKETS, type Segment } from './segment'

export class EntryBuilder {
  constructor(
    private readonly store: MessageStore,
    private readonly rows: LogRows,
    private readonly backend: LogBackend,
  ) {}

  /** One entry per segment, so that a segment comes back from few rows. Message bytes are copied in contiguous runs. */
  build(batch: PendingMessages, entries: LogEntry[]): void {
    let from = 0
    while (from < batch.count) {
      const segment = this.store.segmentOf(batch.tickets[from])
      const number = Math.floor(batch.tickets[from] / SEGMENT_TICKETS)
      let to = from + 1
      while (to < batch.count && Math.floor(batch.tickets[to] / SEGMENT_TICKETS) === number) to++
      if (segment !== undefined && segment.logRefs !== null) this.buildEntry(batch, from, to, segment, entries)
      from = to
    }
  }

  private buildEntry(batch: PendingMessages, from: number, to: number, segment: Segment, entries: LogEntry[]): void {
    const logRefs = segment.logRefs as Uint32Array
    const first = segment.firstTicket
    let bytes = 0
    let live = 0
    let firstIndex = -1
    for (let i = from; i < to; i++) {
      const index = batch.tickets[i] - first
      if (logRefs[index] === 0) continue
      if (firstIndex === -1) firstIndex = index
      bytes += segment.lengthAt(index)
      live++
    }
    if (live === 0) return
    const records = new RecordWriter()
    const payload = this.backend.room?.(bytes) ?? Buffer.allocUnsafeSlow(bytes)
    let at = 0
    let time = -1
    const hasExpirations = batch.expirations.size > 0
    let runStart = -1
    let runEnd = -1
    for (let i = from; i < to; i++) {
      const index = batch.tickets[i] - first
      if (logRefs[index] === 0) continue
      const start = segment.offsets[index]
      const end = segment.offsets[index + 1]
      if (batch.timeOf(i) !== time) {
        time = batch.timeOf(i)
        records.time(time)
      }
      records.enqueue(
        batch.tickets[i],
        end - start,
        batch.bodyBytes[i],
        batch.queueIds,
        i === 0 ? 0 : batch.ends[i - 1],
        batch.ends[i],
        hasExpirations ? batch.expirationOf(batch.tickets[i]) : -1,
        segment.priorityAt(index),
      )
      if (start !== runEnd) {
        if (runEnd !== -1) at += (segment.slab as Buffer).copy(payload, at, runStart, runEnd)
        runStart = start
      }
      runEnd = end
    }
    ;(segment.slab as Buffer).copy(payload, at, runStart, runEnd)
    const block = records.finish()
    entries.push({ records: block, payload })
    this.rows.add(live, block.length + bytes, segment, firstIndex)
  }
}
