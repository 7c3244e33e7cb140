// What only the SQLite backend promises: survival of kill -9, bounded files, recovery from a full or failing disk,
// damage noticed, a thread that goes when it should.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import type { LogEntry } from './log-backend'
import { PLACE_BYTES, PLACES_MAX } from './shared-places'
import { SqliteBackend } from './sqlite-backend'
import type { SqliteLimits } from './sqlite-limits'

const KiB = 1024
const MiB = 1024 * KiB

let directory: string
let backend: SqliteBackend

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-sqlite-'))
})
afterEach(async () => {
  await backend?.close(false).catch(() => {})
  fs.rmSync(directory, { recursive: true, force: true })
})

async function open(limits: Partial<SqliteLimits> = {}) {
  backend = new SqliteBackend(directory, limits)
  return backend.open()
}
const entryOf = (payloadBytes: number): LogEntry => ({
  records: new Uint8Array(100).fill(1),
  payload: new Uint8Array(payloadBytes).fill(2),
})
const commit = (...entries: LogEntry[]) => backend.commit({ definitions: [], entries })
const walFile = () => path.join(directory, 'leveret.db-wal')

/** Asks until it holds: deferred work has no promise. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Starts a process that runs `body` (an async function's) with `backend` open. */
function child(body: string, command = process.execPath, first: string[] = []): ChildProcess {
  const program = `
    const { SqliteBackend } = require(${JSON.stringify(path.join(__dirname, 'sqlite-backend.js'))})
    const say = (line) => require('node:fs').writeSync(1, line + '\\n')
    const backend = new SqliteBackend(${JSON.stringify(directory)})
    backend.open().then(async () => { ${body} }).catch((error) => { say('error ' + error.stack); process.exit(1) })`
  return spawn(command, [...first, '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
}

const COMMIT_FOREVER = `
  for (let i = 1; ; i++) {
    const record = { id: i, vhost: '/', name: 'q' + i, durable: true, autoDelete: false, arguments: '{}' }
    const payload = new Uint8Array(1 + (i * 7919) % 40000).fill(i)
    const entries = [{ records: new Uint8Array([i & 255]), payload }, { records: new Uint8Array(0), payload: new Uint8Array(0) }]
    say(String(await backend.commit({ definitions: [{ op: 'put', kind: 'queue', record }], entries })))
    if (i % 10 === 0) await backend.remove([2 * i - 1])
  }`

describe('memory that both threads see', () => {
  const sizes = [
    0,
    1,
    16 * KiB - 1,
    16 * KiB,
    100_000,
    256 * KiB,
    PLACE_BYTES - 100,
    PLACE_BYTES - 99,
    PLACE_BYTES,
    PLACE_BYTES + 1,
  ]

  it.each(sizes)('takes a payload of %i bytes there and back, or it is handed over', async (size) => {
    await open()
    for (const filling of [3, 4]) {
      const payload = backend.room(size)
      expect(payload).toHaveLength(size)
      const position = await commit({ records: new Uint8Array(100).fill(1), payload: payload.fill(filling) })
      for (let times = 0; times < 2; times++) {
        const entry = await backend.read(position)
        expect(Buffer.compare(entry.records, Buffer.alloc(100, 1))).toBe(0)
        expect(Buffer.compare(entry.payload, Buffer.alloc(size, filling))).toBe(0)
        backend.giveBack(entry)
      }
    }
  })

  it('is used again by those who come later only, also after a commit that failed', async () => {
    await open({ fileBytesMax: 4 * MiB, walCheckpointBytes: 64 * KiB })
    const entries = () =>
      Array.from({ length: 10 }, (_, i) => ({ records: new Uint8Array(1), payload: backend.room(60_000).fill(i) }))
    const first = await commit(...entries())
    const reads = Promise.all(Array.from({ length: 10 }, (_, i) => backend.read(first + i)))
    const tooMuch = Array.from({ length: 10 }, () => entries()).flat()
    await expect(commit(...tooMuch)).rejects.toMatchObject({ kind: 'full' })
    const second = await commit(...entries())
    for (const [i, { payload }] of (await reads).entries()) expect(payload.every((byte) => byte === i)).toBe(true)
    for (let i = 0; i < 10; i++) expect((await backend.read(second + i)).payload.every((byte) => byte === i)).toBe(true)
  })

  it('is a bounded number of places: what finds none is read all the same, and what ended gave its place back', async () => {
    await open()
    const bodies = Array.from({ length: 100 }, (_, i) => Buffer.alloc(1000 + i, i))
    const first = await commit(
      ...bodies.map((body) => ({ records: new Uint8Array(1), payload: Uint8Array.from(body) })),
    )
    for (let round = 0; round < 3; round++) {
      const entries = await Promise.all(bodies.map((_, i) => backend.read(first + i)))
      expect(entries.map(({ payload }) => Buffer.from(payload))).toEqual(bodies)
      const shared = entries.filter(({ payload }) => payload.buffer.byteLength === PLACE_BYTES)
      expect(shared).toHaveLength(PLACES_MAX)
      for (const entry of entries) backend.giveBack(entry)
      const failed = await Promise.allSettled(bodies.map((_, i) => backend.read(first + 1000 + i)))
      expect(failed.every(({ status }) => status === 'rejected')).toBe(true)
    }
  })
})

describe('the SQLite log', () => {
  it.each([1, 40, 250])('has every resolved commit after kill -9 (at %i commits)', async (killAfter) => {
    const writer = child(COMMIT_FOREVER)
    let output = ''
    writer.stdout?.on('data', (chunk) => {
      output += chunk
      if (output.split('\n').length > killAfter) writer.kill('SIGKILL')
    })
    await new Promise((resolve) => writer.on('close', resolve))
    const resolved = output.trim().split('\n').length
    expect(resolved).toBeGreaterThanOrEqual(killAfter)

    const opened = await open()
    expect(opened.cleanShutdown).toBe(false)
    const commits = opened.lastPosition / 2 // whole units only
    expect([resolved, resolved + 1]).toContain(commits)
    expect(opened.definitions.queue.map(({ id }) => id)).toEqual(Array.from({ length: commits }, (_, i) => i + 1))
    for (let i = 1; i <= commits; i++) {
      const { payload } = await backend.read(2 * i - 1).catch((error) => {
        expect([error.kind, i % 10]).toEqual(['missing', 0])
        return { payload: null }
      })
      if (payload !== null) expect([payload.length, payload[0]]).toEqual([1 + ((i * 7919) % 40000), i & 255])
    }
  })

  it('keeps the write-ahead log within its bound under load', async () => {
    await open({ walCheckpointBytes: MiB, walBytesMax: 2 * MiB, idleMs: 60_000 })
    let largest = 0
    for (let i = 0; i < 60; i++) {
      await commit(entryOf(256 * KiB))
      largest = Math.max(largest, fs.statSync(walFile()).size)
    }
    expect(largest).toBeLessThan(2.5 * MiB)
    expect((await backend.stats()).fileBytes).toBeGreaterThan(10 * MiB)
  })

  it('deletes under load too, so that the file stays small', async () => {
    await open({ idleMs: 60_000 })
    for (let i = 0; i < 400; i++) {
      const position = await commit(entryOf(64 * KiB))
      if (i % 2 === 0) await backend.trim(position - 10)
      else await backend.remove([position - 9])
    }
    expect((await backend.stats()).entries).toBeLessThan(100)
  })

  it('gives free space back when idle, and notices what was removed', async () => {
    await open({ idleMs: 10, freeBytesKept: MiB, walCheckpointBytes: MiB }) // longer than `until` takes between questions
    for (let i = 0; i < 80; i++) await commit(entryOf(256 * KiB))
    await backend.trim(81)
    await until(async () => (await backend.stats()).entries === 0)
    await until(async () => (await backend.stats()).fileBytes < 2 * MiB)
    expect(await commit(entryOf(1))).toBe(81)
  })

  it('rejects as full when there is no room, and goes on when there is', async () => {
    await open({ fileBytesMax: 4 * MiB, idleMs: 1 })
    let stored = 0
    const fill = async () => {
      for (;;) stored = await commit(entryOf(100 * KiB))
    }
    await expect(fill()).rejects.toMatchObject({ kind: 'full' })
    await expect(commit(entryOf(100 * KiB))).rejects.toMatchObject({ kind: 'full' })
    expect((await backend.read(stored)).payload.length).toBe(100 * KiB)
    await backend.trim(stored)
    await until(async () => (await backend.stats()).entries === 1)
    expect(await commit(entryOf(100 * KiB))).toBe(stored + 1)
  })

  it('notices a damaged payload and damaged records', async () => {
    await open()
    await commit(entryOf(10), entryOf(10))
    await backend.close(true)
    const db = new Database(path.join(directory, 'leveret.db'))
    db.exec(`UPDATE entry SET payload = x'00' WHERE id = 1; UPDATE entry SET records = x'00' WHERE id = 2`)
    db.close()
    await open()
    await expect(backend.read(1)).rejects.toMatchObject({ kind: 'corrupt', message: expect.stringMatching(/entry 1 /) })
    await expect(backend.replay(() => {})).rejects.toMatchObject({
      reason: 'damaged',
      message: expect.stringMatching(/leveret\.db is damaged: log entry 2: fails its checksum.*leveret salvage --data/),
    })
  })

  // A file size limit makes write() fail as a broken disk would; prlimit lifts it from outside.
  const ifPrlimit = hasPrlimit() ? it : it.skip
  ifPrlimit('rejects as unavailable while the disk fails, then recovers with nothing rejected in it', async () => {
    const writer = child(
      `process.on('SIGXFSZ', () => {})
       const commit = (n) => backend.commit({ definitions: [], entries: [{ records: new Uint8Array([n]), payload: new Uint8Array(n * 1000) }] })
       await commit(1)
       say('ready')
       process.stdin.once('data', async () => {
         const error = await commit(200).catch((error) => error)
         const again = await commit(200).catch((error) => error)
         say([error.kind, again.kind].join())
         process.stdin.once('data', async () => {
           say(String(await commit(3)))
           await backend.close(true)
           process.exit()
         })
       })`,
    )
    const lines = linesOf(writer)
    expect(await lines()).toBe('ready')
    limitFileSize(writer, '100000')
    writer.stdin?.write('go\n')
    expect(await lines()).toBe('unavailable,unavailable')
    limitFileSize(writer, 'unlimited')
    writer.stdin?.write('go\n')
    expect(await lines()).toBe('2')
    await new Promise((resolve) => writer.on('close', resolve))

    expect((await open()).cleanShutdown).toBe(true)
    const found: number[] = []
    await backend.replay((_, records) => found.push(records[0]))
    expect(found).toEqual([1, 3])
  })

  it('does not keep a process alive that forgets to close it, and exits cleanly', () => {
    const program = `
      const { SqliteBackend } = require(${JSON.stringify(path.join(__dirname, 'sqlite-backend.js'))})
      const backend = new SqliteBackend(${JSON.stringify(directory)})
      backend.open().then(() => backend.commit({ definitions: [], entries: [] })).then(() => console.log('done'))`
    expect(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' })).toBe('done\n')
  })

  it('is readable with the sqlite3 shell', async () => {
    await open()
    const record = { id: 1, vhost: '/', name: 'mail', durable: true, autoDelete: false, arguments: '{"x-max":1}' }
    await backend.commit({ definitions: [{ op: 'put', kind: 'queue', record }], entries: [] })
    await backend.close(true)
    const db = new Database(path.join(directory, 'leveret.db'), { readonly: true })
    expect(db.prepare('SELECT * FROM queue').get()).toEqual({
      id: 1,
      vhost: '/',
      name: 'mail',
      durable: 1,
      auto_delete: 0,
      arguments: '{"x-max":1}',
    })
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    db.close()
  })
})

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const limitFileSize = (process: ChildProcess, bytes: string) =>
  execFileSync('prlimit', [`--pid=${process.pid}`, `--fsize=${bytes}:unlimited`])

/** A function that waits for the next line of output. */
function linesOf(process: ChildProcess): () => Promise<string> {
  const lines: string[] = []
  let wake = () => {}
  let rest = ''
  process.stdout?.on('data', (chunk) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  return async () => {
    while (lines.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return lines.shift() as string
  }
}
