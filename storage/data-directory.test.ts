// What open() refuses, and that a refusal changes nothing on disk.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import { RecordWriter } from './batch-codec'
import type { DefinitionChange } from './definitions'
import { readDirectory } from './faults/sample-directory'
import { StartupError } from './log-backend'
import { SCHEMA_VERSION } from './schema'
import { SqliteBackend } from './sqlite-backend'

let directory: string
let file: string

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-directory-'))
  file = path.join(directory, 'leveret.db')
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

const hashOf = (name: string): string => createHash('sha256').update(fs.readFileSync(name)).digest('hex')

/** Every file with its content and time. */
const snapshot = () =>
  fs.readdirSync(directory).map((name) => {
    const full = path.join(directory, name)
    return [name, fs.statSync(full).mtimeMs, hashOf(full)]
  })

async function refusal(where = directory): Promise<StartupError> {
  const error = await new SqliteBackend(where).open().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(StartupError)
  return error as StartupError
}

async function expectRefused(reason: StartupError['reason'], words: RegExp): Promise<void> {
  const before = snapshot()
  const error = await refusal()
  expect(error.reason).toBe(reason)
  expect(error.message).toMatch(words)
  expect(snapshot()).toEqual(before)
}

async function makeLog(): Promise<void> {
  const backend = new SqliteBackend(directory)
  await backend.open()
  const entry = () => ({ records: new RecordWriter().finish(), payload: new Uint8Array(100_000) })
  const vhost = { name: '/', description: '', tags: [], defaultQueueType: '', protectedFromDeletion: false }
  const user = { name: 'u', passwordHash: 'h', hashingAlgorithm: 'a', tags: [] }
  const definitions: DefinitionChange[] = [
    { op: 'put', kind: 'vhost', record: vhost },
    { op: 'put', kind: 'user', record: user },
  ]
  await backend.commit({ definitions, entries: [entry(), entry()] })
  await backend.close(true)
}

describe('a data directory', () => {
  it('is made where there is none, parents too', async () => {
    const deep = path.join(directory, 'a', 'b', 'c')
    const backend = new SqliteBackend(deep)
    await backend.open()
    await backend.close(true)
    expect(fs.existsSync(path.join(deep, 'leveret.db'))).toBe(true)
  })

  it('is refused when it is a file', async () => {
    fs.writeFileSync(path.join(directory, 'plain'), 'x')
    expect((await refusal(path.join(directory, 'plain'))).message).toMatch(/cannot use .*plain/)
  })

  // root may read and write everything
  const unlessRoot = process.getuid?.() === 0 ? it.skip : it
  unlessRoot('is refused when it may not be written', async () => {
    fs.chmodSync(directory, 0o500)
    expect((await refusal()).message).toMatch(/permission denied.*may read and write it/)
    fs.chmodSync(directory, 0o700)
  })

  it.each([
    ['text', 'this is a text file, and not a short one, that somebody gave the wrong name'],
    ['a few bytes', 'x'],
  ])('is refused when leveret.db is %s', async (_, content) => {
    fs.writeFileSync(file, content)
    await expectRefused('foreign', /not a SQLite database.*Nothing was changed/)
  })

  it('is refused when leveret.db is a directory', async () => {
    fs.mkdirSync(file)
    const error = await refusal()
    expect([error.reason, fs.readdirSync(directory)]).toEqual(['unusable', ['leveret.db']])
  })

  it('is refused when the database is of another program', async () => {
    new Database(file).exec('CREATE TABLE t (x)').close()
    await expectRefused('foreign', /another program/)
  })

  it('is refused when a newer version wrote it', async () => {
    await makeLog()
    const db = new Database(file)
    db.pragma(`user_version = ${SCHEMA_VERSION + 1}`)
    db.close()
    await expectRefused('newer', new RegExp(`version ${SCHEMA_VERSION + 1}.*newer`))
  })

  it('is refused when the file ends early', async () => {
    await makeLog()
    fs.truncateSync(file, fs.statSync(file).size - 5000)
    await expectRefused(
      'damaged',
      /ends at byte \d+ and should have \d+ bytes.*backup.*leveret salvage --data \S+ --to \S+-salvaged/,
    )
    fs.truncateSync(file, 50)
    await expectRefused('damaged', /header/)
  })

  it.each([
    ['the text encoding in the header', 56, 2, /at byte 56 the text encoding is 2/],
    ['the table of tables', 100, 0, /page 1, at byte 0 of .*leveret\.db, is missing, damaged/],
  ])('is refused when %s is damaged', async (_, at, value, words) => {
    await makeLog()
    const bytes = fs.readFileSync(file)
    if (at === 56) bytes.writeUInt32BE(value, at)
    else bytes[at] = value
    fs.writeFileSync(file, bytes)
    await expectRefused('damaged', words)
    await expectRefused('damaged', /leveret salvage --data/)
  })

  it.each([
    [`UPDATE user SET password_hash = 'i'`, /definitions .* fail their checksum/],
    [`DELETE FROM vhost`, /definitions .* fail their checksum/],
    [`UPDATE vhost SET tags = '['`, /is damaged: .*JSON/],
    [`DELETE FROM meta WHERE key = 'identity'`, /table meta has lost a row/],
    [
      `UPDATE meta SET key = 'clean_shutdowo' WHERE key = 'clean_shutdown'`,
      /"clean_shutdowo", which was never written/,
    ],
    [`DELETE FROM entry WHERE id = 2`, /was left with entries 1 2 2 .*, and has 1 1 1/],
    ['DROP TABLE queue', /is damaged: no such table/],
  ])('is refused after %s', async (sql, words) => {
    await makeLog()
    const db = new Database(file)
    db.exec(sql)
    db.close()
    fs.rmSync(path.join(directory, 'leveret.lock'))
    await expectRefused('damaged', words)
  })

  it('is left alone by a start whose replay fails, a crash before it or not', async () => {
    await makeLog()
    const db = new Database(file)
    db.exec(`UPDATE entry SET records_crc = 7 WHERE id = 2`)
    db.close()
    const crashed = new SqliteBackend(directory)
    await crashed.open()
    await crashed.begin()
    const copy = path.join(directory, 'copy')
    fs.mkdirSync(copy)
    for (const name of ['leveret.db', 'leveret.db-wal'])
      fs.copyFileSync(path.join(directory, name), path.join(copy, name))
    await crashed.close(false)
    for (const where of [directory, copy]) {
      const names = fs.readdirSync(where).filter((name) => name !== 'copy')
      const before = names.map((name) => hashOf(path.join(where, name)))
      for (let i = 0; i < 2; i++) {
        await expect(readDirectory(where)).rejects.toMatchObject({
          name: 'StartupError',
          message: expect.stringMatching(/leveret\.db is damaged: log entry 2: fails its checksum.*leveret salvage/),
        })
      }
      expect(fs.readdirSync(where).filter((name) => name !== 'copy')).toEqual(names)
      expect(names.map((name) => hashOf(path.join(where, name)))).toEqual(before)
    }
  })

  it('is refused when only the write-ahead log is left', async () => {
    fs.writeFileSync(`${file}-wal`, 'committed messages')
    await expectRefused('damaged', /missing or empty/)
  })

  it('is refused while a broker in this process has it, who keeps it', async () => {
    const first = new SqliteBackend(directory)
    await first.open()
    for (let i = 0; i < 2; i++) {
      expect(await refusal()).toMatchObject({ reason: 'locked', message: expect.stringMatching(/in use by another/) })
    }
    expect(inOtherProcess()).toBe('locked')
    await first.close(true)
    expect(inOtherProcess()).toBe('opened')
  })

  it('is refused though somebody deleted the lock file', async () => {
    const first = new SqliteBackend(directory)
    await first.open()
    fs.rmSync(path.join(directory, 'leveret.lock'))
    expect(inOtherProcess()).toBe('locked')
    await first.close(true)
  })
})

/** What a broker in a process of its own makes of the directory. */
function inOtherProcess(): string {
  const program = `
    const { SqliteBackend } = require(${JSON.stringify(path.join(__dirname, 'sqlite-backend.js'))})
    const backend = new SqliteBackend(${JSON.stringify(directory)})
    backend.open().then(() => backend.close(false).then(() => 'opened'), (error) => error.reason).then((s) => process.stdout.write(s))`
  return execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' })
}
