// Salvage of directories damaged in known places: what is found, what is reported, and that the damaged one is left alone.
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import { fillDirectory, isWithin, QUEUES, readDirectory } from '../faults/sample-directory'
import { PAGE_SIZE } from '../schema'
import { SqliteBackend } from '../sqlite-backend'
import { type SalvageReport, salvage } from './salvage'

let place: string
let from: string
let to: string
let file: string

beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-salvage-'))
  from = path.join(place, 'damaged')
  to = path.join(place, 'salvaged')
  file = path.join(from, 'leveret.db')
})
afterEach(() => fs.rmSync(place, { recursive: true, force: true }))

const fallbackUser = { name: 'guest', passwordHash: 'x', hashingAlgorithm: 'y', tags: ['administrator'] }
const hashOf = (name: string): string => createHash('sha256').update(fs.readFileSync(name)).digest('hex')
const snapshot = () => fs.readdirSync(from).map((name) => [name, hashOf(path.join(from, name))])

async function run(): Promise<SalvageReport> {
  const before = snapshot()
  try {
    return await salvage({ from, to, fallbackUser })
  } finally {
    expect(snapshot()).toEqual(before)
  }
}

function overwrite(at: number, bytes: Buffer): void {
  const descriptor = fs.openSync(file, 'r+')
  fs.writeSync(descriptor, bytes, 0, bytes.length, at)
  fs.closeSync(descriptor)
}

/** Where in the file some text first stands. */
const find = (text: string): number => fs.readFileSync(file).indexOf(text)

function rootOf(table: string): number {
  const db = new Database(file, { readonly: true })
  const root = db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').pluck().get(table) as number
  db.close()
  for (const suffix of ['-wal', '-shm']) fs.rmSync(file + suffix, { force: true })
  return root
}

describe('salvage', () => {
  it('copies all of a healthy directory and reports no loss', async () => {
    const { contents } = await fillDirectory(from)
    const report = await run()
    expect(report).toMatchObject({ losses: [], notes: [], queues: QUEUES.length, definitions: 5 })
    expect(report.messages).toBe(Object.values(contents).flat().length)
    expect(await readDirectory(to)).toEqual({ contents, errors: [] })
  })

  it('reads commits that are in the write-ahead log only', async () => {
    const { contents } = await fillDirectory(place)
    fs.mkdirSync(from)
    // As a crash leaves it: the log is there, the file knows nothing of it yet.
    const backend = new SqliteBackend(place, { idleMs: 1_000_000 })
    await backend.open()
    const record = { id: 9, vhost: '/', name: 'late', durable: true, autoDelete: false, arguments: '{}' }
    await backend.commit({ definitions: [{ op: 'put', kind: 'queue', record }], entries: [] })
    for (const name of ['leveret.db', 'leveret.db-wal']) fs.copyFileSync(path.join(place, name), path.join(from, name))
    await backend.close(false)
    expect((await run()).losses).toEqual([])
    expect((await readDirectory(to)).contents).toEqual({ ...contents, late: [] })
  })

  it('names messages whose bytes are damaged, and keeps all others', async () => {
    const { contents } = await fillDirectory(from)
    overwrite(find('13.9 '.repeat(50)) + 100, Buffer.from('#'))
    const { losses } = await run()
    expect(losses.join('\n')).toMatch(/^log entry \d+ \(page \d+, at byte \d+ of .*leveret\.db\): .*checksum/)
    expect(losses.join('\n')).toContain('messages of queue "/ orders" lost')
    const found = (await readDirectory(to)).contents
    for (const name of QUEUES) expect(found[name]).toEqual(contents[name].filter((body) => !body?.startsWith('13.')))
  })

  it('has only a note for damage where nothing is needed any more', async () => {
    const { contents } = await fillDirectory(from)
    // Round 3 is settled, and stays in the log behind round 1, which is not.
    overwrite(find('3.9 '.repeat(50)) + 100, Buffer.from('#'))
    const report = await run()
    expect([report.losses, report.notes.length]).toEqual([[], 1])
    expect((await readDirectory(to)).contents).toEqual(contents)
  })

  it('says which entries are missing', async () => {
    const { published } = await fillDirectory(from)
    const db = new Database(file)
    db.exec(`UPDATE entry SET records = x'4c01ff' WHERE id = 12`)
    db.close()
    const { losses } = await run()
    expect(losses).toHaveLength(1)
    expect(losses[0]).toMatch(/^log entry 12 \(page.*how many is not known; .*may be delivered again/)
    const { contents, errors } = await readDirectory(to)
    expect(errors).toEqual([])
    for (const name of QUEUES) expect(isWithin(contents[name], published[name])).toBe(true)
  })

  it.each([
    ['the header', () => overwrite(0, Buffer.alloc(PAGE_SIZE))],
    ['the root of the log', () => overwrite((rootOf('entry') - 1) * PAGE_SIZE, Buffer.alloc(PAGE_SIZE, 0xff))],
  ])('finds everything though %s is destroyed', async (_, damage) => {
    const { contents } = await fillDirectory(from)
    damage()
    expect((await run()).losses.length).toBeGreaterThan(0)
    const found = await readDirectory(to)
    expect(found).toEqual({ contents, errors: [] })
  })

  it('finds messages of queues whose definitions are destroyed', async () => {
    const { contents } = await fillDirectory(from)
    for (const table of ['queue', 'user', 'vhost']) overwrite((rootOf(table) - 1) * PAGE_SIZE, Buffer.alloc(PAGE_SIZE))
    const { losses } = await run()
    expect(losses.join('\n')).toContain('"salvaged-1"')
    expect(losses.join('\n')).toContain('no user is readable: "guest"')
    const found = (await readDirectory(to)).contents
    QUEUES.forEach((name, i) => {
      expect(found[`salvaged-${i + 1}`]).toEqual(contents[name])
    })
  })

  it('takes what a cut file still holds', async () => {
    const { published } = await fillDirectory(from)
    const size = fs.statSync(file).size
    fs.truncateSync(file, Math.floor(size / 2))
    const report = await run()
    expect(report.losses.length).toBeGreaterThan(0)
    expect(report.messages).toBeGreaterThan(20)
    const { contents, errors } = await readDirectory(to)
    expect(errors).toEqual([])
    for (const name of QUEUES) expect(isWithin(contents[name], published[name])).toBe(true)
  })
})

describe('salvage refuses', () => {
  const refusal = () =>
    run().then(
      () => 'done',
      (error: Error) => `${error.name}: ${error.message}`,
    )

  it('a directory with nothing of ours, leaving nothing behind', async () => {
    fs.mkdirSync(from)
    expect(await refusal()).toContain('StartupError: there is nothing to salvage')
    new Database(file).exec('CREATE TABLE t (x)').close()
    expect(await refusal()).toContain('made by another program')
    expect(fs.readdirSync(place)).toEqual(['damaged'])
  })

  it('while a broker runs', async () => {
    const backend = new SqliteBackend(from)
    await backend.open()
    expect(await refusal()).toContain('a broker runs')
    await backend.close(true)
    expect(await refusal()).toBe('done')
  })

  it('a place that is taken', async () => {
    await fillDirectory(from, 1)
    fs.mkdirSync(to)
    fs.writeFileSync(path.join(to, 'x'), '')
    expect(await refusal()).toContain('exists already')
    to = path.join(from, 'within')
    expect(await refusal()).toContain('lies within')
  })
})
