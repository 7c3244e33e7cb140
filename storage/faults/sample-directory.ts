// A data directory for tests of damage: filled through the journal as a broker would, and read again through recovery and
// page-in. Messages are told apart by their body text.
import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DefinitionChange } from '../definitions'
import { Journal } from '../journal'
import type { ByteRange, Ticket } from '../message-store'
import { recover } from '../recovery'
import { sampleMessage } from '../sample-message'
import { storedBodyLength } from '../segment'
import { SqliteBackend } from '../sqlite-backend'

export const QUEUES = ['orders', 'mail', 'large']

/** By queue name: bodies in order; null for one whose bytes are damaged. */
export type Contents = Record<string, (string | null)[]>

const definitions = (): DefinitionChange[] => [
  {
    op: 'put',
    kind: 'vhost',
    record: { name: '/', description: '', tags: [], defaultQueueType: '', protectedFromDeletion: false },
  },
  { op: 'put', kind: 'user', record: { name: 'u', passwordHash: 'h', hashingAlgorithm: 'a', tags: [] } },
  ...QUEUES.map<DefinitionChange>((name, i) => ({
    op: 'put',
    kind: 'queue',
    record: { id: i + 1, vhost: '/', name, durable: true, autoDelete: false, arguments: '{}' },
  })),
]

/** A body that says which it is, all the way to its end. */
export const bodyOf = (name: string, bytes: number): string => `${name} `.repeat(Math.ceil(bytes / (name.length + 1)))

export interface Filled {
  contents: Contents
  /** What was ever published, in order; `contents` lacks what was settled. */
  published: Record<string, string[]>
}

/** Stopped as it should be. `crashed`: a directory for a copy as a crash just before would have left it, with a write-ahead log. */
export async function fillDirectory(directory: string, rounds = 24, crashed: string | null = null): Promise<Filled> {
  const backend = new SqliteBackend(directory, { idleMs: 1_000_000, walCheckpointBytes: 200_000 })
  await backend.open()
  const { journal, turn } = journalOver(backend)
  await recover(backend, journal.store, journal.rows, new Set(), () => {}) // as every start does
  for (const change of definitions()) journal.define(change)
  await turn()
  const filled: Filled = { contents: {}, published: {} }
  for (const name of QUEUES) Object.assign(filled, { contents: { ...filled.contents, [name]: [] } })
  for (const name of QUEUES) filled.published[name] = []
  const settled = new Set<Ticket>()
  const held: { ticket: Ticket; body: string; ids: number[] }[] = []
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 20; i++) {
      const ids = i % 10 === 9 ? [3] : i % 5 === 4 ? [1, 2] : [1 + (i % 2)]
      const body = bodyOf(`${round}.${i}`, ids[0] === 3 ? 20_000 : 60)
      const ticket = journal.store.append(sampleMessage({ body }), ids.length, ids.length)
      for (const id of ids) journal.addQueue(id)
      journal.enqueue(ticket, body.length)
      held.push({ ticket, body, ids })
    }
    await turn()
    // The first rounds are used up, so that settlements of old messages stand in later entries.
    if (round % 3 === 2) {
      for (const { ticket, ids } of held.slice((round - 2) * 20, (round - 1) * 20)) {
        for (const id of ids) journal.settle(ticket, id)
        settled.add(ticket)
      }
      await turn()
    }
  }
  for (const { ticket, body, ids } of held) {
    for (const id of ids) {
      filled.published[QUEUES[id - 1]].push(body)
      if (!settled.has(ticket)) filled.contents[QUEUES[id - 1]].push(body)
    }
  }
  if (crashed !== null) copyDatabase(directory, crashed)
  await journal.close(true)
  return filled
}

export function copyDatabase(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const name of ['leveret.db', 'leveret.db-wal']) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name))
  }
}

/** Whether it is what is left of `all` when some are taken away: nothing else, nothing out of order. */
export function isWithin(some: readonly (string | null)[] = [], all: readonly string[]): boolean {
  let at = 0
  for (const body of some) {
    while (at < all.length && all[at] !== body) at++
    if (at++ >= all.length) return false
  }
  return true
}

/** Rejects as a start does. `errors`: why messages could not be read. */
export async function readDirectory(directory: string): Promise<{ contents: Contents; errors: string[] }> {
  const backend = new SqliteBackend(directory)
  const opened = await backend.open()
  try {
    const errors: string[] = []
    const { journal, load } = journalOver(backend, (error) => errors.push(error.message))
    const names = new Map(opened.definitions.queue.map(({ id, name }) => [id, name]))
    const tickets = new Map<string, Ticket[]>([...names.values()].map((name) => [name, []]))
    await recover(backend, journal.store, journal.rows, new Set(names.keys()), (id, ticket) => {
      tickets.get(names.get(id) as string)?.push(ticket)
    })
    await backend.begin()
    const contents: Contents = {}
    for (const [name, list] of tickets) {
      contents[name] = []
      for (const ticket of list.sort((a, b) => a - b)) contents[name].push(await load(ticket))
    }
    return { contents, errors }
  } finally {
    await backend.close(false)
  }
}

function journalOver(backend: SqliteBackend, onError: (error: Error) => void = () => {}) {
  let loaded: (() => void) | null = null
  const journal: Journal = new Journal(backend, {
    onCommitted() {},
    onFailed: (_, error) => onError(error),
    onLoaded: (_, error) => {
      if (error !== null) onError(error)
      loaded?.()
    },
    requestTurn() {},
    requestSettle() {},
    now: () => 0,
  })
  const range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  const load = async (ticket: Ticket): Promise<string | null> => {
    if (!journal.store.locate(ticket, range)) {
      const done = new Promise<void>((resolve) => {
        loaded = resolve
      })
      journal.load(ticket)
      await done
    }
    return journal.store.locate(ticket, range) ? textOf(range) : null
  }
  const turn = async () => {
    journal.settleNow()
    do {
      journal.flush()
      await nextTurn()
    } while (!journal.isIdle)
  }
  return { journal, turn, load }
}

function textOf({ buf, start, end }: ByteRange): string {
  const length = storedBodyLength(buf, start)
  return length === 0 ? '' : buf.toString('utf8', end - 1 - length, end - 1)
}
