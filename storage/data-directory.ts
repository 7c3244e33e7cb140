// Decides whether a directory can be ours before SQLite opens anything in it, and holds it against other brokers. Every
// refusal leaves the disk as it was. Called by sqlite-log on the storage worker.
import * as fs from 'node:fs'
import * as path from 'node:path'
import Database from 'better-sqlite3'
import { StartupError } from './log-backend'
import { APPLICATION_ID, SCHEMA_VERSION } from './schema'

export const DATABASE_FILE = 'leveret.db'
const LOCK_FILE = 'leveret.lock'

export interface DataDirectory {
  databasePath: string
  isNew: boolean // no database there yet
  /** Lets another broker have it. Call after the database was closed. `undo`: nothing was changed, and no trace is left. */
  release(undo?: boolean): void
}

/** Takes the directory for this process, or throws StartupError. */
export function claimDataDirectory(directory: string): DataDirectory {
  ensureUsable(directory)
  const databasePath = path.join(directory, DATABASE_FILE)
  const lockPath = path.join(directory, LOCK_FILE)
  // Without a lock file nobody can be running here, so what is not ours is refused before even that file appears in it.
  const isLockNew = !fs.existsSync(lockPath)
  if (isLockNew) inspectDatabase(databasePath)
  const lock = takeLock(lockPath)
  const release = (undo = false) => {
    if (undo && isLockNew) fs.rmSync(lockPath, { force: true })
    lock.close()
  }
  try {
    // Only now: closing a file drops all locks that this process holds on it (POSIX), so a second broker in one process
    // that read the header first would take the file lock away from the first broker.
    return { databasePath, isNew: inspectDatabase(databasePath) === 'new', release }
  } catch (error) {
    release(true)
    throw error
  }
}

function ensureUsable(directory: string): void {
  try {
    const made = makeDirectory(path.resolve(directory))
    if (made !== undefined) syncParents(path.resolve(directory), path.dirname(path.resolve(made)))
    if (!fs.statSync(directory).isDirectory()) throw new Error('it is not a directory')
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK)
  } catch (error) {
    throw unusable(directory, error)
  }
}

/** The first one made; undefined: it was there. */
function makeDirectory(directory: string): string | undefined {
  try {
    return fs.mkdirSync(directory, { recursive: true })
  } catch (error) {
    // Node says ENOENT for whatever stands in the way further up; the parent that is there knows better.
    let parent = path.dirname(directory)
    while (!fs.existsSync(parent)) parent = path.dirname(parent)
    fs.accessSync(parent, fs.constants.W_OK | fs.constants.X_OK)
    throw error
  }
}

/** The entries of new directories must survive a power cut too: syncs every parent of `directory` up to `top`. */
function syncParents(directory: string, top: string): void {
  const parent = path.dirname(directory)
  syncPath(parent)
  if (parent !== top && parent !== directory) syncParents(parent, top)
}

/** A file, or a directory's entries. */
export function syncPath(file: string): void {
  const descriptor = fs.openSync(file, 'r')
  try {
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Writes a file's own bytes into it again, and syncs them. A failed sync leaves pages that the kernel counts as written and no
 *  later sync touches: this makes them new. No file if there is none. */
export function writeAgain(file: string): void {
  if (sizeOf(file) === 0) return
  const descriptor = fs.openSync(file, 'r+')
  try {
    const bytes = Buffer.allocUnsafe(1024 * 1024)
    const read = (at: number) => fs.readSync(descriptor, bytes, 0, bytes.length, at)
    let at = 0
    for (let length = read(0); length > 0; length = read(at)) {
      fs.writeSync(descriptor, bytes, 0, length, at)
      at += length
    }
    fs.fsyncSync(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

const unusable = (what: string, error: unknown): StartupError =>
  new StartupError(
    'unusable',
    `cannot use ${what}: ${(error as Error).message}. ` +
      ((error as NodeJS.ErrnoException).code === 'EROFS'
        ? 'Mount it for writing, or name another data directory. A disk that failed may have been mounted so by the system: see its log.'
        : 'Make sure it exists and that the user running Leveret may read and write it, or name another data directory.'),
  )

/** An empty SQLite file whose lock we hold: the kernel drops it when the process dies, however it dies, so no stale lock
 *  can be left. Separate from the database so that it is held before anything there is read. */
function takeLock(lockPath: string): Database.Database {
  let lock: Database.Database | undefined
  try {
    lock = new Database(lockPath, { timeout: 0 })
    lock.pragma('journal_mode = MEMORY') // no file beside it; the transaction writes nothing
    lock.exec('BEGIN EXCLUSIVE')
    // SQLite falls back to reading a file that it may not write, and then its lock is a shared one.
    fs.accessSync(lockPath, fs.constants.R_OK | fs.constants.W_OK)
    return lock
  } catch (error) {
    lock?.close()
    if ((error as { code?: string }).code === 'SQLITE_BUSY') throw lockedError(path.dirname(lockPath))
    throw unusable(lockPath, error)
  }
}

export const lockedError = (directory: string): StartupError =>
  new StartupError(
    'locked',
    `${directory} is in use by another Leveret. Stop that one first, or start this one with a data directory of its own.`,
  )

/** Looks at the raw header, changing nothing. Throws StartupError for a file that must not be opened. */
function inspectDatabase(file: string): 'new' | 'ours' {
  const walBytes = sizeOf(`${file}-wal`)
  if (sizeOf(file) === 0) {
    if (walBytes === 0) return 'new'
    throw damaged(file, `the file is missing or empty while its write-ahead log ${file}-wal is not`)
  }
  const header = readHeader(file)
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') throw foreign(file, 'is not a SQLite database')
  if (header.length < 100) throw damaged(file, `the file ends within its header, at byte ${header.length}`)
  const journalBytes = sizeOf(`${file}-journal`)
  checkOwner(file, header, journalBytes)
  checkConstants(file, header)
  // With a log or journal beside it, a crash may have left the file shorter than its header says; SQLite mends that.
  if (walBytes === 0 && journalBytes === 0) checkLength(file, header)
  return 'ours'
}

function checkOwner(file: string, header: Buffer, journalBytes: number): void {
  const version = header.readUInt32BE(60)
  if (header.readUInt32BE(68) !== APPLICATION_ID) throw foreign(file, 'is a database of another program')
  if (version > SCHEMA_VERSION) {
    throw new StartupError(
      'newer',
      `${file} has format version ${version}, written by a newer Leveret; this one knows up to ${SCHEMA_VERSION}. ` +
        `Nothing was changed. Run that version or a later one, or name another data directory.`,
    )
  }
  if (version === 0 && journalBytes === 0) throw damaged(file, 'at byte 60 the format version is missing')
}

/** Header fields that never change in a file of ours, and that SQLite would believe: with another text encoding all text
 *  would read otherwise. */
function checkConstants(file: string, header: Buffer): void {
  const fields: [name: string, at: number, found: number, allowed: readonly number[]][] = [
    ['page size', 16, header.readUInt16BE(16), [1, 512, 1024, 2048, 4096, 8192, 16384, 32768]],
    ['write version', 18, header[18], [1, 2]],
    ['read version', 19, header[19], [1, 2]],
    ['space reserved in pages', 20, header[20], [0]],
    ['largest fraction of a payload', 21, header[21], [64]],
    ['smallest fraction of a payload', 22, header[22], [32]],
    ['leaf fraction', 23, header[23], [32]],
    ['schema format', 44, header.readUInt32BE(44), [4]],
    ['text encoding', 56, header.readUInt32BE(56), [1]],
  ]
  for (const [name, at, found, allowed] of fields) {
    if (!allowed.includes(found)) throw damaged(file, `at byte ${at} the ${name} is ${found}`)
  }
}

function checkLength(file: string, header: Buffer): void {
  const pageSize = header.readUInt16BE(16) === 1 ? 65536 : header.readUInt16BE(16)
  const expected = header.readUInt32BE(28) * pageSize
  const actual = sizeOf(file)
  if (actual < expected) throw damaged(file, `the file ends at byte ${actual} and should have ${expected} bytes`)
}

const foreign = (file: string, what: string): StartupError =>
  new StartupError(
    'foreign',
    `${file} ${what}, not one of Leveret. Nothing was changed. Move it away, or name another data directory. ` +
      `If it was one of Leveret: restore it from a backup, or ${salvageAdvice(file)}.`,
  )

export const damaged = (file: string, what: string): StartupError =>
  new StartupError(
    'damaged',
    `${file} is damaged: ${what}. Nothing was changed. Restore the data directory from a backup, or ${salvageAdvice(file)}.`,
  )

/** The command as it can be pasted. */
export function salvageAdvice(file: string): string {
  const directory = path.dirname(path.resolve(file))
  return `copy what is readable to a new one: leveret salvage --data ${quote(directory)} --to ${quote(`${directory}-salvaged`)}`
}

const quote = (text: string): string => (/^[\w./+@:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** 0 also when it is not there. */
function sizeOf(file: string): number {
  try {
    const stat = fs.statSync(file)
    if (!stat.isFile()) throw new Error('it is not a file')
    return stat.size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw unusable(file, error)
  }
}

function readHeader(file: string): Buffer {
  try {
    fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK)
    const descriptor = fs.openSync(file, 'r')
    try {
      const header = Buffer.alloc(100)
      return header.subarray(0, fs.readSync(descriptor, header, 0, 100, 0))
    } finally {
      fs.closeSync(descriptor)
    }
  } catch (error) {
    throw unusable(file, error)
  }
}
