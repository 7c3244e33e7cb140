// The first look at leveret.db, on a connection that cannot write: what is defined, where the log stands, whether it all
// agrees with what was noted of it. So a start that is refused, now or in the replay that follows, has changed nothing.
// Opened by sqlite-log, which replays the log over it and then opens a connection that can write.
import * as fs from 'node:fs'
import Database from 'better-sqlite3'
import { damaged } from './data-directory'
import { DefinitionTables } from './definition-tables'
import type { Opened } from './log-backend'
import { DamagedDatabase } from './salvage/damaged-database'
import { PageFile, PageKind } from './salvage/page-file'
import { SCHEMA_VERSION } from './schema'

/** Everything that table meta may hold. */
export interface Meta {
  identity?: string
  clean_shutdown?: number
  last_position?: number
  next_queue_id?: number
  definitions_sum?: number
  /** As a clean stop left it: first and last position, and how many entries. */
  log_at_stop?: string
}

const TYPES: Record<keyof Meta, string> = {
  identity: 'string',
  clean_shutdown: 'number',
  last_position: 'number',
  next_queue_id: 'number',
  definitions_sum: 'number',
  log_at_stop: 'string',
}

export class DatabaseLook {
  readonly db: Database.Database
  /** In the log; null before read(). */
  entries: number | null = null
  /** SQLite makes these even to read. */
  private readonly made: string[]

  constructor(
    private readonly path: string,
    private readonly cacheBytes: number,
  ) {
    this.made = [`${path}-shm`, `${path}-wal`].filter((file) => !fs.existsSync(file))
    this.db = new Database(path, { readonly: true, timeout: 0 }) // reads nothing yet
  }

  /** An older file is changed before it can be read: only one without any damage. Throws StartupError. */
  needsMigration(): boolean {
    this.db.pragma('mmap_size = 0')
    this.db.pragma(`cache_size = ${-Math.ceil(this.cacheBytes / 1024)}`)
    if (this.db.pragma('user_version', { simple: true }) === SCHEMA_VERSION) return false
    const found = this.db.pragma('quick_check(1)', { simple: true }) as string
    if (found !== 'ok') throw damaged(this.path, found)
    return true
  }

  /** After a crash the file may be shorter than the database: then the rest must be in the write-ahead log, but for pages
   *  that nothing uses. */
  private checkLength(): void {
    const pages = this.db.pragma('page_count', { simple: true }) as number
    const pageSize = this.db.pragma('page_size', { simple: true }) as number
    const { size } = fs.statSync(this.path)
    if (size >= pages * pageSize) return
    const file = new PageFile(this.path)
    try {
      for (let page = Math.floor(size / pageSize) + 1; page <= pages; page++) {
        if (file.isInWal(page) || file.kindOf(page) === PageKind.FREE) continue
        throw damaged(this.path, `the file ends at byte ${size}, and ${file.whereIs(page)}, is missing`)
      }
    } finally {
      file.close()
    }
  }

  /** Throws StartupError, or SQLite's error, for what does not hold together. */
  read(): Opened {
    const opened = readOpened(this.db, this.path)
    this.checkLength()
    const meta = readMeta(this.db, this.path)
    const noted = meta.clean_shutdown === 1 ? meta.log_at_stop : undefined
    const found = logBounds(this.db)
    this.entries = Number(found.split(' ')[2])
    if (noted !== undefined && noted !== found) {
      throw damaged(this.path, `the log was left with entries ${noted} (first, last, how many), and has ${found}`)
    }
    return opened
  }

  /** Leaves the directory as it was. */
  close(): void {
    this.db.close()
    for (const file of this.made) fs.rmSync(file, { force: true })
  }
}

/** What a start finds, whichever connection asks. */
export function readOpened(db: Database.Database, path: string): Opened {
  const meta = readMeta(db, path)
  const lastEntry = (db.prepare('SELECT max(id) FROM entry').pluck().get() as number | null) ?? 0
  const tables = new DefinitionTables(db)
  const definitions = tables.readAll()
  if (meta.definitions_sum !== undefined && meta.definitions_sum !== tables.sum) {
    throw damaged(path, 'the definitions (tables vhost to policy) fail their checksum')
  }
  return {
    identity: meta.identity ?? '',
    definitions,
    lastPosition: Math.max(lastEntry, meta.last_position ?? 0),
    nextQueueId: meta.next_queue_id ?? 1,
    cleanShutdown: meta.clean_shutdown !== 0,
  }
}

function readMeta(db: Database.Database, path: string): Meta {
  const rows = db.prepare('SELECT key, value FROM meta').raw().all() as [string, unknown][]
  for (const [key, value] of rows) {
    if (TYPES[key as keyof Meta] === typeof value) continue
    throw damaged(path, `table meta holds ${JSON.stringify(String(key))}, which was never written there`)
  }
  const meta = Object.fromEntries(rows) as Meta
  // The two are written together when a new file is first opened.
  if ((meta.identity === undefined) !== (meta.clean_shutdown === undefined)) {
    throw damaged(path, 'table meta has lost a row')
  }
  return meta
}

export function logBounds(db: Database.Database): string {
  const [first, last, count] = db.prepare('SELECT min(id), max(id), count(*) FROM entry').raw().get() as number[]
  return `${first ?? 0} ${last ?? 0} ${count}`
}

/** Where SQLite only says that something is wrong. Never while a connection is to go on: closing a file drops its locks. */
export function locateDamage(path: string): string | null {
  try {
    const database = new DamagedDatabase(path)
    try {
      database.survey()
      return database.damage[0] ?? null
    } finally {
      database.close()
    }
  } catch {
    return null
  }
}
