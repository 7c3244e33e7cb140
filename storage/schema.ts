// The tables of leveret.db and how an older file becomes the present one. The header of the file says whose it is
// (application_id) and how old (user_version = number of migrations applied). Called by sqlite-log; data-directory reads the same two numbers from the raw header before SQLite may touch the file.
import type { Database } from 'better-sqlite3'

/** "LVRT" in the header of every file of ours. */
export const APPLICATION_ID = 0x4c565254

/** Bytes. Measured in README.md; fixed for the life of a file. */
export const PAGE_SIZE = 8192

// Definitions hold no foreign keys: a change that breaks one would fail the commit, and the messages in it, for good.
// What must go along with a vhost or user is deleted by definition-tables. In `entry` the payload comes last, so that
// reading `records` does not walk the payload's overflow pages.
const VERSION_1 = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE vhost (
  name TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,                      -- JSON array
  default_queue_type TEXT NOT NULL,
  protected_from_deletion INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
  name TEXT PRIMARY KEY,
  password_hash TEXT NOT NULL,
  hashing_algorithm TEXT NOT NULL,
  tags TEXT NOT NULL                       -- JSON array
) STRICT, WITHOUT ROWID;

CREATE TABLE permission (
  user TEXT NOT NULL,
  vhost TEXT NOT NULL,
  configure TEXT NOT NULL,
  write TEXT NOT NULL,
  read TEXT NOT NULL,
  PRIMARY KEY (vhost, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE exchange (
  vhost TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  durable INTEGER NOT NULL,
  auto_delete INTEGER NOT NULL,
  internal INTEGER NOT NULL,
  arguments TEXT NOT NULL,                 -- JSON
  PRIMARY KEY (vhost, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
  id INTEGER PRIMARY KEY,                  -- how the log names it
  vhost TEXT NOT NULL,
  name TEXT NOT NULL,
  durable INTEGER NOT NULL,
  auto_delete INTEGER NOT NULL,
  arguments TEXT NOT NULL                  -- JSON
) STRICT;

CREATE TABLE binding (
  vhost TEXT NOT NULL,
  source TEXT NOT NULL,
  destination TEXT NOT NULL,
  destination_type TEXT NOT NULL,          -- 'queue' or 'exchange'
  routing_key TEXT NOT NULL,
  arguments TEXT NOT NULL,                 -- JSON
  PRIMARY KEY (vhost, source, destination_type, destination, routing_key, arguments)
) STRICT, WITHOUT ROWID;

CREATE TABLE parameter (
  component TEXT NOT NULL,
  name TEXT NOT NULL,
  vhost TEXT NOT NULL,                     -- '' for global parameters
  value TEXT NOT NULL,                     -- JSON
  PRIMARY KEY (vhost, component, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy (
  vhost TEXT NOT NULL,
  name TEXT NOT NULL,
  pattern TEXT NOT NULL,
  apply_to TEXT NOT NULL,
  priority INTEGER NOT NULL,
  definition TEXT NOT NULL,                -- JSON
  PRIMARY KEY (vhost, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
  id INTEGER PRIMARY KEY,                  -- the log position
  records_crc INTEGER NOT NULL,
  payload_crc INTEGER NOT NULL,
  records BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
`

/** Entry i turns version i into version i + 1. Never edit one that was released: add another. */
export const MIGRATIONS: readonly string[] = [VERSION_1]

export const SCHEMA_VERSION = MIGRATIONS.length

/** Brings the file up to date, all steps or none. Returns whether there was anything to do. */
export function migrate(db: Database, migrations: readonly string[] = MIGRATIONS): boolean {
  const version = db.pragma('user_version', { simple: true }) as number
  if (version === migrations.length) return false
  db.transaction(() => {
    for (const migration of migrations.slice(version)) db.exec(migration)
    db.pragma(`application_id = ${APPLICATION_ID}`)
    db.pragma(`user_version = ${migrations.length}`)
  }).immediate()
  return true
}
