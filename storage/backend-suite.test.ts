// The one suite that every log backend passes. What only one backend promises is tested beside that backend.
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { DefinitionChange, Definitions } from './definitions'
import { FaultyBackend } from './faulty-backend'
import { ENTRY_BYTES_MAX, type LogBackend, type LogEntry, StorageError } from './log-backend'
import { MemoryBackend } from './memory-backend'
import { SqliteBackend } from './sqlite-backend'

interface Subject {
  name: string
  /** A backend on storage of its own; the next call of `again` gives one that finds what the first left. */
  make(directory: string): LogBackend
  again(previous: LogBackend, directory: string): LogBackend
}

const SUBJECTS: Subject[] = [
  { name: 'memory', make: () => new MemoryBackend({ remembers: true }), again: (previous) => previous },
  {
    name: 'sqlite',
    make: (directory) => new SqliteBackend(directory),
    again: (_, directory) => new SqliteBackend(directory),
  },
  {
    name: 'faulty, told nothing',
    make: () => new FaultyBackend(new MemoryBackend({ remembers: true })),
    again: (previous) => previous,
  },
]

/** Fresh arrays each time: a commit takes them away. */
const entry = (records: string, payload = ''): LogEntry => ({
  records: new Uint8Array(Buffer.from(records)),
  payload: new Uint8Array(Buffer.from(payload)),
})
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const commit = (backend: LogBackend, ...entries: LogEntry[]) => backend.commit({ definitions: [], entries })
const define = (backend: LogBackend, ...definitions: DefinitionChange[]) => backend.commit({ definitions, entries: [] })

async function replayed(backend: LogBackend): Promise<[number, string, number][]> {
  const seen: [number, string, number][] = []
  await backend.replay((position, records, payloadLength) => seen.push([position, text(records), payloadLength]))
  return seen
}

const vhost = (name: string): DefinitionChange => ({
  op: 'put',
  kind: 'vhost',
  record: { name, description: 'd', tags: ['a', 'b'], defaultQueueType: '', protectedFromDeletion: true },
})
const queue = (id: number, vhostName: string, name: string): DefinitionChange => ({
  op: 'put',
  kind: 'queue',
  record: { id, vhost: vhostName, name, durable: true, autoDelete: false, arguments: '{"x":1}' },
})

describe.each(SUBJECTS)('log backend: $name', ({ make, again }) => {
  let directory: string
  let backend: LogBackend

  beforeEach(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-log-'))
    backend = make(directory)
  })
  afterEach(async () => {
    await backend.close(false)
    fs.rmSync(directory, { recursive: true, force: true })
  })

  async function reopen(clean: boolean) {
    await backend.close(clean)
    backend = again(backend, directory)
    return backend.open()
  }

  it('starts empty', async () => {
    const opened = await backend.open()
    expect(opened).toMatchObject({ lastPosition: 0, nextQueueId: 1, cleanShutdown: true })
    expect(opened.identity).toMatch(/^[0-9a-f-]{36}$/)
    expect(Object.values(opened.definitions).flat()).toEqual([])
    expect(await replayed(backend)).toEqual([])
  })

  it('gives entries consecutive positions and reads them back', async () => {
    await backend.open()
    expect(await commit(backend, entry('a', 'A'), entry('b', 'BB'))).toBe(1)
    expect(await commit(backend, entry('c'))).toBe(3)
    expect(await commit(backend)).toBe(3)
    expect(await replayed(backend)).toEqual([
      [1, 'a', 1],
      [2, 'b', 2],
      [3, 'c', 0],
    ])
    const read = await backend.read(2)
    expect([text(read.records), text(read.payload)]).toEqual(['b', 'BB'])
  })

  it('takes arrays that are views, and does not see later changes behind them', async () => {
    await backend.open()
    const slab = Buffer.alloc(64, 'x')
    await commit(backend, { records: slab.subarray(0, 4), payload: slab.subarray(4, 8) })
    const { records, payload } = await backend.read(1)
    expect(text(records) + text(payload)).toBe('xxxxxxxx')
  })

  it('takes the same array twice in a unit', async () => {
    await backend.open()
    const bytes = new Uint8Array([1, 2, 3])
    await commit(backend, { records: bytes, payload: bytes }, { records: bytes, payload: new Uint8Array(0) })
    expect([...(await backend.read(1)).payload]).toEqual([1, 2, 3])
    expect([...(await backend.read(2)).records]).toEqual([1, 2, 3])
  })

  it('finds everything again after close', async () => {
    const { identity } = await backend.open()
    await commit(backend, entry('a', 'A'))
    await backend.commit({ definitions: [vhost('v'), queue(7, 'v', 'q')], entries: [entry('b', 'B')] })
    const opened = await reopen(true)
    expect(opened).toMatchObject({ identity, lastPosition: 2, nextQueueId: 8, cleanShutdown: true })
    expect(opened.definitions.queue).toEqual([
      { id: 7, vhost: 'v', name: 'q', durable: true, autoDelete: false, arguments: '{"x":1}' },
    ])
    expect(opened.definitions.vhost).toEqual([
      { name: 'v', description: 'd', tags: ['a', 'b'], defaultQueueType: '', protectedFromDeletion: true },
    ])
    expect(await replayed(backend)).toEqual([
      [1, 'a', 1],
      [2, 'b', 1],
    ])
  })

  it('reports a clean shutdown once only', async () => {
    await backend.open()
    expect((await reopen(true)).cleanShutdown).toBe(true)
    await backend.begin()
    expect((await reopen(false)).cleanShutdown).toBe(false)
    expect((await reopen(false)).cleanShutdown).toBe(false)
    expect((await reopen(true)).cleanShutdown).toBe(true)
  })

  it('forgets what is trimmed and removed, and keeps the rest', async () => {
    await backend.open()
    for (let i = 1; i <= 300; i++) await commit(backend, entry(`r${i}`, 'payload'))
    await backend.trim(200)
    await backend.remove([250, 999, 260])
    await reopen(true) // a clean close finishes deferred work
    const left = (await replayed(backend)).map(([position]) => position)
    const expected = Array.from({ length: 101 }, (_, i) => 200 + i).filter((p) => p !== 250 && p !== 260)
    expect(left).toEqual(expected)
    expect((await backend.stats()).entries).toBe(99)
    await expect(backend.read(250)).rejects.toMatchObject({ kind: 'missing' })
  })

  it('never gives out a position or queue id twice', async () => {
    await backend.open()
    await commit(backend, entry('a'), entry('b'))
    await define(backend, queue(5, 'v', 'q'))
    await define(backend, { op: 'delete', kind: 'queue', key: { id: 5 } })
    await backend.trim(3)
    expect(await reopen(true)).toMatchObject({ lastPosition: 2, nextQueueId: 6 })
    expect(await commit(backend, entry('c'))).toBe(3)
  })

  it('replays more than fits in one group, in order', async () => {
    await backend.open()
    for (let i = 0; i < 40; i++) {
      await commit(backend, { records: new Uint8Array(300_000).fill(i), payload: new Uint8Array(10) })
    }
    const seen: number[] = []
    await backend.replay((position, records, payloadLength) => {
      seen.push(position)
      expect([records.length, records[0], records[299_999], payloadLength]).toEqual([
        300_000,
        position - 1,
        position - 1,
        10,
      ])
    })
    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  })

  it('rejects a replay with what the callback throws, and goes on', async () => {
    await backend.open()
    await commit(backend, entry('a'), entry('b'))
    const fault = new Error('stop')
    await expect(
      backend.replay(() => {
        throw fault
      }),
    ).rejects.toBe(fault)
    expect(await commit(backend, entry('c'))).toBe(3)
  })

  it('refuses an entry over the limit and stores nothing of its unit', async () => {
    await backend.open()
    const huge = { records: new Uint8Array(1), payload: { length: ENTRY_BYTES_MAX } as Uint8Array }
    if (backend instanceof SqliteBackend) huge.payload = new Uint8Array(ENTRY_BYTES_MAX)
    const unit = { definitions: [vhost('v')], entries: [entry('a'), huge] }
    await expect(backend.commit(unit)).rejects.toMatchObject({ kind: 'too-large' })
    expect((await backend.stats()).entries).toBe(0)
    expect(await commit(backend, entry('b'))).toBe(1)
    expect((await reopen(true)).definitions.vhost).toEqual([])
  })

  it('rejects calls after close', async () => {
    await backend.open()
    await backend.close(true)
    await backend.close(true)
    await expect(commit(backend, entry('a'))).rejects.toMatchObject({ kind: 'closed' })
    await expect(backend.read(1)).rejects.toBeInstanceOf(StorageError)
  })

  it('keeps each kind of definition, replaces by key and deletes by key', async () => {
    await backend.open()
    await define(backend, ...oneOfEachKind())
    const opened = await reopen(true)
    expect(opened.definitions).toEqual(recordsOf(oneOfEachKind()))
    await define(backend, ...oneOfEachKind()) // the same again
    expect((await reopen(true)).definitions).toEqual(recordsOf(oneOfEachKind()))
    await define(backend, { op: 'delete', kind: 'user', key: { name: 'u' } })
    await define(backend, { op: 'delete', kind: 'vhost', key: { name: 'v' } })
    await define(backend, { op: 'delete', kind: 'vhost', key: { name: 'v' } })
    expect(Object.values((await reopen(true)).definitions).flat()).toEqual([])
  })

  it('applies the changes of a unit in order', async () => {
    await backend.open()
    await define(
      backend,
      queue(1, 'v', 'old'),
      { op: 'delete', kind: 'queue', key: { id: 1 } },
      queue(2, 'v', 'q'),
      queue(2, 'v', 'new'),
    )
    expect((await reopen(true)).definitions.queue.map(({ id, name }) => [id, name])).toEqual([[2, 'new']])
  })

  it('agrees with a plain model over any sequence of calls', async () => {
    await backend.open()
    const model = new Map<number, string>()
    let last = Math.max(0, (await backend.stats()).entries)
    const step = fc.oneof(
      fc.array(fc.string(), { maxLength: 4 }).map((payloads) => ({ op: 'commit' as const, payloads })),
      fc.nat(60).map((before) => ({ op: 'trim' as const, before })),
      fc.array(fc.nat(60), { maxLength: 5 }).map((positions) => ({ op: 'remove' as const, positions })),
      fc.boolean().map((clean) => ({ op: 'reopen' as const, clean })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        for (const it of steps) {
          if (it.op === 'commit') {
            await commit(backend, ...it.payloads.map((payload) => entry('r', payload)))
            for (const payload of it.payloads) model.set(++last, payload)
          } else if (it.op === 'trim') {
            await backend.trim(it.before)
            for (const position of model.keys()) if (position < it.before) model.delete(position)
          } else if (it.op === 'remove') {
            await backend.remove(it.positions)
            for (const position of it.positions) model.delete(position)
          } else await reopen(true)
        }
        expect((await reopen(true)).lastPosition).toBe(last)
        expect((await replayed(backend)).map(([position]) => position)).toEqual([...model.keys()])
        for (const [position, payload] of model) expect(text((await backend.read(position)).payload)).toBe(payload)
      }),
      { numRuns: 15 },
    )
  })
})

function oneOfEachKind(): DefinitionChange[] {
  return [
    vhost('v'),
    {
      op: 'put',
      kind: 'user',
      record: { name: 'u', passwordHash: 'h', hashingAlgorithm: 'sha256', tags: ['administrator'] },
    },
    { op: 'put', kind: 'permission', record: { user: 'u', vhost: 'v', configure: '.*', write: '^a', read: '' } },
    {
      op: 'put',
      kind: 'exchange',
      record: {
        vhost: 'v',
        name: 'x',
        type: 'topic',
        durable: true,
        autoDelete: true,
        internal: false,
        arguments: '{}',
      },
    },
    queue(3, 'v', 'q\u0000ü'),
    {
      op: 'put',
      kind: 'binding',
      record: {
        vhost: 'v',
        source: 'x',
        destination: 'q',
        destinationType: 'queue',
        routingKey: 'a.#',
        arguments: '{"n":1}',
      },
    },
    { op: 'put', kind: 'parameter', record: { component: 'c', name: 'p', vhost: 'v', value: '[1]' } },
    {
      op: 'put',
      kind: 'policy',
      record: { vhost: 'v', name: 'p', pattern: '^', applyTo: 'queues', priority: -1, definition: '{}' },
    },
  ]
}

function recordsOf(changes: DefinitionChange[]): Definitions {
  const records: Record<string, unknown[]> = {}
  for (const change of changes) if (change.op === 'put') records[change.kind] = [change.record]
  return records as unknown as Definitions
}

describe('a memory backend that does not remember', () => {
  it('is empty after close', async () => {
    const backend = new MemoryBackend()
    await backend.open()
    await backend.commit({ definitions: [vhost('v')], entries: [entry('a')] })
    await backend.close(false)
    expect(await backend.open()).toMatchObject({ definitions: { vhost: [] }, cleanShutdown: true })
    expect((await backend.stats()).entries).toBe(0)
  })
})

describe('a faulty backend', () => {
  const faulty = async () => {
    const backend = new FaultyBackend(new MemoryBackend({ remembers: true }))
    await backend.open()
    return backend
  }

  it('fails the commits it is told to fail, storing them or not', async () => {
    const backend = await faulty()
    backend.faultOf = (n) => (n === 1 ? { kind: 'full' } : n === 2 ? { kind: 'unavailable', stored: true } : undefined)
    await expect(commit(backend, entry('a'))).rejects.toMatchObject({ kind: 'full' })
    await expect(commit(backend, entry('b'))).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await commit(backend, entry('c'))).toBe(2)
    expect((await replayed(backend)).map(([, records]) => records)).toEqual(['b', 'c'])
  })

  it('holds commits until released, and forgets those under way in a crash', async () => {
    const backend = await faulty()
    backend.hold()
    const held = commit(backend, entry('a'))
    backend.release()
    expect(await held).toBe(1)
    backend.hold()
    let isSettled = false
    const settle = () => {
      isSettled = true
    }
    commit(backend, entry('lost')).then(settle, settle)
    await backend.crash()
    expect((await backend.open()).cleanShutdown).toBe(false)
    expect(await commit(backend, entry('b'))).toBe(2)
    expect((await replayed(backend)).map(([, records]) => records)).toEqual(['a', 'b'])
    expect(isSettled).toBe(false)
  })
})
