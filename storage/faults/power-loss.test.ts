// A confirm waits for stable storage. kill -9 proves little of that, for the page cache survives it: here a log works under a
// trace of all its writes and syncs, and from the trace come thousands of disks as a loss of power could leave them.
// POWER_LOSS_ROUNDS and POWER_LOSS_SEED choose how many and which.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { crc32 } from '../crc'
import { DEFAULT_SQLITE_LIMITS } from '../sqlite-limits'
import { SqliteLog } from '../sqlite-log'
import { type DiskCall, DiskImage, readTrace } from './disk-image'
import { type Changes, type Mark, random } from './power-loss-workload'

const ROUNDS = Number(process.env.POWER_LOSS_ROUNDS ?? 1500)
const SEED = Number(process.env.POWER_LOSS_SEED ?? 1)
const STEPS = 1200
const SOON_CALLS = 60
const MARKS = '/confirmed'

let place: string
beforeAll(() => {
  place = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'leveret-power-'))
  const source = resolve(__dirname, '../../../storage/faults/disk-trace.c')
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', join(place, 'disk-trace.so'), source, '-ldl'])
})
afterAll(() => rmSync(place, { recursive: true, force: true }))

function traceOf(name: string, ...mode: string[]): Buffer {
  const directory = join(place, name)
  const trace = join(place, `${name}.trace`)
  mkdirSync(directory)
  const env = {
    ...process.env,
    DISK_TRACE_DIR: directory,
    DISK_TRACE_FILE: trace,
    LD_PRELOAD: join(place, 'disk-trace.so'),
  }
  const args = [join(__dirname, 'power-loss-workload.js'), directory, directory + MARKS, `${SEED}`, `${STEPS}`, ...mode]
  execFileSync(process.execPath, args, { env })
  return readFileSync(trace)
}

/** What the marks up to a moment allow and demand. */
class Promised {
  readonly entries = new Map<number, number>() // position to checksum of the payload
  readonly queues = new Set<number>()
  forgotten = 0
  last = 0
  /** One of these may be there, whole, behind what was confirmed: what is under way, and what failed since. */
  maybe: Changes[] = [NOTHING]
  /** Failed, and found by a start: what is begun follows it. */
  private base: Changes = NOTHING

  take(mark: Mark): void {
    if (mark.mark === 'forgets') this.forgotten = mark.before
    else if (mark.mark === 'begun') this.maybe.push(joined(this.base, mark))
    else if (mark.mark === 'opened') {
      this.base = joined(this.base, mark)
      this.maybe.push(this.base)
    } else this.confirm()
  }

  private confirm(): void {
    const { entries, queues } = this.maybe[this.maybe.length - 1]
    for (const checksum of entries) this.entries.set(++this.last, checksum)
    for (const [id, isPut] of Object.entries(queues)) {
      if (isPut) this.queues.add(Number(id))
      else this.queues.delete(Number(id))
    }
    this.maybe = [NOTHING]
    this.base = NOTHING
  }
}

const NOTHING: Changes = { entries: [], queues: {} }

const joined = (a: Changes, b: Changes): Changes => ({
  entries: [...a.entries, ...b.entries],
  queues: { ...a.queues, ...b.queues },
})

/** Opens what is left, and says what is wrong with it; null: nothing. */
function faultOf(files: Map<string, Buffer>, promised: Promised): string | null {
  const directory = join(place, 'after')
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  for (const [path, bytes] of files) if (path !== MARKS && path !== '') writeFileSync(directory + path, bytes)
  const log = new SqliteLog(directory, DEFAULT_SQLITE_LIMITS)
  try {
    const opened = log.open()
    const found = new Map<number, number>()
    for (let after = 0; ; ) {
      const group = log.replayGroup(after)
      if (group.positions.length === 0) break
      for (const position of group.positions) found.set(position, crc32(log.read(position).payload))
      after = group.positions[group.positions.length - 1]
    }
    log.begin()
    const queues = opened.definitions.queue.map((queue) => queue.id)
    log.close(false)
    return difference(found, queues, opened.lastPosition, promised)
  } catch (error) {
    return `unreadable: ${(error as Error).message}`
  }
}

function difference(found: Map<number, number>, queues: number[], lastPosition: number, promised: Promised) {
  const { maybe, last, forgotten } = promised
  for (const [position, checksum] of promised.entries) {
    if (!found.has(position) && position >= forgotten) return `lost ${position}`
    if (found.has(position) && found.get(position) !== checksum) return `${position} has other bytes`
  }
  if (lastPosition < last) return `position ${last} would be given out again`
  const more = [...found].filter(([position]) => position > last)
  const isWhole = (changes: Changes) =>
    changes.entries.length === more.length &&
    more.every(([position, checksum], i) => position === last + 1 + i && checksum === changes.entries[i]) &&
    sameQueues(queues, after(promised.queues, changes))
  return maybe.some(isWhole) ? null : `not whole: behind ${last} there is ${more}, and queues ${queues}`
}

function after(queues: ReadonlySet<number>, changes: Changes): Set<number> {
  const all = new Set(queues)
  for (const [id, isPut] of Object.entries(changes.queues)) {
    if (isPut) all.add(Number(id))
    else all.delete(Number(id))
  }
  return all
}

const sameQueues = (ids: readonly number[], set: ReadonlySet<number>) =>
  ids.length === set.size && ids.every((id) => set.has(id))

/** Loses power at `rounds` random moments. Faults found, each with its round. */
function losePower(trace: Buffer, rounds: number) {
  const below = random(SEED)
  const calls = [...readTrace(trace)]
  const failures = [...calls.keys()].filter((at) => calls[at].kind === 'F')
  // Every second time soon after a sync that failed: what is done about it is done in a few calls.
  const moment = (round: number) =>
    round % 2 === 0 || failures.length === 0
      ? below(calls.length)
      : Math.min(calls.length, failures[below(failures.length)] + below(SOON_CALLS))
  const moments = Array.from({ length: rounds }, (_, round) => moment(round)).sort((a, b) => a - b)
  const disk = new DiskImage(below)
  const promised = new Promised()
  const faults: string[] = []
  let at = 0
  for (const moment of moments) {
    for (; at < moment; at++) {
      const call = calls[at]
      if (call.path === MARKS && call.kind === 'W') promised.take(JSON.parse(call.bytes.toString()))
      else disk.apply(call)
    }
    const fault = faultOf(disk.afterPowerLoss(), promised)
    if (fault !== null) faults.push(`seed ${SEED}, before call ${moment}: ${fault}`)
  }
  const count = (kind: DiskCall['kind']) => calls.filter((call) => call.kind === kind).length
  return { faults, syncs: count('S'), failed: count('F'), confirmed: promised.last }
}

describe('a loss of power', () => {
  it(`loses nothing that was confirmed, at any of ${ROUNDS} moments`, () => {
    const { faults, syncs, confirmed } = losePower(traceOf('synced'), ROUNDS)
    expect(faults).toEqual([])
    expect(syncs).toBeGreaterThan(STEPS / 3)
    expect(confirmed).toBeGreaterThan(STEPS / 3)
  }, 600_000)

  it(`loses nothing either after syncs that failed, whose bytes no later sync writes, at any of ${ROUNDS} moments`, () => {
    const { faults, syncs, failed, confirmed } = losePower(traceOf('failing', 'failing'), ROUNDS)
    expect(faults).toEqual([])
    expect(syncs).toBeGreaterThan(STEPS / 4)
    expect(failed).toBeGreaterThan(STEPS / 40)
    expect(confirmed).toBeGreaterThan(STEPS / 4)
  }, 600_000)

  it('is noticed by this test when a log does not wait for the disk', () => {
    const { faults } = losePower(traceOf('unsynced', 'unsynced'), 60)
    expect(faults.length).toBeGreaterThan(20)
  }, 60_000)
})
