// What outlives the lives of a simulated broker: the log in memory or in a SQLite file. What was asked to be forgotten is
// forgotten when the driver says so, part by part; a crash undoes what was still to be done, as the contract allows.
import { mkdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CommitUnit, LogBackend, LogEntry, LogPosition, Opened, StorageStats } from '../../../storage/log-backend'
import { MemoryBackend } from '../../../storage/memory-backend'
import { SqliteBackend } from '../../../storage/sqlite-backend'
import { SqliteInThread } from './sqlite-in-thread'

export type BackendKind = 'memory' | 'sqlite'

/** The worker deletes as soon as it is idle, and never of its own accord between commits: the driver waits for it. */
const SQLITE_LIMITS = { idleMs: 0, commitsPerSlice: 1_000_000 }

/** A thread takes its time to start: one life in so many has it, others do the same work without. */
const OPENS_PER_THREAD = 5

export class SimulatedDisk implements LogBackend {
  private readonly memory = new MemoryBackend({ remembers: true })
  private inner: LogBackend = this.memory
  private first = 1 // the lowest position that may still be there
  private last = 0
  private trimTo = 0
  private opens = 0

  constructor(
    readonly kind: BackendKind,
    readonly directory: string,
  ) {
    mkdirSync(directory, { recursive: true })
  }

  async open(): Promise<Opened> {
    this.inner = this.newInner()
    const opened = await this.inner.open()
    this.last = opened.lastPosition
    this.trimTo = 0
    return opened
  }

  private newInner(): LogBackend {
    if (this.kind === 'memory') return this.memory
    const isOnThread = this.opens++ % OPENS_PER_THREAD === 0
    return new (isOnThread ? SqliteBackend : SqliteInThread)(this.directory, SQLITE_LIMITS)
  }

  begin(): Promise<void> {
    return this.inner.begin()
  }

  async commit(unit: CommitUnit): Promise<LogPosition> {
    const { length } = unit.entries
    const position = await this.inner.commit(unit)
    if (length > 0) this.last = position + length - 1
    return position
  }

  read(position: LogPosition): Promise<LogEntry> {
    return this.inner.read(position)
  }

  replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void> {
    return this.inner.replay(onEntry)
  }

  async trim(before: LogPosition): Promise<void> {
    this.trimTo = Math.max(this.trimTo, before)
  }

  remove(): Promise<void> {
    throw new Error('the journal forgets from the front only')
  }

  stats(): Promise<StorageStats> {
    return this.inner.stats()
  }

  close(clean: boolean): Promise<void> {
    return this.inner.close(clean)
  }

  /** Forgets so many entries of those that may be forgotten. */
  async forget(count: number): Promise<void> {
    const before = Math.min(this.trimTo, this.first + count)
    if (before <= this.first) return
    this.first = before
    await this.inner.trim(before)
    const left = this.last - before + 1
    while ((await this.inner.stats()).entries > left) await sleep(0)
  }
}
