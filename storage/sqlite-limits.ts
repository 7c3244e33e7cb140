// The named limits of the SQLite backend, with their defaults. Reasons and measurements: README.md.

export interface SqliteLimits {
  /** The write-ahead log is copied into the database file when it holds this much. */
  walCheckpointBytes: number
  /** No commit starts while the log holds more: it checkpoints first, and fails as `full` if that fails. The log's size on disk is this and one commit at most. */
  walBytesMax: number
  /** SQLite's page cache. Small: payloads are written once and mostly never read. */
  cacheBytes: number
  /** Without a call for this long the worker does housekeeping at its leisure. */
  idleMs: number
  /** How long a slice of deleting or giving back is to take: a commit may have to wait for one. */
  sliceMs: number
  /** Entries deleted in the first slice; later ones hold what fits into `sliceMs`. */
  removalsPerSlice: number
  /** Under load, at least one slice for so many entries committed; each deletes twice as many or more, so that removal outruns load. */
  commitsPerSlice: number
  /** Free pages kept in the file for reuse; what is over goes back to the file system. */
  freeBytesKept: number
  /** Under load, free space stays for so long before it is given back: whoever drains a backlog wants the worker for reading, and what comes
   *  after a peak wants the space. */
  excessWaitMs: number
  /** Given back in one slice. Half of `cacheBytes` at most: where the cache has no room for them, SQLite writes pages to the log
   *  that are about to be no more. */
  vacuumBytesPerSlice: number
  /** The file gets shorter by about so much at once: a commit waits for as long as the file system needs for that. */
  truncatedBytesMax: number
  /** The database file grows no further: commits fail as `full`. */
  fileBytesMax: number
}

const MiB = 1024 * 1024

export const DEFAULT_SQLITE_LIMITS: SqliteLimits = {
  walCheckpointBytes: 16 * MiB,
  walBytesMax: 64 * MiB,
  cacheBytes: 4 * MiB,
  idleMs: 20,
  sliceMs: 5,
  removalsPerSlice: 64,
  commitsPerSlice: 16,
  freeBytesKept: 64 * MiB,
  excessWaitMs: 3000,
  vacuumBytesPerSlice: 2 * MiB,
  truncatedBytesMax: 32 * MiB,
  fileBytesMax: Number.POSITIVE_INFINITY,
}
