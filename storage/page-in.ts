// Brings the bytes of a paged-out segment back from the log into a slab.
import { type LogBackend, StorageError } from './log-backend'
import { forEachMessage } from './log-rows'
import type { MessageStore } from './message-store'
import { SEGMENT_TICKETS, type Segment } from './segment'

/** Resolves with the segment resident. Live messages only; the offsets of the others collapse to nothing. */
export async function loadSegment(backend: LogBackend, store: MessageStore, segment: Segment): Promise<void> {
  const found = new Map<number, Uint8Array>()
  for (const row of [...segment.rows]) {
    if (row.live === 0) continue
    const entry = await backend.read(row.position)
    let at = 0
    forEachMessage(entry.records, (ticket, length) => {
      const index = ticket % SEGMENT_TICKETS
      if (segment.refs[index] > 0) found.set(index, entry.payload.subarray(at, at + length))
      at += length
    })
  }
  if (segment.live > 0) fill(store, segment, found)
}

function fill(store: MessageStore, segment: Segment, found: Map<number, Uint8Array>): void {
  let bytes = 0
  for (const message of found.values()) bytes += message.length
  const slab = store.takeSlab(bytes)
  let at = 0
  for (let index = 0; index < segment.count; index++) {
    const message = found.get(index)
    if (message === undefined && segment.refs[index] > 0) {
      throw new StorageError('corrupt', `message ${segment.firstTicket + index} is not in its rows of the log`)
    }
    if (message !== undefined) slab.set(message, at)
    at += message?.length ?? 0
    segment.offsets[index + 1] = at
  }
  segment.used = at
  store.pageIn(segment, slab)
}
