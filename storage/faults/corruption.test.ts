// Damage of all kinds at random places: a start either refuses with a message that helps, and changes nothing, or brings back
// exactly what was there; what cannot be read is reported and never made up. Salvage saves only what was really published.
// CORRUPTION_ROUNDS and CORRUPTION_SEED choose how many rounds and which.
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import Database from 'better-sqlite3'
import { StartupError } from '../log-backend'
import { type SalvageReport, salvage } from '../salvage/salvage'
import { random } from './power-loss-workload'
import {
  type Contents,
  copyDatabase,
  type Filled,
  fillDirectory,
  isWithin,
  QUEUES,
  readDirectory,
} from './sample-directory'

const ROUNDS = Number(process.env.CORRUPTION_ROUNDS ?? 5) // of each kind, for each state of the directory
const SEED = Number(process.env.CORRUPTION_SEED ?? 1)
const FILE = 'leveret.db'
const WAL = 'leveret.db-wal'

type Below = (limit: number) => number
type Damage = (path: string, below: Below) => void

const inPlace =
  (change: (bytes: Buffer, below: Below) => void): Damage =>
  (path, below) => {
    const bytes = readFileSync(path)
    if (bytes.length > 0) change(bytes, below)
    writeFileSync(path, bytes)
  }

/** A stretch of up to `most` bytes. */
function stretch(bytes: Buffer, below: Below, most: number): Buffer {
  const start = below(bytes.length)
  return bytes.subarray(start, start + 1 + below(most))
}

const DAMAGES: Record<string, Damage> = {
  truncated: (path, below) => truncateSync(path, below(readFileSync(path).length)),
  'zeroed in places': inPlace((bytes, below) => stretch(bytes, below, 30_000).fill(0)),
  'a zeroed page': inPlace((bytes, below) => {
    const page = below(Math.ceil(bytes.length / 8192)) * 8192
    bytes.subarray(page, page + 8192).fill(0)
  }),
  'with flipped bits': inPlace((bytes, below) => {
    for (let i = below(3); i >= 0; i--) bytes[below(bytes.length)] ^= 1 << below(8)
  }),
  // Where the structure is dense: nearly every bit there means something.
  'with a flipped bit in the first pages': inPlace((bytes, below) => {
    bytes[below(Math.min(bytes.length, 13 * 8192))] ^= 1 << below(8)
  }),
  'overwritten in places': inPlace((bytes, below) => {
    const part = stretch(bytes, below, 9000)
    for (let i = 0; i < part.length; i++) part[i] = below(256)
  }),
}

let place: string
let filled: Filled
beforeAll(async () => {
  place = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'leveret-corruption-'))
  filled = await fillDirectory(join(place, 'clean'), 14, join(place, 'crashed'))
  const { contents } = await readDirectory(copyOf('crashed'))
  expect(contents).toEqual(filled.contents)
})
afterAll(() => rmSync(place, { recursive: true, force: true }))

function copyOf(state: string): string {
  const directory = join(place, 'damaged')
  rmSync(directory, { recursive: true, force: true })
  copyDatabase(join(place, state), directory)
  return directory
}

const hashes = (directory: string) =>
  readdirSync(directory).map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(directory, name)))
      .digest('hex'),
  ])

interface Outcome {
  refused: string | null
  contents: Contents
  errors: string[]
}

/** A start on the directory. Anything but a StartupError is a fault of ours, and so is a change by a start that refuses. */
async function start(directory: string): Promise<Outcome> {
  const before = hashes(directory)
  try {
    return { refused: null, ...(await readDirectory(directory)) }
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    expect(hashes(directory)).toEqual(before)
    expect(error.message).toContain(join(directory, FILE))
    if (error.reason !== 'newer') expect(error.message).toContain('leveret salvage --data ')
    return { refused: error.message, contents: {}, errors: [] }
  }
}

/** What a start brought back is what was there, but for messages that it reports as unreadable. */
function checkExact({ contents, errors }: Outcome): void {
  expect(Object.keys(contents).sort()).toEqual([...QUEUES].sort())
  let unreadable = 0
  for (const name of QUEUES) {
    const expected = filled.contents[name].map((body, i) => (contents[name][i] === null ? null : body))
    unreadable += expected.filter((body) => body === null).length
    expect(contents[name]).toEqual(expected)
  }
  expect(errors.length > 0).toBe(unreadable > 0)
  for (const error of errors) expect(error).toMatch(/log entry \d+ in .*leveret\.db .*leveret salvage --data/)
}

/** Commits behind the damage are lost, as they must be: it cannot be told from the torn end that a crash leaves. */
function checkNothingMadeUp({ contents }: Outcome): void {
  for (const [name, bodies] of Object.entries(contents)) expect(isWithin(bodies, filled.published[name])).toBe(true)
}

async function checkSalvage(directory: string, outcome: Outcome, file: string): Promise<void> {
  const to = join(place, 'salvaged')
  rmSync(to, { recursive: true, force: true })
  const before = hashes(directory)
  let report: SalvageReport
  try {
    report = await salvage({
      from: directory,
      to,
      fallbackUser: { name: 'g', passwordHash: '', hashingAlgorithm: '', tags: [] },
    })
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    expect(error.message).toMatch(/nothing .*(can be read|to salvage)/)
    expect(outcome.refused).not.toBeNull()
    return
  } finally {
    expect(hashes(directory)).toEqual(before)
  }
  const { contents, errors } = await readDirectory(to)
  expect(errors).toEqual([])
  for (const [name, bodies] of Object.entries(contents)) {
    const published = filled.published[name] ? [filled.published[name]] : Object.values(filled.published)
    expect(published.some((all) => isWithin(bodies, all))).toBe(true)
  }
  // A log that is cut between two commits is as whole as any.
  if (report.losses.length === 0 && file === FILE)
    expect({ contents, outcome }).toEqual({ contents: filled.contents, outcome })
  if (outcome.errors.length > 0) expect(report.losses.length).toBeGreaterThan(0)
}

/** Says which seed it was when something is wrong. */
async function rounds(
  state: string,
  file: string,
  damage: Damage,
  check: (outcome: Outcome) => void,
): Promise<string[]> {
  const outcomes: string[] = []
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const directory = copyOf(state)
    damage(join(directory, file), random(seed))
    try {
      // Salvage second, and of what a start that was not refused has left: as it goes in practice.
      const damaged = join(place, 'as-damaged')
      rmSync(damaged, { recursive: true, force: true })
      copyDatabase(directory, damaged)
      const outcome = await start(directory)
      if (outcome.refused === null) check(outcome)
      await checkSalvage(damaged, outcome, file)
      outcomes.push(outcome.refused === null ? (outcome.errors.length > 0 ? 'reported' : 'unharmed') : 'refused')
    } catch (error) {
      ;(error as Error).message = `CORRUPTION_SEED=${seed}: ${(error as Error).message}`
      throw error
    }
  }
  return outcomes
}

describe('a database that is', () => {
  it.each(Object.entries(DAMAGES))(
    '%s',
    async (name, damage) => {
      const clean = await rounds('clean', FILE, damage, checkExact)
      const crashed = await rounds('crashed', FILE, damage, checkExact)
      if (process.env.CORRUPTION_ROUNDS) console.log(name, count(clean), count(crashed))
      expect(clean.length + crashed.length).toBe(2 * ROUNDS)
    },
    600_000,
  )

  it.each(Object.entries(DAMAGES))(
    'beside a write-ahead log that is %s',
    async (name, damage) => {
      const outcomes = await rounds('crashed', WAL, damage, checkNothingMadeUp)
      if (process.env.CORRUPTION_ROUNDS) console.log('wal', name, count(outcomes))
    },
    600_000,
  )

  it("another program's is refused, and nothing is salvaged from it", async () => {
    const directory = join(place, 'foreign')
    mkdirSync(directory)
    const db = new Database(join(directory, FILE))
    db.exec(`CREATE TABLE entry (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO entry VALUES (1, 'theirs')`)
    db.close()
    const outcome = await start(directory)
    expect(outcome.refused).toContain('another program')
    await checkSalvage(directory, outcome, FILE)
  })
})

function count(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}
