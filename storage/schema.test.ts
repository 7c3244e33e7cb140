import { describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import { APPLICATION_ID, MIGRATIONS, migrate, SCHEMA_VERSION } from './schema'

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
