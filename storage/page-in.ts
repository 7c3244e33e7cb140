// Brings the bytes of a paged-out segment back into a slab: from the spill file if they went there, else from the rows of
// the log.
import { noteSpent } from './garbage'
import { type LogBackend, type LogEntry, StorageError } from './log-backend'
import { forEachMessage } from './log-rows'
import type { MessageStore } from './message-store'
import { type LogRow, SEGMENT_TICKETS, type Segment } from './segment'

/** Of arrays that are made for each load: here, and when a compact segment is expanded. */
const BYTES_PER_MESSAGE = 24

/** Resolves with the segment resident. Live messages only; the offsets of the others collapse to nothing. */
export async function loadSegment(backend: LogBackend, store: MessageStore, segment: Segment): Promise<void> {
  if (segment.spill !== null) return store.unspill(segment)
  store.expand(segment)
  const found = new Found(segment.count)
  try {
    await findAll(backend, segment, found)
    if (segment.live > 0) fill(store, segment, found)
  } finally {
    for (const entry of found.entries) {
      noteSpent(entry.records.length)
      backend.giveBack?.(entry)
    }
  }
  noteSpent(segment.count * BYTES_PER_MESSAGE)
}

async function findAll(backend: LogBackend, segment: Segment, found: Found): Promise<void> {
  // Row by row, asking anew after each: meanwhile messages are settled, and copied forward to other rows.
  for (let index = missing(segment, found, 0); index !== -1; index = missing(segment, found, index)) {
    const row = segment.rowOf(index)
    if (row === null) throw lost(segment, index)
    await readRow(backend, segment, row, found)
    const isStillThere = segment.refs[index] > 0 && segment.rowOf(index) === row
    if (isStillThere && !found.has(index)) throw lost(segment, index)
  }
}

/** Where each message of a segment was found: in which payload, from where, how long. */
class Found {
  readonly entries: LogEntry[] = []
  readonly starts: Uint32Array
  readonly lengths: Uint32Array // 0: not found, for no stored message is empty
  private readonly in: Uint32Array

  constructor(count: number) {
    this.starts = new Uint32Array(count)
    this.lengths = new Uint32Array(count)
    this.in = new Uint32Array(count)
  }

  has(index: number): boolean {
    return this.lengths[index] > 0
  }

  add(index: number, start: number, length: number): void {
    this.in[index] = this.entries.length - 1
    this.starts[index] = start
    this.lengths[index] = length
  }

  /** Copies the message and those that follow it in its payload. Returns the first index that was not copied. */
  copyRun(index: number, slab: Buffer, at: number): number {
    const entry = this.in[index]
    const start = this.starts[index]
    let end = start
    for (; index < this.lengths.length; index++) {
      if (!this.has(index)) continue
      if (this.in[index] !== entry || this.starts[index] !== end) break
      end += this.lengths[index]
    }
    slab.set(this.entries[entry].payload.subarray(start, end), at)
    return index
  }
}

/** The first live message from `index` on that is not found yet; -1 when there is none. */
function missing(segment: Segment, found: Found, index: number): number {
  for (; index < segment.count; index++) if (segment.refs[index] > 0 && !found.has(index)) return index
  return -1
}

async function readRow(backend: LogBackend, segment: Segment, row: LogRow, found: Found): Promise<void> {
  const { position } = row
  let entry: LogEntry
  try {
    entry = await backend.read(position)
  } catch (error) {
    // Copied forward and trimmed while we asked: its messages are elsewhere now.
    if (row.position === position && segment.rows.includes(row)) throw error
    return
  }
  found.entries.push(entry)
  let at = 0
  const onTime = () => {}
  forEachMessage(entry.records, onTime, (ticket, length) => {
    const index = ticket % SEGMENT_TICKETS
    if (segment.refs[index] > 0) found.add(index, at, length)
    at += length
  })
}

function fill(store: MessageStore, segment: Segment, found: Found): void {
  const offsets = new Uint32Array(segment.count + 1)
  for (let index = 0; index < segment.count; index++) {
    offsets[index + 1] = offsets[index] + (segment.refs[index] > 0 ? found.lengths[index] : 0)
    if (segment.refs[index] === 0) found.lengths[index] = 0
  }
  const bytes = offsets[segment.count]
  const slab = store.takeSlab(bytes)
  for (let index = 0; index < segment.count; ) {
    if (found.has(index)) index = found.copyRun(index, slab, offsets[index])
    else index++
  }
  segment.offsets = offsets
  segment.used = bytes
  store.pageIn(segment, slab)
}

function lost(segment: Segment, index: number): StorageError {
  return new StorageError('corrupt', `message ${segment.firstTicket + index} is not in its row of the log`)
}
