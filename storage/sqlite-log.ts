// leveret.db, synchronously: opening, commits, replay, reads, and what to do when the disk fails. Lives on the storage
// worker (sqlite-worker), which calls it one request at a time; sqlite-upkeep does the deferred work on the same connection.
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import Database from 'better-sqlite3'
import { crc32 } from './crc'
import { claimDataDirectory, type DataDirectory, damaged, lockedError } from './data-directory'
import { DefinitionTables } from './definition-tables'
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

/** Stored bytes in one group of a replay; a single larger row travels alone. */
const REPLAY_GROUP_BYTES = 1024 * 1024

type EntryRow = [id: number, recordsCrc: number, payloadCrc: number, records: Buffer, payload: Buffer]
type ReplayRow = [id: number, recordsCrc: number, records: Buffer, payloadLength: number]

export class SqliteLog {
  private place!: DataDirectory
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
    try {
      if (this.place.isNew) createDatabase(this.place.databasePath)
      this.connect()
      return this.takeOver()
    } catch (error) {
      this.letGo()
      throw this.toStartupError(error)
    }
  }

  /** Position of the first entry, or the last position when there is none. */
  commit(unit: CommitUnit): LogPosition {
    checkSizes(unit)
    this.guarded(() => {
      if (this.isSuspect) this.reconnect()
      if (this.upkeep.walBytes() > this.limits.walBytesMax) this.upkeep.checkpoint()
    })
    const first = this.lastPosition + 1
    let nextQueueId = this.nextQueueId
    this.transact(() => {
      for (const change of unit.definitions) {
        this.tables.apply(change)
        if (change.kind === 'queue' && change.op === 'put') nextQueueId = Math.max(nextQueueId, change.record.id + 1)
      }
      if (nextQueueId !== this.nextQueueId) this.sql.setMeta.run('next_queue_id', nextQueueId)
      unit.entries.forEach(({ records, payload }, i) => {
        this.sql.insert.run(first + i, crc32(records), crc32(payload), records, payload)
      })
    })
    this.nextQueueId = nextQueueId
    this.lastPosition += unit.entries.length
    this.upkeep.onCommitted(unit.entries.length)
    return unit.entries.length > 0 ? first : this.lastPosition
  }

  /** The next rows after `after`, about REPLAY_GROUP_BYTES of records; none means the end. */
  replayGroup(after: LogPosition): ReplayGroup {
    return this.guarded(() => {
      const rows: ReplayRow[] = []
      let bytes = 0
      for (const row of this.sql.replay.iterate(after) as IterableIterator<ReplayRow>) {
        if (crc32(row[2]) !== row[1]) throw this.checksumError(row[0])
        rows.push(row)
        bytes += row[2].length
        if (bytes >= REPLAY_GROUP_BYTES) break
      }
      return {
        positions: Float64Array.from(rows, (row) => row[0]),
        payloadLengths: Float64Array.from(rows, (row) => row[3]),
        records: rows.map((row) => row[2]),
      }
    })
  }

  read(position: LogPosition): LogEntry {
    return this.guarded(() => {
      const row = this.sql.read.get(position) as EntryRow | undefined
      if (row === undefined) throw new StorageError('missing', `there is no log entry ${position}`)
      const [, recordsCrc, payloadCrc, records, payload] = row
      if (crc32(records) !== recordsCrc || crc32(payload) !== payloadCrc) throw this.checksumError(position)
      return { records, payload }
    })
  }

  trim(before: LogPosition): void {
    // Now, not when it is done: what is committed in between is not meant.
    this.upkeep.trim(Math.min(before, this.lastPosition + 1))
  }

  remove(positions: readonly LogPosition[]): void {
    this.upkeep.remove(positions.filter((position) => position <= this.lastPosition))
  }

  /** One slice of deferred work. False: nothing more to do until the next call from outside, or the next idle spell. */
  housekeep(isIdle: boolean): boolean {
    try {
      return !this.isSuspect && this.upkeep.slice(isIdle, this.lastPosition)
    } catch (error) {
      this.noteFailure(error)
      return false // full or failing; commits will say so, and each idle spell tries again
    }
  }

  stats(): StorageStats {
    return this.guarded(() => {
      const disk = fs.statfsSync(this.directory)
      return {
        fileBytes: fs.statSync(this.place.databasePath).size,
        walBytes: fs.statSync(`${this.place.databasePath}-wal`, { throwIfNoEntry: false })?.size ?? 0,
        entries: this.upkeep.entries,
        freeBytes: disk.bavail * disk.bsize,
      }
    })
  }

  close(clean: boolean): void {
    try {
      this.guarded(() => {
        if (this.isSuspect) this.reconnect()
        if (!clean) return
        this.upkeep.finish(this.lastPosition)
        this.transact(() => this.sql.setMeta.run('clean_shutdown', 1))
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
    this.tables = new DefinitionTables(db)
  }

  /** Reads what is there, and durably notes that it is in use. */
  private takeOver(): Opened {
    const meta = new Map(this.sql.getMeta.all() as [string, string | number][])
    const lastEntry = (this.sql.lastPosition.get() as [number | null])[0] ?? 0
    this.lastPosition = Math.max(lastEntry, Number(meta.get('last_position') ?? 0))
    this.nextQueueId = Number(meta.get('next_queue_id') ?? 1)
    const identity = String(meta.get('identity') ?? randomUUID())
    const cleanShutdown = meta.get('clean_shutdown') !== 0
    this.transact(() => {
      if (!meta.has('identity')) this.sql.setMeta.run('identity', identity)
      if (cleanShutdown) this.sql.setMeta.run('clean_shutdown', 0)
    })
    const entries = (this.sql.count.get() as [number])[0]
    this.upkeep = new SqliteUpkeep(this.db, this.limits, entries)
    const definitions = this.tables.readAll()
    return { identity, definitions, lastPosition: this.lastPosition, nextQueueId: this.nextQueueId, cleanShutdown }
  }

  private letGo(): void {
    try {
      this.db?.close()
    } finally {
      this.place.release()
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

  private guarded<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.noteFailure(error)
      throw toStorageError(error)
    }
  }

  private noteFailure(error: unknown): void {
    if (/^SQLITE_(IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY|NOMEM)/.test(codeOf(error))) this.isSuspect = true
  }

  /** After an I/O error nothing that this connection holds is trusted. But the log file may contain the failed commit's
   *  pages, whole and with valid checksums, behind the last good commit: a new connection would take them for
   *  committed. The old one knows better, so it first moves what was committed into the database file and empties the log. While that
   *  fails the disk is still broken, and the old connection stays. */
  private reconnect(): void {
    if (this.db.open) {
      this.rollback()
      this.db.pragma('wal_checkpoint(TRUNCATE)')
      this.db.close()
    }
    this.connect()
    this.upkeep.use(this.db)
    this.isSuspect = false
  }

  private checksumError(position: LogPosition): StorageError {
    return new StorageError('corrupt', `log entry ${position} in ${this.place.databasePath} fails its checksum`)
  }

  private toStartupError(error: unknown): Error {
    const code = codeOf(error)
    if (error instanceof StartupError) return error
    const message = (error as Error).message
    if (code === 'SQLITE_BUSY') return lockedError(path.resolve(this.directory))
    if (/^SQLITE_(CORRUPT|NOTADB|ERROR)/.test(code)) return damaged(this.place.databasePath, message)
    return new StartupError(
      'unusable',
      `cannot open ${this.place.databasePath}: ${message}. Check the disk (space, permissions, health) and start again.`,
    )
  }
}

const codeOf = (error: unknown): string => String((error as { code?: unknown }).code ?? '')

function toStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error
  const code = codeOf(error)
  const message = `${(error as Error).message}${code === '' ? '' : ` (${code})`}`
  if (code === 'SQLITE_FULL') return new StorageError('full', `no room for the log: ${message}`)
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return new StorageError('corrupt', `the log is damaged: ${message}`)
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
    lastPosition: db.prepare('SELECT max(id) FROM entry').raw(),
    getMeta: db.prepare('SELECT key, value FROM meta').raw(),
    setMeta: db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
  }
}
