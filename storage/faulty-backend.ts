// A log backend around another that fails, stalls and loses power on command. For tests of what stands above the contract,
// and itself held to the contract by backend-suite.test.ts while told nothing.
import {
  type CommitUnit,
  type LogBackend,
  type LogEntry,
  type LogPosition,
  type Opened,
  StorageError,
  type StorageErrorKind,
  type StorageStats,
} from './log-backend'

/** How a commit is to fail. `stored`: it reaches the inner log all the same, as when the disk fails in the act of promising. */
export interface Fault {
  kind: StorageErrorKind
  stored?: boolean
}

export class FaultyBackend implements LogBackend {
  /** Asked before each commit, with its number from 1 on. */
  faultOf: (commitNumber: number, unit: CommitUnit) => Fault | undefined = () => undefined
  /** Likewise for reads. */
  readFaultOf: (position: LogPosition) => StorageErrorKind | undefined = () => undefined
  /** Does a commit or a read: at once, or when the test likes. */
  perform: <T>(what: 'commit' | 'read', work: () => Promise<T>) => Promise<T> = (_, work) => work()
  commits = 0
  private gate: Promise<void> | undefined
  private openGate: () => void = () => {}
  private lives = 1 // calls made in an earlier life come to nothing

  constructor(readonly inner: LogBackend) {}

  /** From now on commits wait, until release(). */
  hold(): void {
    if (this.gate === undefined) {
      this.gate = new Promise((resolve) => {
        this.openGate = resolve
      })
    }
  }

  release(): void {
    this.gate = undefined
    this.openGate()
  }

  /** As kill -9: nothing more reaches the inner log, and commits and reads under way never settle. Then open() again. */
  async crash(): Promise<void> {
    this.lives++
    this.release()
    await this.inner.close(false)
  }

  open(): Promise<Opened> {
    return this.inner.open()
  }

  begin(): Promise<void> {
    return this.inner.begin()
  }

  async commit(unit: CommitUnit): Promise<LogPosition> {
    const fault = this.faultOf(++this.commits, unit)
    const life = this.lives
    if (this.gate !== undefined) await this.gate
    if (life !== this.lives) return NEVER
    return this.inThisLife(this.perform('commit', () => this.commitNow(unit, fault)))
  }

  room(bytes: number): Uint8Array {
    return this.inner.room?.(bytes) ?? new Uint8Array(bytes)
  }

  giveBack(entry: LogEntry): void {
    this.inner.giveBack?.(entry)
  }

  async read(position: LogPosition): Promise<LogEntry> {
    const kind = this.readFaultOf(position)
    return this.inThisLife(
      this.perform('read', async () => {
        if (kind !== undefined) throw new StorageError(kind, `injected: ${kind}`)
        return this.inner.read(position)
      }),
    )
  }

  replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void> {
    return this.inner.replay(onEntry)
  }

  trim(before: LogPosition): Promise<void> {
    return this.inner.trim(before)
  }

  remove(positions: readonly LogPosition[]): Promise<void> {
    return this.inner.remove(positions)
  }

  stats(): Promise<StorageStats> {
    return this.inner.stats()
  }

  close(clean: boolean): Promise<void> {
    return this.inner.close(clean)
  }

  private async commitNow(unit: CommitUnit, fault: Fault | undefined): Promise<LogPosition> {
    if (fault === undefined) return this.inner.commit(unit)
    if (fault.stored) await this.inner.commit(unit)
    throw new StorageError(fault.kind, `injected: ${fault.kind}`)
  }

  private async inThisLife<T>(result: Promise<T>): Promise<T> {
    const life = this.lives
    const value = await result
    return life === this.lives ? value : NEVER
  }
}

const NEVER = new Promise<never>(() => {})
