// The log in one SQLite file, leveret.db in the data directory: the main thread's side. All work happens on a worker
// thread; this turns calls into messages and answers into promises. Made by server/broker.
import * as path from 'node:path'
import { Worker } from 'node:worker_threads'
import { DATABASE_FILE, damaged } from './data-directory'
import {
  type CommitUnit,
  type LogBackend,
  type LogEntry,
  type LogPosition,
  type Opened,
  StartupError,
  StorageError,
  type StorageStats,
} from './log-backend'
import { SharedPlaces } from './shared-places'
import { DEFAULT_SQLITE_LIMITS, type SqliteLimits } from './sqlite-limits'
import {
  type Answer,
  type Call,
  type EntryInPlace,
  type ErrorAnswer,
  forEachRow,
  type ReplayGroup,
  type Request,
  type WorkerSettings,
} from './sqlite-protocol'
import { compact, ownedBuffers } from './transfer'

/** So long may a trim wait for a commit to travel with. */
const TRIM_DELAY_MS = 50

interface Waiter {
  resolve(value: unknown): void
  reject(error: Error): void
}

export class SqliteBackend implements LogBackend {
  /** The worker died, and with it all that it held: only a new process can go on. */
  onLost: (error: StorageError) => void = () => {}
  private isOpen = false
  private worker: Worker | undefined
  private readonly waiters = new Map<number, Waiter>()
  private nextRequestId = 1
  private readonly places = new SharedPlaces()
  private ended: Promise<void> = Promise.resolve() // when the thread is gone
  private failure: StorageError | undefined // why no call can succeed any more
  private trimBefore: LogPosition = 0 // not yet sent
  private trimTimer: NodeJS.Timeout | undefined

  constructor(
    private readonly directory: string,
    private readonly limits: Partial<SqliteLimits> = {},
  ) {}

  /** Starts the thread, which takes as long as loading the rest of a broker, and touches nothing. Need not be called. */
  prepare(): this {
    if (this.worker === undefined) this.start()
    return this
  }

  async open(): Promise<Opened> {
    this.prepare()
    try {
      const opened = (await this.request({ call: 'open' })) as Opened
      this.isOpen = true
      return opened
    } catch (error) {
      this.worker?.ref() // a refused start leaves no thread behind, and the caller gets to hear of it
      await this.ended
      throw error
    }
  }

  begin(): Promise<void> {
    return this.request({ call: 'begin' }) as Promise<void>
  }

  room(bytes: number): Uint8Array {
    return this.places.takeFor(bytes) ?? Buffer.allocUnsafeSlow(bytes)
  }

  async commit(unit: CommitUnit): Promise<LogPosition> {
    const entries = unit.entries.map(({ records, payload }) => ({
      records: compact(records),
      payload: compact(payload),
    }))
    const buffers = ownedBuffers(entries.flatMap(({ records, payload }) => [records, payload]))
    const call: Call = { call: 'commit', unit: { definitions: unit.definitions, entries }, trimBefore: this.takeTrim() }
    try {
      return (await this.request(call, buffers)) as LogPosition
    } finally {
      for (const { payload } of entries) this.places.giveBack(payload)
    }
  }

  async replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void> {
    let group = await this.replayGroup(0)
    while (group.positions.length > 0) {
      // One group ahead: the worker reads while we work, and never more than two groups are in memory.
      const next = this.replayGroup(group.positions[group.positions.length - 1])
      next.catch(() => {}) // awaited below, unless onEntry throws first
      forEachRow(group, (position, records, payloadLength) => {
        try {
          onEntry(position, records, payloadLength)
        } catch (error) {
          throw this.located(error, position)
        }
      })
      group = await next
    }
  }

  private located(error: unknown, position: LogPosition): unknown {
    if (!(error instanceof StorageError && error.kind === 'corrupt')) return error
    return damaged(path.join(path.resolve(this.directory), DATABASE_FILE), `log entry ${position}: ${error.message}`)
  }

  private replayGroup(after: LogPosition): Promise<ReplayGroup> {
    return this.request({ call: 'replay', after }) as Promise<ReplayGroup>
  }

  async read(position: LogPosition): Promise<LogEntry> {
    const into = this.places.take()
    let answer: LogEntry | EntryInPlace | null = null
    try {
      answer = (await this.request({ call: 'read', position, into })) as LogEntry | EntryInPlace
    } finally {
      if (into !== null && (answer === null || !('payloadBytes' in answer))) this.places.giveBack(new Uint8Array(into))
    }
    if (into === null || !('payloadBytes' in answer)) return answer as LogEntry
    const { payloadBytes, recordsBytes } = answer
    return { payload: new Uint8Array(into, 0, payloadBytes), records: new Uint8Array(into, payloadBytes, recordsBytes) }
  }

  giveBack({ payload }: LogEntry): void {
    this.places.giveBack(payload)
  }

  /** Travels with the next commit: a message of its own after each would wake both threads once more, just when a publisher waits. */
  trim(before: LogPosition): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    this.trimBefore = Math.max(this.trimBefore, before)
    this.trimTimer ??= setTimeout(() => this.sendTrim().catch(() => {}), TRIM_DELAY_MS).unref()
    return Promise.resolve()
  }

  private takeTrim(): LogPosition {
    const before = this.trimBefore
    this.trimBefore = 0
    clearTimeout(this.trimTimer)
    this.trimTimer = undefined
    return before
  }

  private async sendTrim(): Promise<void> {
    const before = this.takeTrim()
    if (before !== 0) await this.request({ call: 'trim', before })
  }

  async remove(positions: readonly LogPosition[]): Promise<void> {
    await Promise.all([this.sendTrim(), this.request({ call: 'remove', positions })]) // in this order: so it was asked for
  }

  /** Copies the database to a new file while everything goes on: all that was committed before the call is in it, and some of
   *  what came since. The copy is no part of the contract: other backends have their own ways. */
  backup(file: string): Promise<void> {
    return this.request({ call: 'backup', file: path.resolve(file) }) as Promise<void>
  }

  stats(): Promise<StorageStats> {
    return this.request({ call: 'stats' }) as Promise<StorageStats>
  }

  async close(clean: boolean): Promise<void> {
    this.worker?.ref() // its end is waited for, also when it fails of itself
    if (this.worker === undefined || this.failure !== undefined) return this.ended
    this.sendTrim().catch(() => {}) // close tells of whatever is wrong
    const closed = this.request({ call: 'close', clean })
    this.failure = new StorageError('closed', 'the log is closed')
    try {
      await closed
    } finally {
      await this.ended
    }
  }

  // -- the worker -----------------------------------------------------------------------------------------------------

  private start(): void {
    const settings: WorkerSettings = {
      directory: path.resolve(this.directory),
      limits: { ...DEFAULT_SQLITE_LIMITS, ...this.limits },
    }
    const worker = new Worker(path.join(__dirname, 'sqlite-worker.js'), {
      name: 'leveret-storage',
      workerData: settings,
      execArgv: [], // the host program's loaders and inspectors are not for us
    })
    this.worker = worker
    worker.on('message', (answer: Answer) => this.onAnswer(answer))
    worker.on('error', (error) => this.onWorkerGone(`the storage worker failed: ${error.message}`))
    this.ended = new Promise((resolve) => {
      worker.on('exit', () => {
        this.onWorkerGone('the storage worker ended')
        resolve()
      })
    })
  }

  private request(call: Call, transfer: ArrayBuffer[] = []): Promise<unknown> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    const worker = this.worker
    if (worker === undefined) return Promise.reject(new StorageError('closed', 'the log is not open'))
    const request: Request = { id: this.nextRequestId++, call }
    return new Promise((resolve, reject) => {
      worker.postMessage(request, transfer)
      // Only a call under way keeps the process alive: a program that forgets to stop its embedded broker still ends.
      if (this.waiters.size === 0) worker.ref()
      this.waiters.set(request.id, { resolve, reject })
    })
  }

  private onAnswer(answer: Answer): void {
    const waiter = this.waiters.get(answer.id)
    this.waiters.delete(answer.id)
    if (this.waiters.size === 0 && this.failure === undefined) this.worker?.unref()
    if ('error' in answer) waiter?.reject(toError(answer.error))
    else waiter?.resolve(answer.value)
  }

  private onWorkerGone(message: string): void {
    const isNews = this.failure === undefined
    this.failure ??= new StorageError('unavailable', message)
    for (const waiter of this.waiters.values()) waiter.reject(this.failure)
    this.waiters.clear()
    if (isNews && this.isOpen) this.onLost(this.failure)
  }
}

const toError = (error: ErrorAnswer): Error =>
  error.type === 'startup' ? new StartupError(error.reason, error.message) : new StorageError(error.kind, error.message)
