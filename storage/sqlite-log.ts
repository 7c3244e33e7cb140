// leveret.db, synchronously: opening, commits, replay, reads, and what to do when the disk fails. Lives on the storage
// worker (sqlite-worker), which calls it one request at a time; sqlite-upkeep does the deferred work on the same connection.
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import Database from 'better-sqlite3'
import { crc32 } from './crc'
import {
  claimDataDirectory,
  type DataDirectory,
  damaged,
  lockedError,
  salvageAdvice,
  writeAgain,
} from './data-directory'
import { DatabaseLook, locateDamage, logBounds, readOpened } from './database-look'
import { DefinitionTables, sumOf } from './definition-tables'
import {
  type CommitUnit,
  checkSizes,
  type LogEntry,
  type LogPosition,
  type Opened,
  StartupError,
  StorageError,
  type StorageStats,
} from './log-backend'
import { createDatabase } from './new-database'
import { migrate, PAGE_SIZE } from './schema'
import type { SqliteLimits } from './sqlite-limits'
import type { ReplayGroup } from './sqlite-protocol'
import { SqliteUpkeep } from './sqlite-upkeep'

/** Copied between two requests. */
const BACKUP_PAGES = 64
/** Stored bytes in one group of a replay; a single larger row travels alone. */
const REPLAY_GROUP_BYTES = 1024 * 1024

type EntryRow = [id: number, recordsCrc: number, payloadCrc: number, records: Buffer, payload: Buffer]
type ReplayRow = [id: number, recordsCrc: number, records: Buffer, payloadLength: number]

export class SqliteLog {
  private place!: DataDirectory
  /** While it is there nothing was changed, and `db` is its connection. */
  private look: DatabaseLook | null = null
  private db!: Database.Database
  private sql!: ReturnType<typeof prepareStatements>
  private tables!: DefinitionTables
  private upkeep!: SqliteUpkeep
  private lastPosition = 0
  private nextQueueId = 1
  private isSuspect = false

  constructor(
    private readonly directory: string,
    private readonly limits: SqliteLimits,
  ) {}

  open(): Opened {
    this.place = claimDataDirectory(this.directory)
    const { isNew, databasePath } = this.place
    try {
      if (isNew) createDatabase(databasePath)
      // A rollback journal is left of an interrupted migration, and must be played back before anything can be read.
      else if (!fs.existsSync(`${databasePath}-journal`)) return this.lookAt(databasePath)
      return this.takeOver()
    } catch (error) {
      throw this.refuse(error)
    }
  }

  private lookAt(databasePath: string): Opened {
    this.look = new DatabaseLook(databasePath, this.limits.cacheBytes)
    this.db = this.look.db
    if (this.look.needsMigration()) return this.takeOver()
    this.sql = prepareStatements(this.db)
    this.found = this.look.read()
    return this.found
  }
  private found: Opened | null = null

  /** Nothing speaks against going on with what is there. */
  begin(): void {
    if (this.look === null) return
    try {
      this.takeOver()
    } catch (error) {
      throw this.refuse(error)
    }
  }

  /** Position of the first entry, or the last position when there is none. */
  commit(unit: CommitUnit): LogPosition {
    checkSizes(unit)
    this.begin()
    this.guarded(() => {
      if (this.isSuspect) this.reconnect()
      if (this.upkeep.walBytes() > this.limits.walBytesMax) this.upkeep.checkpoint()
    })
    const first = this.lastPosition + 1
    let nextQueueId = this.nextQueueId
    const { sum } = this.tables
    try {
      this.transact(() => {
        for (const change of unit.definitions) {
          this.tables.apply(change)
          if (change.kind === 'queue' && change.op === 'put') nextQueueId = Math.max(nextQueueId, change.record.id + 1)
        }
        if (this.tables.sum !== sum) this.sql.setMeta.run('definitions_sum', this.tables.sum)
        if (nextQueueId !== this.nextQueueId) this.sql.setMeta.run('next_queue_id', nextQueueId)
        unit.entries.forEach(({ records, payload }, i) => {
          this.sql.insert.run(first + i, crc32(records), crc32(payload), records, payload)
        })
      })
    } catch (error) {
      this.tables.sum = sum
      throw error
    }
    this.nextQueueId = nextQueueId
    this.lastPosition += unit.entries.length
    this.upkeep.onCommitted(unit.entries.length)
    return unit.entries.length > 0 ? first : this.lastPosition
  }

  /** The next rows after `after`, about REPLAY_GROUP_BYTES of records; none means the end. Throws StartupError for damage. */
  replayGroup(after: LogPosition): ReplayGroup {
    const rows: ReplayRow[] = []
    try {
      let bytes = 0
      for (const row of this.sql.replay.iterate(after) as IterableIterator<ReplayRow>) {
        if (crc32(row[2]) !== row[1]) throw this.damagedEntry(row[0], 'fails its checksum')
        rows.push(row)
        bytes += row[2].length
        if (bytes >= REPLAY_GROUP_BYTES) break
      }
    } catch (error) {
      throw isDamage(error)
        ? this.damagedEntry((rows.at(-1)?.[0] ?? after) + 1, (error as Error).message)
        : toStorageError(error)
    }
    return toGroup(rows)
  }

  read(position: LogPosition): LogEntry {
    return this.guarded(() => {
      const row = this.sql.read.get(position) as EntryRow | undefined
      if (row === undefined) throw new StorageError('missing', `there is no log entry ${position}`)
      const [, recordsCrc, payloadCrc, records, payload] = row
      if (crc32(records) !== recordsCrc) throw this.corrupt(position, 'fails its checksum')
      if (crc32(payload) !== payloadCrc) throw this.corrupt(position, 'holds message bytes that fail their checksum')
      return { records, payload }
    }, position)
  }

  trim(before: LogPosition): void {
    this.begin()
    // Now, not when it is done: what is committed in between is not meant.
    this.upkeep.trim(Math.min(before, this.lastPosition + 1))
  }

  remove(positions: readonly LogPosition[]): void {
    this.begin()
    this.upkeep.remove(positions.filter((position) => position <= this.lastPosition))
  }

  /** One slice of deferred work. False: nothing more to do until the next call from outside, or the next idle spell. */
  housekeep(isIdle: boolean): boolean {
    try {
      return this.look === null && !this.isSuspect && this.upkeep.slice(isIdle, this.lastPosition)
    } catch (error) {
      this.noteFailure(error)
      return false // full or failing; commits will say so, and each idle spell tries again
    }
  }

  /** SQLite's own backup, a slice of pages at a time with other requests in between. It runs on the one connection we have,
   *  so it notices what that writes to pages already copied, and need not begin anew. */
  async backup(file: string): Promise<void> {
    this.begin()
    try {
      await this.db.backup(file, { progress: () => BACKUP_PAGES })
    } catch (error) {
      for (const suffix of ['', '-journal']) fs.rmSync(file + suffix, { force: true })
      throw toStorageError(error)
    }
  }

  stats(): StorageStats {
    return this.guarded(() => {
      const disk = fs.statfsSync(this.directory)
      return {
        fileBytes: fs.statSync(this.place.databasePath).size,
        walBytes: fs.statSync(`${this.place.databasePath}-wal`, { throwIfNoEntry: false })?.size ?? 0,
        entries: this.look === null ? this.upkeep.entries : (this.look.entries ?? 0),
        freeBytes: disk.bavail * disk.bsize,
      }
    })
  }

  close(clean: boolean): void {
    try {
      if (clean) this.begin()
      this.guarded(() => {
        if (this.look !== null) return
        if (this.isSuspect) this.reconnect()
        if (!clean) return
        this.upkeep.finish(this.lastPosition)
        this.transact(() => {
          this.sql.setMeta.run('clean_shutdown', 1)
          this.sql.setMeta.run('log_at_stop', logBounds(this.db))
        })
        this.upkeep.checkpoint('TRUNCATE')
      })
    } finally {
      this.letGo()
    }
  }

  // -- the connection -------------------------------------------------------------------------------------------------

  private connect(): void {
    const db = new Database(this.place.databasePath, { timeout: 0, fileMustExist: true })
    this.db = db
    db.pragma('locking_mode = EXCLUSIVE') // also keeps the WAL index in our memory: no -shm file
    db.pragma('synchronous = FULL')
    db.pragma('mmap_size = 0') // a failing disk must be an error code, not a SIGBUS
    db.pragma(`cache_size = ${-Math.ceil(this.limits.cacheBytes / 1024)}`)
    const wasMigrated = migrate(db)
    db.pragma('journal_mode = WAL')
    db.pragma('wal_autocheckpoint = 0')
    db.pragma(`journal_size_limit = ${this.limits.walBytesMax}`)
    if (Number.isFinite(this.limits.fileBytesMax)) {
      db.pragma(`max_page_count = ${Math.ceil(this.limits.fileBytesMax / PAGE_SIZE)}`)
    }
    // The header must tell the truth about the version, for it is what an older Leveret looks at.
    if (wasMigrated) db.pragma('wal_checkpoint(TRUNCATE)')
    this.sql = prepareStatements(db)
    const sum = this.tables?.sum ?? 0
    this.tables = new DefinitionTables(db)
    this.tables.sum = sum
  }

  /** Opens the connection that writes, and durably notes that the file is in use. */
  private takeOver(): Opened {
    const entries = this.look?.entries
    this.look?.close()
    this.look = null
    writeAgain(`${this.place.databasePath}-wal`) // the life before may have ended with a failing disk
    this.connect()
    const opened = this.found ?? readOpened(this.db, this.place.databasePath)
    this.found = null
    this.lastPosition = opened.lastPosition
    this.nextQueueId = opened.nextQueueId
    this.tables.sum = sumOf(opened.definitions)
    const identity = opened.identity || randomUUID()
    this.transact(() => {
      if (identity !== opened.identity) this.sql.setMeta.run('identity', identity)
      if (opened.cleanShutdown) this.sql.setMeta.run('clean_shutdown', 0)
      this.sql.setMeta.run('definitions_sum', this.tables.sum)
    })
    this.upkeep = new SqliteUpkeep(this.db, this.limits, entries ?? (this.sql.count.get() as [number])[0])
    return { ...opened, identity }
  }

  private letGo(): void {
    const isUnchanged = this.look !== null
    try {
      if (this.look !== null) this.look.close()
      else this.db?.close()
    } finally {
      this.place.release(isUnchanged)
    }
  }

  // -- failures -------------------------------------------------------------------------------------------------------

  private transact(work: () => void): void {
    this.guarded(() => {
      try {
        this.sql.begin.run()
        work()
        this.sql.commit.run()
      } catch (error) {
        this.rollback()
        throw error
      }
    })
  }

  private rollback(): void {
    try {
      if (this.db.inTransaction) this.sql.rollback.run()
    } catch {
      this.isSuspect = true
    }
  }

  /** `position`: of the entry that is read. A damaged one says nothing against the connection. */
  private guarded<T>(work: () => T, position?: LogPosition): T {
    try {
      return work()
    } catch (error) {
      if (position !== undefined && isDamage(error)) {
        throw this.corrupt(position, `cannot be read: ${(error as Error).message}`)
      }
      this.noteFailure(error)
      throw toStorageError(error)
    }
  }

  private noteFailure(error: unknown): void {
    if (/^SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY|NOMEM)/.test(codeOf(error))) this.isSuspect = true
  }

  /** After an I/O error nothing that this connection holds is trusted. But the log file may contain the failed commit's
   *  pages, whole and with valid checksums, behind the last good commit: a new connection would take them for
   *  committed. The old one knows better, so it first moves what was committed into the database file and empties the log: which must
   *  be on disk as a whole before, and may not be, since deletions are not synced. While that fails the disk is still broken, and the
   *  old connection stays. */
  private reconnect(): void {
    if (this.db.open) {
      this.rollback()
      writeAgain(`${this.place.databasePath}-wal`)
      this.db.pragma('wal_checkpoint(TRUNCATE)')
      this.db.close()
    }
    this.connect()
    this.upkeep.use(this.db)
    this.isSuspect = false
  }

  /** For a broker that runs. */
  private corrupt(position: LogPosition, what: string): StorageError {
    const file = this.place.databasePath
    return new StorageError(
      'corrupt',
      `log entry ${position} in ${file} ${what}. Stop the broker, then ${salvageAdvice(file)}`,
    )
  }

  /** For one that starts. */
  private damagedEntry(position: LogPosition, what: string): StartupError {
    return damaged(this.place.databasePath, `log entry ${position}: ${what}`)
  }

  private refuse(error: unknown): Error {
    this.letGo()
    this.look = null
    return this.toStartupError(error)
  }

  private toStartupError(error: unknown): Error {
    if (error instanceof StartupError) return error
    const { databasePath } = this.place
    const message = (error as Error).message
    if (codeOf(error) === 'SQLITE_BUSY') return lockedError(path.resolve(this.directory))
    // SQLITE_ERROR: a table is not there; SyntaxError: what should be JSON is not.
    if (isDamage(error) || codeOf(error) === 'SQLITE_ERROR' || error instanceof SyntaxError) {
      const where = locateDamage(databasePath)
      return damaged(databasePath, where === null ? message : `${message}; ${where}`)
    }
    return new StartupError(
      'unusable',
      `cannot open ${databasePath}: ${message}. Check the disk (space, permissions, health) and start again.`,
    )
  }
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? ''
const isDamage = (error: unknown): boolean => /^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ)/.test(codeOf(error))

function toGroup(rows: readonly ReplayRow[]): ReplayGroup {
  const recordsEnds = new Float64Array(rows.length)
  let end = 0
  for (const [i, row] of rows.entries()) recordsEnds[i] = end += row[2].length
  const records = new Uint8Array(end)
  for (const [i, row] of rows.entries()) records.set(row[2], recordsEnds[i] - row[2].length)
  return {
    positions: Float64Array.from(rows, (row) => row[0]),
    payloadLengths: Float64Array.from(rows, (row) => row[3]),
    records,
    recordsEnds,
  }
}

function toStorageError(error: unknown): StorageError | StartupError {
  if (error instanceof StorageError || error instanceof StartupError) return error
  const code = codeOf(error)
  const message = `${(error as Error).message}${code === '' ? '' : ` (${code})`}`
  if (code === 'SQLITE_FULL') return new StorageError('full', `no room for the log: ${message}`)
  if (isDamage(error)) return new StorageError('corrupt', `the log is damaged: ${message}`)
  if (code === 'SQLITE_TOOBIG') return new StorageError('too-large', message)
  return new StorageError('unavailable', `the log cannot be used: ${message}`)
}

function prepareStatements(db: Database.Database) {
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    insert: db.prepare('INSERT INTO entry (id, records_crc, payload_crc, records, payload) VALUES (?, ?, ?, ?, ?)'),
    read: db.prepare('SELECT id, records_crc, payload_crc, records, payload FROM entry WHERE id = ?').raw(),
    replay: db.prepare('SELECT id, records_crc, records, length(payload) FROM entry WHERE id > ? ORDER BY id').raw(),
    count: db.prepare('SELECT count(*) FROM entry').raw(),
    setMeta: db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
  }
}
