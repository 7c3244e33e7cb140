// The deferred work on leveret.db, in slices short enough to stand before a commit: deleting forgotten entries, copying the
// write-ahead log into the database file, giving free space back. Owned by sqlite-log, on its connection.
import type Database from 'better-sqlite3'
import type { LogPosition } from './log-backend'
import { PAGE_SIZE } from './schema'
import type { SqliteLimits } from './sqlite-limits'

/** Of a log frame: a page and its header. */
const FRAME_BYTES = PAGE_SIZE + 24

/** So many deletions are worth a slice between commits, when none is overdue: one of a few rows takes nearly as long. */
const REMOVALS_WORTH_A_SLICE = 64
/** Under load, how long nothing follows on a slice of deletions, or of giving space back, in times of what it took. Giving back is
 *  seldom and in short slices, and 10 GB are to be gone within a minute. */
const REMOVAL_REST = 4
const SPACE_REST = 1

/** What was asked to be forgotten, in order: everything below a position, or a list of which the first `done` are gone. */
type Removal = { before: LogPosition } | { positions: readonly LogPosition[]; done: number }

export class SqliteUpkeep {
  private db!: Database.Database
  private sql!: ReturnType<typeof prepareStatements>
  private readonly removals: Removal[] = []
  private removedBefore: LogPosition = 0 // nothing below is in the table
  private committedSinceSlice = 0
  private readonly removalPace: Pace
  private readonly vacuumPace: Pace
  /** Of the file, and given back with the next checkpoint. */
  private excessPages = 0
  // performance.now() before which, under load, none is done: each has its own, or the deletions of steady traffic would hold up the rest
  private removalsRestUntil = 0 // but those that lag behind are
  private spaceRestsUntil = 0
  /** performance.now() since when, under load, there is something to give back; -1: there is not. */
  private excessSince = -1

  constructor(
    db: Database.Database,
    private readonly limits: SqliteLimits,
    public entries: number, // in the table
  ) {
    this.removalPace = new Pace(limits.removalsPerSlice, 2 * limits.commitsPerSlice, limits.sliceMs)
    const pages = Math.ceil(limits.vacuumBytesPerSlice / PAGE_SIZE)
    this.vacuumPace = new Pace(pages, Math.min(16, pages), limits.sliceMs, pages)
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
    const now = performance.now()
    const mayRemove = isIdle || (now >= this.removalsRestUntil && this.isRemovalWorthwhile()) || this.isRemovalOverdue()
    if (this.removals.length > 0 && mayRemove) {
      this.committedSinceSlice = Math.max(0, this.committedSinceSlice - this.limits.commitsPerSlice)
      const ms = timed(this.removalPace, (positions) => this.removeSlice(lastPosition, positions))
      this.removalsRestUntil = now + ms + REMOVAL_REST * ms
      return true
    }
    if (this.removals.length === 0) this.committedSinceSlice = 0
    if ((isIdle || now >= this.spaceRestsUntil) && this.giveBack(isIdle)) {
      const end = performance.now()
      this.spaceRestsUntil = end + SPACE_REST * (end - now)
      return true
    }
    if (isIdle && walBytes > 0) this.checkpoint()
    return false
  }

  private isRemovalOverdue(): boolean {
    return this.committedSinceSlice >= this.limits.commitsPerSlice
  }

  private isRemovalWorthwhile(): boolean {
    let count = 0
    for (const removal of this.removals) {
      count += 'before' in removal ? removal.before - this.removedBefore : removal.positions.length - removal.done
      if (count >= REMOVALS_WORTH_A_SLICE) return true
    }
    return false
  }

  /** Deletes all that was asked for. */
  finish(lastPosition: LogPosition): void {
    while (this.removals.length > 0) this.removeSlice(lastPosition, this.limits.removalsPerSlice)
  }

  // -- the write-ahead log --------------------------------------------------------------------------------------------

  /** Copies the log into the database file; the next commit writes the log from its start again. As the only connection we are never held
   *  up by a reader. PASSIVE leaves the log file its size: overwriting is cheaper to sync than growing. */
  checkpoint(mode: 'PASSIVE' | 'TRUNCATE' = 'PASSIVE'): void {
    this.db.pragma(`wal_checkpoint(${mode})`)
    this.excessPages = 0
  }

  /** What the log holds that is not yet in the database file. */
  walBytes(): number {
    const [, frames, checkpointed] = this.sql.walState.get() as [number, number, number]
    return frames === checkpointed ? 0 : frames * FRAME_BYTES
  }

  // -- forgotten entries ----------------------------------------------------------------------------------------------

  /** Not synced: losing a deletion only means that replay shows the entry again, and the log keeps deletions in order. */
  private removeSlice(lastPosition: LogPosition, limit: number): number {
    const { positions, whole, partly } = this.nextSlice(limit)
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
    for (const removal of this.removals.splice(0, whole)) {
      if ('before' in removal) this.removedBefore = Math.max(this.removedBefore, removal.before)
    }
    const rest = this.removals[0]
    if (partly > 0) {
      if ('positions' in rest) rest.done += partly
      else this.removedBefore = positions[positions.length - 1] + 1
    }
    return positions.length
  }

  private unsynced(work: () => void): void {
    this.db.pragma('synchronous = NORMAL')
    try {
      work()
    } finally {
      this.db.pragma('synchronous = FULL')
    }
  }

  /** The next positions to delete, how many removals they complete, and how many of them belong to the one after those. */
  private nextSlice(limit: number): { positions: LogPosition[]; whole: number; partly: number } {
    const positions: LogPosition[] = []
    let whole = 0
    for (const removal of this.removals) {
      const room = limit - positions.length
      const found = 'before' in removal ? this.idsBelow(removal.before, room) : listed(removal, room)
      positions.push(...found)
      const isWhole =
        'before' in removal ? found.length < room : removal.done + found.length === removal.positions.length
      if (!isWhole) return { positions, whole, partly: found.length }
      whole++
    }
    return { positions, whole, partly: 0 }
  }

  private idsBelow(before: LogPosition, limit: number): LogPosition[] {
    return this.sql.below.all(before, limit) as LogPosition[]
  }

  // -- space ----------------------------------------------------------------------------------------------------------

  /** The file gets shorter in steps, for a commit has to wait while the file system does that. */
  private giveBack(isIdle: boolean): boolean {
    if (this.excessPages * PAGE_SIZE < this.limits.truncatedBytesMax) return this.vacuumSlice(isIdle)
    this.checkpoint()
    return true
  }

  private vacuumSlice(isIdle: boolean): boolean {
    const excess = this.excess(isIdle)
    if (excess <= 0) this.excessSince = -1
    if (excess <= 0 || !(isIdle || this.hasLasted())) return false
    timed(this.vacuumPace, (size) => {
      const pages = Math.min(excess, size)
      this.unsynced(() => this.db.exec(`PRAGMA incremental_vacuum(${pages})`))
      this.excessPages += pages
      return pages
    })
    return true
  }

  /** Pages to give back: when idle, what is free over `freeBytesKept`. Under load only while most of the file is free: pages given back that
   *  are needed again a moment later cost more than they gave. */
  private excess(isIdle: boolean): number {
    const free = this.sql.freePages.get() as number
    const kept = Math.floor(this.limits.freeBytesKept / PAGE_SIZE)
    if (isIdle || free <= kept) return free - kept
    return free - Math.max(kept, (this.sql.pages.get() as number) - free)
  }

  /** Under load: there has been something to give back for `excessWaitMs`. */
  private hasLasted(): boolean {
    const now = performance.now()
    if (this.excessSince === -1) this.excessSince = now
    return now - this.excessSince >= this.limits.excessWaitMs
  }
}

/** Does a slice of about `sliceMs`. Returns how long it took. */
function timed(pace: Pace, work: (size: number) => number): number {
  const start = performance.now()
  const size = work(pace.size)
  const ms = performance.now() - start
  pace.note(size, ms)
  return ms
}

/** How much to do in one slice so that it takes about `sliceMs`, learnt from the slices before. */
class Pace {
  constructor(
    public size: number,
    private readonly least: number,
    private readonly sliceMs: number,
    private readonly most = Number.POSITIVE_INFINITY,
  ) {}

  note(done: number, ms: number): void {
    const wanted = (done * this.sliceMs) / Math.max(ms, 0.01)
    this.size = Math.max(this.least, Math.round(Math.min(wanted, 2 * this.size, this.most)))
  }
}

const listed = (removal: { positions: readonly LogPosition[]; done: number }, limit: number): readonly LogPosition[] =>
  removal.positions.slice(removal.done, removal.done + limit)

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
    pages: db.prepare('PRAGMA page_count').pluck(),
  }
}
