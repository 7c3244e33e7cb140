// The deferred work on leveret.db, in slices short enough to stand before a commit: deleting forgotten entries, copying the
// write-ahead log into the database file, giving free space back. Owned by sqlite-log, on its connection.
import type Database from 'better-sqlite3'
import type { LogPosition } from './log-backend'
import { PAGE_SIZE } from './schema'
import type { SqliteLimits } from './sqlite-limits'

/** Of a log frame: a page and its header. */
const FRAME_BYTES = PAGE_SIZE + 24

/** What was asked to be forgotten, in order: everything below a position, or a list of which the first `done` are gone. */
type Removal = { before: LogPosition } | { positions: readonly LogPosition[]; done: number }

export class SqliteUpkeep {
  private db!: Database.Database
  private sql!: ReturnType<typeof prepareStatements>
  private readonly removals: Removal[] = []
  private committedSinceSlice = 0

  constructor(
    db: Database.Database,
    private readonly limits: SqliteLimits,
    public entries: number, // in the table
  ) {
    this.use(db)
  }

  /** Continues on a new connection. */
  use(db: Database.Database): void {
    this.db = db
    this.sql = prepareStatements(db)
  }

  trim(before: LogPosition): void {
    const last = this.removals.at(-1)
    if (last !== undefined && 'before' in last) last.before = Math.max(last.before, before)
    else this.removals.push({ before })
  }

  remove(positions: readonly LogPosition[]): void {
    if (positions.length > 0) this.removals.push({ positions, done: 0 })
  }

  onCommitted(entries: number): void {
    this.entries += entries
    this.committedSinceSlice += entries
  }

  /** Does the most urgent piece of work, if any is due, and says whether to come back. */
  slice(isIdle: boolean, lastPosition: LogPosition): boolean {
    const walBytes = this.walBytes()
    if (walBytes >= this.limits.walCheckpointBytes) {
      this.checkpoint()
      return true
    }
    if (this.removals.length > 0 && (isIdle || this.committedSinceSlice >= this.limits.commitsPerSlice)) {
      this.committedSinceSlice = Math.max(0, this.committedSinceSlice - this.limits.commitsPerSlice)
      this.removeSlice(lastPosition)
      return true
    }
    if (this.removals.length === 0) this.committedSinceSlice = 0
    if (!isIdle) return false
    if (this.vacuumSlice()) return true
    if (walBytes > 0) this.checkpoint()
    return false
  }

  /** Deletes all that was asked for. */
  finish(lastPosition: LogPosition): void {
    while (this.removals.length > 0) this.removeSlice(lastPosition)
  }

  // -- the write-ahead log --------------------------------------------------------------------------------------------

  /** Copies the log into the database file; the next commit writes the log from its start again. As the only connection we are never held
   *  up by a reader. PASSIVE leaves the log file its size: overwriting is cheaper to sync than growing. */
  checkpoint(mode: 'PASSIVE' | 'TRUNCATE' = 'PASSIVE'): void {
    this.db.pragma(`wal_checkpoint(${mode})`)
  }

  /** What the log holds that is not yet in the database file. */
  walBytes(): number {
    const [, frames, checkpointed] = this.sql.walState.get() as [number, number, number]
    return frames === checkpointed ? 0 : frames * FRAME_BYTES
  }

  // -- forgotten entries ----------------------------------------------------------------------------------------------

  /** Not synced: losing a deletion only means that replay shows the entry again, and the log keeps deletions in order. */
  private removeSlice(lastPosition: LogPosition): void {
    const positions = this.nextPositions()
    let deleted = 0
    this.unsynced(() => {
      try {
        this.sql.begin.run()
        for (const position of positions) deleted += this.sql.remove.run(position).changes
        // Should the highest entry be among them, its position must not be given out again.
        if (deleted > 0) this.sql.setLastPosition.run(lastPosition)
        this.sql.commit.run()
      } catch (error) {
        if (this.db.inTransaction) this.sql.rollback.run()
        throw error
      }
    })
    this.entries -= deleted
    this.advance(positions)
  }

  private unsynced(work: () => void): void {
    this.db.pragma('synchronous = NORMAL')
    try {
      work()
    } finally {
      this.db.pragma('synchronous = FULL')
    }
  }

  private nextPositions(): readonly LogPosition[] {
    const removal = this.removals[0]
    const limit = this.limits.removalsPerSlice
    if ('before' in removal) return this.sql.below.all(removal.before, limit) as number[]
    return removal.positions.slice(removal.done, removal.done + limit)
  }

  private advance(removed: readonly LogPosition[]): void {
    const removal = this.removals[0]
    if ('before' in removal) {
      if (removed.length < this.limits.removalsPerSlice) this.removals.shift()
    } else {
      removal.done += removed.length
      if (removal.done >= removal.positions.length) this.removals.shift()
    }
  }

  // -- space ----------------------------------------------------------------------------------------------------------

  private vacuumSlice(): boolean {
    const free = (this.sql.freePages.get() as number) - Math.floor(this.limits.freeBytesKept / PAGE_SIZE)
    if (free <= 0) return false
    const pages = Math.min(free, Math.max(1, Math.floor(this.limits.vacuumBytesPerSlice / PAGE_SIZE)))
    this.unsynced(() => this.db.exec(`PRAGMA incremental_vacuum(${pages})`))
    return true
  }
}

function prepareStatements(db: Database.Database) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    walState: db.prepare('PRAGMA wal_checkpoint(NOOP)').raw(),
    below: db.prepare('SELECT id FROM entry WHERE id < ? ORDER BY id LIMIT ?').pluck(),
    remove: db.prepare('DELETE FROM entry WHERE id = ?'),
    setLastPosition: db.prepare(`INSERT OR REPLACE INTO meta (key, value) VALUES ('last_position', ?)`),
    freePages: db.prepare('PRAGMA freelist_count').pluck(),
  }
}
