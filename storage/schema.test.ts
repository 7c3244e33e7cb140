// Older databases come forward, newer ones are left alone, all steps or none.
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import { DatabaseLook } from './database-look'
import { APPLICATION_ID, MIGRATIONS, migrate, PAGE_SIZE, SCHEMA_VERSION } from './schema'
import { SqliteBackend } from './sqlite-backend'

describe('migrate', () => {
  const versionOf = (db: Database.Database) => db.pragma('user_version', { simple: true })

  it('makes a new file ours and up to date, and then leaves it alone', () => {
    const db = new Database(':memory:')
    expect(migrate(db)).toBe(true)
    expect(versionOf(db)).toBe(SCHEMA_VERSION)
    expect(db.pragma('application_id', { simple: true })).toBe(APPLICATION_ID)
    expect(migrate(db)).toBe(false)
  })

  it('brings an older file forward, data kept', () => {
    const db = new Database(':memory:')
    migrate(db)
    db.exec(`INSERT INTO parameter VALUES ('c', 'n', '', '1')`)
    migrate(db, [...MIGRATIONS, `ALTER TABLE parameter ADD COLUMN note TEXT NOT NULL DEFAULT 'none'`])
    expect(versionOf(db)).toBe(SCHEMA_VERSION + 1)
    expect(db.prepare('SELECT note FROM parameter').pluck().all()).toEqual(['none'])
  })

  it('does all steps or none', () => {
    const db = new Database(':memory:')
    migrate(db)
    expect(() => migrate(db, [...MIGRATIONS, 'CREATE TABLE extra (x)', 'CREATE TABLE extra (x)'])).toThrow()
    expect(versionOf(db)).toBe(SCHEMA_VERSION)
    expect(db.prepare(`SELECT count(*) FROM sqlite_schema WHERE name = 'extra'`).pluck().get()).toBe(0)
  })
})

describe('a data directory', () => {
  let directory: string
  let file: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'leveret-schema-'))
    file = join(directory, 'leveret.db')
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  /** As the version with so many migrations left it. */
  function make(version: number): void {
    const db = new Database(file)
    db.pragma(`page_size = ${PAGE_SIZE}`)
    db.pragma('auto_vacuum = INCREMENTAL')
    migrate(db, MIGRATIONS.slice(0, version))
    db.pragma('journal_mode = WAL')
    if (version > 0) db.exec(`INSERT INTO parameter (component, name, vhost, value) VALUES ('c', 'n', '', '1')`)
    db.close()
  }
  const hash = () => createHash('sha256').update(readFileSync(file)).digest('hex')

  async function open(): Promise<unknown> {
    const backend = new SqliteBackend(directory)
    const { definitions } = await backend.open()
    await backend.close(true)
    return definitions.parameter
  }

  it.each(MIGRATIONS.map((_, i) => i + 1))('of version %i is opened and brought up to date', async (version) => {
    make(version)
    expect(await open()).toEqual([{ component: 'c', name: 'n', vhost: '', value: '1' }])
    expect(readFileSync(file).readUInt32BE(60)).toBe(SCHEMA_VERSION)
  })

  it('of no version, or a later one, is refused and left as it is', async () => {
    make(SCHEMA_VERSION)
    for (const [version, reason] of [
      [0, 'damaged'],
      [SCHEMA_VERSION + 1, 'newer'],
    ]) {
      const db = new Database(file)
      db.pragma(`user_version = ${version}`)
      db.close()
      const before = hash()
      await expect(open()).rejects.toMatchObject({ reason })
      expect([hash(), readdirSync(directory)]).toEqual([before, ['leveret.db']])
    }
  })

  it('is not migrated while it is damaged', () => {
    make(SCHEMA_VERSION)
    const db = new Database(file)
    db.pragma('user_version = 0') // older than this program: to be migrated
    const root = db.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'queue'`).pluck().get() as number
    db.close()
    const look = new DatabaseLook(file, 65536)
    expect(look.needsMigration()).toBe(true)
    look.close()
    const bytes = readFileSync(file)
    bytes.fill(0xff, (root - 1) * PAGE_SIZE, root * PAGE_SIZE)
    writeFileSync(file, bytes)
    const again = new DatabaseLook(file, 65536)
    expect(() => again.needsMigration()).toThrow(/is damaged: .*leveret salvage --data/s)
    again.close()
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })
})
