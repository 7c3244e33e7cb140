// The log in this process's memory, for embedded and test brokers: same contract, nothing survives close(), and
// definitions are not kept at all since nobody reads them again. With `remembers`, what was committed is there at the
// next open() of the same object, as if on a disk: for tests of recovery.
import { randomUUID } from 'node:crypto'
import {
  DEFINITION_DEPENDENTS,
  DEFINITION_KEYS,
  type DefinitionChange,
  type DefinitionKind,
  type Definitions,
  emptyDefinitions,
} from './definitions'
import {
  type CommitUnit,
  checkSizes,
  type LogBackend,
  type LogEntry,
  type LogPosition,
  type Opened,
  StorageError,
  type StorageStats,
} from './log-backend'

export class MemoryBackend implements LogBackend {
  private readonly identity = randomUUID()
  private readonly entries = new Map<LogPosition, LogEntry>() // in order, since positions only grow
  private definitions: Definitions = emptyDefinitions()
  private lastPosition = 0
  private nextQueueId = 1
  private cleanShutdown = true
  private isOpen = false
  private readonly remembers: boolean

  constructor(options: { remembers?: boolean } = {}) {
    this.remembers = options.remembers ?? false
  }

  async open(): Promise<Opened> {
    this.isOpen = true
    const cleanShutdown = this.cleanShutdown
    this.cleanShutdown = false
    return {
      identity: this.identity,
      definitions: structuredClone(this.definitions),
      lastPosition: this.lastPosition,
      nextQueueId: this.nextQueueId,
      cleanShutdown,
    }
  }

  async commit(unit: CommitUnit): Promise<LogPosition> {
    this.checkOpen()
    checkSizes(unit)
    for (const change of unit.definitions) this.define(change)
    const first = this.lastPosition + 1
    for (const { records, payload } of unit.entries) this.entries.set(++this.lastPosition, { records, payload })
    return unit.entries.length > 0 ? first : this.lastPosition
  }

  async begin(): Promise<void> {}

  async replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void> {
    this.checkOpen()
    for (const [position, { records, payload }] of this.entries) onEntry(position, records, payload.length)
  }

  async read(position: LogPosition): Promise<LogEntry> {
    this.checkOpen()
    const entry = this.entries.get(position)
    if (entry === undefined) throw new StorageError('missing', `there is no log entry ${position}`)
    return entry
  }

  async trim(before: LogPosition): Promise<void> {
    this.checkOpen()
    for (const position of this.entries.keys()) {
      if (position >= before) break
      this.entries.delete(position)
    }
  }

  async remove(positions: readonly LogPosition[]): Promise<void> {
    this.checkOpen()
    for (const position of positions) this.entries.delete(position)
  }

  async stats(): Promise<StorageStats> {
    this.checkOpen()
    return { fileBytes: 0, walBytes: 0, entries: this.entries.size, freeBytes: Number.POSITIVE_INFINITY }
  }

  async close(clean: boolean): Promise<void> {
    if (!this.isOpen) return
    this.isOpen = false
    this.cleanShutdown = clean || !this.remembers
    if (!this.remembers) this.entries.clear()
  }

  private checkOpen(): void {
    if (!this.isOpen) throw new StorageError('closed', 'the log is closed')
  }

  private define(change: DefinitionChange): void {
    if (change.kind === 'queue' && change.op === 'put') {
      this.nextQueueId = Math.max(this.nextQueueId, change.record.id + 1)
    }
    if (!this.remembers) return
    const { kind } = change
    const target = change.op === 'put' ? change.record : change.key
    this.drop(kind, DEFINITION_KEYS[kind], target)
    if (change.op === 'put') {
      ;(this.definitions[kind] as unknown[]).push(structuredClone(change.record))
      return
    }
    for (const [child, field] of DEFINITION_DEPENDENTS[kind]) {
      this.drop(child, [field], { [field]: (change.key as { name: string }).name })
    }
  }

  /** Deletes the records whose `fields` are as in `target`. */
  private drop(kind: DefinitionKind, fields: readonly string[], target: object): void {
    const wanted = target as Record<string, unknown>
    const records = this.definitions[kind] as unknown as Record<string, unknown>[]
    const kept = records.filter((record) => fields.some((field) => record[field] !== wanted[field]))
    ;(this.definitions as unknown as Record<string, unknown[]>)[kind] = kept
  }
}
