// Brings the bytes of a paged-out segment back from the log into a slab.
import { type LogBackend, StorageError } from './log-backend'
import { forEachMessage } from './log-rows'
import type { MessageStore } from './message-store'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

/** Resolves with the segment resident. Live messages only; the offsets of the others collapse to nothing. */
export async function loadSegment(backend: LogBackend, store: MessageStore, segment: Segment): Promise<void> {
  const found = new Map<number, Uint8Array>()
  // Row by row, asking anew after each: meanwhile messages are settled, and copied forward to other rows.
  for (let index = missing(segment, found, 0); index !== -1; index = missing(segment, found, index)) {
    const row = segment.rowOf(index)
    if (row === null) throw lost(segment, index)
    await readRow(backend, segment, row, found)
    const isStillThere = segment.refs[index] > 0 && segment.rowOf(index) === row
    if (isStillThere && !found.has(index)) throw lost(segment, index)
  }
  if (segment.live > 0) fill(store, segment, found)
}

/** The first live message from `index` on that is not found yet; -1 when there is none. */
function missing(segment: Segment, found: ReadonlyMap<number, Uint8Array>, index: number): number {
  for (; index < segment.count; index++) if (segment.refs[index] > 0 && !found.has(index)) return index
  return -1
}

async function readRow(backend: LogBackend, segment: Segment, row: LogRow, found: Map<number, Uint8Array>) {
  const { position } = row
  try {
    const entry = await backend.read(position)
    let at = 0
    forEachMessage(entry.records, (ticket, length) => {
      const index = ticket % SEGMENT_TICKETS
      if (segment.refs[index] > 0) found.set(index, entry.payload.subarray(at, at + length))
      at += length
    })
  } catch (error) {
    // Copied forward and trimmed while we asked: its messages are elsewhere now.
    if (row.position === position && segment.rows.includes(row)) throw error
  }
}

function fill(store: MessageStore, segment: Segment, found: Map<number, Uint8Array>): void {
  let bytes = 0
  for (const message of found.values()) bytes += message.length
  const slab = store.takeSlab(bytes)
  let at = 0
  for (let index = 0; index < segment.count; index++) {
    const message = found.get(index)
    if (message !== undefined) slab.set(message, at)
    at += message?.length ?? 0
    segment.offsets[index + 1] = at
  }
  segment.used = at
  store.pageIn(segment, slab)
}

function lost(segment: Segment, index: number): StorageError {
  return new StorageError('corrupt', `message ${segment.firstTicket + index} is not in its row of the log`)
}
