// The contract between the journal and what keeps its bytes: an ordered, durable log of opaque entries, and the
// definitions, changed together in one commit. Implemented by memory-backend and sqlite-backend; every implementation
// passes backend-suite.test.ts. Knows nothing of messages, queues or AMQP.
import type { DefinitionChange, Definitions } from './definitions'

/** Names a stored entry: increasing, never reused, not even after everything was trimmed. 0 names none. */
export type LogPosition = number

/** One row of the log. `records` says what happened (enqueue, settle...), `payload` holds the message bytes that those
 *  records speak of. Kept apart so that recovery reads only the records of a backlog of gigabytes. Either may be empty. */
export interface LogEntry {
  records: Uint8Array
  payload: Uint8Array
}

/** Changes to make as one. Definitions are applied in order, before the entries. */
export interface CommitUnit {
  definitions: DefinitionChange[]
  entries: LogEntry[]
}

/** What open() found. */
export interface Opened {
  identity: string // made once with the data directory: a UUID
  definitions: Definitions
  lastPosition: LogPosition // the highest ever given out, whether or not its entry is still there
  nextQueueId: number // above every queue id ever put, at least 1
  cleanShutdown: boolean // the previous owner ended with close(true), or there was none
}

export interface StorageStats {
  fileBytes: number
  walBytes: number
  entries: number
  freeBytes: number // left on the disk for us; Infinity where that has no meaning
}

export interface LogBackend {
  /** Opens, or creates, or migrates. Call once, first. Rejects with StartupError, having changed nothing, when what is
   *  there cannot or must not be used. */
  open(): Promise<Opened>

  /** Replay is over: from here on what is there may be changed. Until then nothing on disk was, so that a start which
   *  fails in replay leaves everything as it found it. Rejects with StartupError. The first commit implies it. */
  begin(): Promise<void>

  /** Memory for a payload of the next commit; one that lies in it is not copied on its way. Need not be used. */
  room?(bytes: number): Uint8Array

  /** All of it durable, or none. Resolves with the position of the first entry (the others follow on consecutively), or
   *  with the last position when there is none. At most one commit in flight: gather the next unit meanwhile.
   *  Array buffers that an array covers whole are transferred, hence detached by the call; others are copied. Treat all as given away.
   *  Rejects with StorageError. Then nothing of the unit is visible through this backend and the next commit may be
   *  tried at once; only after `unavailable`, should the process die before a later commit succeeds, the next open()
   *  may find the unit stored after all (the disk failed in the act of promising). */
  commit(unit: CommitUnit): Promise<LogPosition>

  /** Every entry in order: its records, and the length of its payload. Streams in bounded memory. Call after open() and
   *  before the first commit. `records` may be kept. Rejects with what `onEntry` throws; for
   *  damage, found here or there (StorageError `corrupt`), with a StartupError that names the place. */
  replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void>

  /** An entry with its payload, checksum verified: `corrupt` if that fails, `missing` if it is not there. Any number may be in flight. */
  read(position: LogPosition): Promise<LogEntry>

  /** The payload of an entry that was read is not needed any more: its place is taken for the next. To be called for every
   *  entry that was read: there are so many places, and without one a read takes longer. */
  giveBack?(entry: LogEntry): void

  /** Entries below `before` may be forgotten. Resolves when noted; the work is done later, in slices, between commits. Removals (of both
   *  kinds) take effect in the order asked for; a crash may undo the latest of them, and replay then shows those entries again. */
  trim(before: LogPosition): Promise<void>

  /** These entries may be forgotten; as trim. Positions that are not there are ignored. */
  remove(positions: readonly LogPosition[]): Promise<void>

  stats(): Promise<StorageStats>

  /** Waits for what is under way, then lets go of everything. `clean` leaves the mark that open() reports. Calls after it reject with `closed`; a second close does nothing. */
  close(clean: boolean): Promise<void>
}

/** Of one entry, records and payload together. Above it, commit rejects with `too-large`. */
export const ENTRY_BYTES_MAX = 640 * 1024 * 1024

/** full: no room, may pass. unavailable: the disk or the backend failed, may pass. corrupt: stored bytes are damaged.
 *  too-large: can never be stored. missing: no such entry. closed: after close(). */
export type StorageErrorKind = 'unavailable' | 'full' | 'corrupt' | 'too-large' | 'missing' | 'closed'

export class StorageError extends Error {
  override readonly name = 'StorageError'
  constructor(
    readonly kind: StorageErrorKind,
    message: string,
  ) {
    super(message)
  }
}

/** Why open() refused. The message says what is wrong and what to do about it, for an operator to read. */
export class StartupError extends Error {
  override readonly name = 'StartupError'
  constructor(
    readonly reason: 'locked' | 'unusable' | 'foreign' | 'newer' | 'damaged',
    message: string,
  ) {
    super(message)
  }
}

/** Throws `too-large` for a unit that no backend takes. */
export function checkSizes(unit: CommitUnit): void {
  for (const entry of unit.entries) {
    const bytes = entry.records.length + entry.payload.length
    if (bytes > ENTRY_BYTES_MAX) {
      throw new StorageError('too-large', `a log entry of ${bytes} bytes is over the limit of ${ENTRY_BYTES_MAX} bytes`)
    }
  }
}
