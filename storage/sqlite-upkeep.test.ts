// How the log gives space back: in steps, without writing what is about to be no more, and beside steady traffic.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { DEFAULT_SQLITE_LIMITS, type SqliteLimits } from './sqlite-limits'
import { SqliteLog } from './sqlite-log'
import type { SqliteUpkeep } from './sqlite-upkeep'

const MiB = 1024 * 1024
const LIMITS = { ...DEFAULT_SQLITE_LIMITS, truncatedBytesMax: 8 * MiB, freeBytesKept: 2 * MiB, excessWaitMs: 0 }
const ENTRIES = 400 // of 256 KiB

let directory: string
let log: SqliteLog
let limits: SqliteLimits
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'leveret-upkeep-'))
  limits = { ...LIMITS }
  log = new SqliteLog(directory, limits)
  log.open()
  for (let i = 0; i < ENTRIES; i++) commit(256 * 1024)
  while (log.housekeep(true)); // all is in the database file
  log.trim(ENTRIES + 1)
})
afterEach(() => {
  log.close(false)
  rmSync(directory, { recursive: true, force: true })
})

const commit = (bytes: number) =>
  log.commit({ definitions: [], entries: [{ records: new Uint8Array(9), payload: new Uint8Array(bytes) }] })
const sizeOf = (name: string) => statSync(join(directory, name)).size

describe('space of what is forgotten', () => {
  it('goes back in steps, and hardly anything is written for it', () => {
    let before = sizeOf('leveret.db')
    expect(before).toBeGreaterThan(90 * MiB)
    let lessAtOnce = 0
    let isGivingBack = false
    let written = 0
    const { upkeep } = log as unknown as { upkeep: SqliteUpkeep }
    while (log.housekeep(true)) {
      const now = sizeOf('leveret.db')
      lessAtOnce = Math.max(lessAtOnce, before - now)
      if (now < before) isGivingBack = true
      if (isGivingBack) written = Math.max(written, upkeep.walBytes())
      before = now
    }
    expect(sizeOf('leveret.db')).toBeLessThan(4 * MiB)
    expect(lessAtOnce).toBeLessThanOrEqual(LIMITS.truncatedBytesMax + LIMITS.vacuumBytesPerSlice)
    expect(written).toBeLessThan(MiB)
  })

  it('goes back beside commits and deletions that never pause', () => {
    let commits = 0
    for (; sizeOf('leveret.db') > 8 * MiB; commits++) {
      expect(commits).toBeLessThan(3000)
      log.trim(commit(1000))
      while (log.housekeep(false));
    }
  })

  it('stays for a while beside commits and deletions, but not when they pause', () => {
    limits.excessWaitMs = Number.POSITIVE_INFINITY
    for (let commits = 0; commits < 1000; commits++) {
      log.trim(commit(1000))
      while (log.housekeep(false));
    }
    expect(sizeOf('leveret.db')).toBeGreaterThan(90 * MiB)
    while (log.housekeep(true));
    expect(sizeOf('leveret.db')).toBeLessThan(4 * MiB)
  })
})
