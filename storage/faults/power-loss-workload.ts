// A process of its own, traced by disk-trace.c: commits, removals, housekeeping and restarts on a SqliteLog, chosen by a
// seed. What was confirmed it says in the file `confirmed`, so that the trace has it in its place among the writes.
// Arguments: directory, marks file, seed, steps, and 'unsynced' for a log that never waits for the disk.
import { openSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { crc32 } from '../crc'
import type { DefinitionChange } from '../definitions'
import type { LogEntry } from '../log-backend'
import { DEFAULT_SQLITE_LIMITS } from '../sqlite-limits'
import { SqliteLog } from '../sqlite-log'

/** What is about to be done or has been done. */
export type Mark =
  | { mark: 'begun'; entries: number[]; queues: Record<number, boolean> } // checksums of payloads; queues put or deleted
  | { mark: 'confirmed'; first: number }
  | { mark: 'forgets'; before: number }

/** Everything happens early and often. */
const LIMITS = {
  ...DEFAULT_SQLITE_LIMITS,
  walCheckpointBytes: 96 * 1024,
  walBytesMax: 256 * 1024,
  removalsPerSlice: 8,
  commitsPerSlice: 2,
  freeBytesKept: 64 * 1024,
  vacuumBytesPerSlice: 64 * 1024,
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
  let log = new SqliteLog(directory, LIMITS)
  let last = log.open().lastPosition
  let trimmed = 1
  let nextQueue = 1
  const queues: number[] = []
  const commit = () => {
    const entries: LogEntry[] = Array.from({ length: below(4) }, () => ({
      records: Buffer.alloc(below(300), below(256)),
      payload: Buffer.alloc(below(3) === 0 ? below(30_000) : below(2000), below(256)),
    }))
    const changed: Record<number, boolean> = {}
    const definitions: DefinitionChange[] = []
    if (entries.length === 0 || below(5) === 0) {
      const deletes = queues.length > 3 && below(2) === 0
      const id = deletes ? (queues.shift() as number) : nextQueue++
      if (!deletes) queues.push(id)
      changed[id] = !deletes
      const record = { id, vhost: '/', name: `q${id}`, durable: true, autoDelete: false, arguments: '{}' }
      definitions.push(deletes ? { op: 'delete', kind: 'queue', key: { id } } : { op: 'put', kind: 'queue', record })
    }
    say({ mark: 'begun', entries: entries.map((entry) => crc32(entry.payload)), queues: changed })
    const first = log.commit({ definitions, entries })
    say({ mark: 'confirmed', first })
    last += entries.length
  }
  for (let step = 0; step < Number(steps); step++) {
    const dice = below(10)
    if (dice < 5) commit()
    else if (dice < 7) log.housekeep(below(2) === 0)
    else if (dice === 7 && last - trimmed > 20) {
      trimmed += below(last - trimmed - 5)
      say({ mark: 'forgets', before: trimmed })
      log.trim(trimmed)
    } else if (dice === 8 && below(12) === 0) {
      log.close(below(2) === 0)
      log = new SqliteLog(directory, LIMITS)
      log.open()
    }
  }
}

function neverSync(): void {
  const { pragma } = Database.prototype
  Database.prototype.pragma = function (source, options) {
    return pragma.call(this, source.replace(/synchronous = \w+/, 'synchronous = OFF'), options)
  }
}

if (require.main === module) main(process.argv.slice(2))
