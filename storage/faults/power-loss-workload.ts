// A process of its own, traced by disk-trace.c: commits, removals, housekeeping and restarts on a SqliteLog, chosen by a
// seed. What was confirmed it says in the file `confirmed`, so that the trace has it in its place among the writes.
// Arguments: directory, marks file, seed, steps, and 'unsynced' for a log that never waits for the disk, or 'failing' for a
// disk that fails to sync every now and then.
import { openSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { crc32 } from '../crc'
import type { DefinitionChange } from '../definitions'
import type { LogEntry } from '../log-backend'
import { DEFAULT_SQLITE_LIMITS } from '../sqlite-limits'
import { SqliteLog } from '../sqlite-log'

/** Checksums of payloads; queues put or deleted. */
export interface Changes {
  entries: number[]
  queues: Record<number, boolean>
}

/** What is about to be done or has been done. `opened`: with what had been begun and had failed, and is there after all. */
export type Mark =
  | ({ mark: 'begun' | 'opened' } & Changes)
  | { mark: 'confirmed' }
  | { mark: 'forgets'; before: number }

/** Everything happens early and often. */
const LIMITS = {
  ...DEFAULT_SQLITE_LIMITS,
  walCheckpointBytes: 96 * 1024,
  walBytesMax: 256 * 1024,
  removalsPerSlice: 8,
  commitsPerSlice: 2,
  freeBytesKept: 64 * 1024,
  excessWaitMs: 0,
  vacuumBytesPerSlice: 64 * 1024,
  truncatedBytesMax: 128 * 1024,
}

/** mulberry32 */
export function random(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x100000000) * n)
  }
}

function main([directory, marksFile, seed, steps, mode]: string[]): void {
  if (mode === 'unsynced') neverSync()
  const marks = openSync(marksFile, 'a')
  const say = (mark: Mark) => writeSync(marks, `${JSON.stringify(mark)}\n`)
  const below = random(Number(seed))
  let log!: SqliteLog
  let last = 0
  let trimmed = 1
  let nextQueue = 1
  const queues = new Set<number>()

  const open = () => {
    log = new SqliteLog(directory, LIMITS)
    const { lastPosition, definitions } = log.open()
    log.begin()
    const found: Changes = { entries: [], queues: {} }
    while (last < lastPosition) found.entries.push(crc32(log.read(++last).payload))
    const ids = new Set(definitions.queue.map(({ id }) => id))
    for (const id of ids) if (!queues.has(id)) found.queues[id] = true
    for (const id of queues) if (!ids.has(id)) found.queues[id] = false
    change(found.queues)
    say({ mark: 'opened', ...found })
  }
  const change = (changed: Record<number, boolean>) => {
    for (const [id, isPut] of Object.entries(changed)) {
      if (isPut) queues.add(Number(id))
      else queues.delete(Number(id))
    }
  }
  const commit = () => {
    const entries: LogEntry[] = Array.from({ length: below(4) }, () => ({
      records: Buffer.alloc(below(300), below(256)),
      payload: Buffer.alloc(below(3) === 0 ? below(30_000) : below(2000), below(256)),
    }))
    const changed: Record<number, boolean> = {}
    const definitions: DefinitionChange[] = []
    if (entries.length === 0 || below(5) === 0) {
      const deletes = queues.size > 3 && below(2) === 0
      const id = deletes ? [...queues][0] : nextQueue++
      changed[id] = !deletes
      const record = { id, vhost: '/', name: `q${id}`, durable: true, autoDelete: false, arguments: '{}' }
      definitions.push(deletes ? { op: 'delete', kind: 'queue', key: { id } } : { op: 'put', kind: 'queue', record })
    }
    say({ mark: 'begun', entries: entries.map((entry) => crc32(entry.payload)), queues: changed })
    log.commit({ definitions, entries })
    say({ mark: 'confirmed' })
    last += entries.length
    change(changed)
  }

  open()
  for (let step = 0; step < Number(steps); step++) {
    if (mode === 'failing' && below(12) === 0) process.env.DISK_TRACE_FAILS = `${below(3)}`
    else if (below(2) === 0) delete process.env.DISK_TRACE_FAILS
    const dice = below(10)
    if (dice < 5) attempt(commit)
    else if (dice < 7) log.housekeep(below(2) === 0)
    else if (dice === 7 && last - trimmed > 20) {
      trimmed += below(last - trimmed - 5)
      say({ mark: 'forgets', before: trimmed })
      log.trim(trimmed)
    } else if (dice === 8 && below(12) === 0) {
      attempt(() => log.close(below(2) === 0))
      delete process.env.DISK_TRACE_FAILS
      open()
    }
  }
}

/** What is not done because a sync failed is not done. */
function attempt(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (process.env.DISK_TRACE_FAILS === undefined) throw error
  }
}

function neverSync(): void {
  const { pragma } = Database.prototype
  Database.prototype.pragma = function (source, options) {
    return pragma.call(this, source.replace(/synchronous = \w+/, 'synchronous = OFF'), options)
  }
}

if (require.main === module) main(process.argv.slice(2))
