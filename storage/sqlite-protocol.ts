// What passes between sqlite-backend (main thread) and sqlite-worker: one message per request, one per answer.
import type { CommitUnit, LogPosition, StartupError, StorageErrorKind } from './log-backend'
import type { SqliteLimits } from './sqlite-limits'

export interface WorkerSettings {
  directory: string
  limits: SqliteLimits
}

export type Call =
  | { call: 'open' }
  | { call: 'begin' }
  | { call: 'commit'; unit: CommitUnit; trimBefore: LogPosition } // 0: nothing to trim
  | { call: 'replay'; after: LogPosition }
  | { call: 'read'; position: LogPosition; into: SharedArrayBuffer | null } // the entry goes there if it fits
  | { call: 'trim'; before: LogPosition }
  | { call: 'remove'; positions: readonly LogPosition[] }
  | { call: 'backup'; file: string }
  | { call: 'stats' }
  | { call: 'close'; clean: boolean } // the worker exits after its answer

/** The entry that was read lies in the place given for it: the payload, then the records. */
export interface EntryInPlace {
  payloadBytes: number
  recordsBytes: number
}

export interface Request {
  id: number // answers carry it back
  call: Call
}

export type Answer = { id: number; value: unknown } | { id: number; error: ErrorAnswer }

/** Errors lose their class between threads. */
export type ErrorAnswer =
  | { type: 'storage'; kind: StorageErrorKind; message: string }
  | { type: 'startup'; reason: StartupError['reason']; message: string }

/** Consecutive rows of a replay; empty at the end. */
export interface ReplayGroup {
  positions: Float64Array
  payloadLengths: Float64Array
  /** Of all rows, one behind the other: tens of thousands of buffers in one message take seconds to hand over. */
  records: Uint8Array
  recordsEnds: Float64Array
}

/** Takes a group apart again. `records` are views into it, and may be kept. */
export function forEachRow(
  { positions, payloadLengths, records, recordsEnds }: ReplayGroup,
  onRow: (position: LogPosition, records: Uint8Array, payloadLength: number) => void,
): void {
  let start = 0
  for (let i = 0; i < positions.length; i++) {
    const end = recordsEnds[i]
    onRow(positions[i], records.subarray(start, end), payloadLengths[i])
    start = end
  }
}
