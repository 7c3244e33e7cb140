// Makes leveret.db whole under another name, then gives it its own: whatever ends the process or the machine on the way, a
// start finds either no database or a complete one.
import * as fs from 'node:fs'
import * as path from 'node:path'
import Database from 'better-sqlite3'
import { syncPath } from './data-directory'
import { migrate, PAGE_SIZE } from './schema'

export function createDatabase(file: string): void {
  const draft = `${file}-new`
  for (const leftover of [draft, `${draft}-journal`, `${draft}-wal`, `${file}-journal`])
    fs.rmSync(leftover, { force: true })
  const db = new Database(draft)
  try {
    db.pragma(`page_size = ${PAGE_SIZE}`)
    db.pragma('auto_vacuum = INCREMENTAL')
    migrate(db)
    db.pragma('journal_mode = WAL')
  } finally {
    db.close()
  }
  syncPath(draft)
  fs.renameSync(draft, file)
  syncPath(path.dirname(file))
}
