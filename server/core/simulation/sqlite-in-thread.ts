// The SQLite log without its worker thread: the same code on the same file, a tenth of a thread's start sooner. For a
// simulation that opens its log hundreds of times.
import type { CommitUnit, LogBackend, LogEntry, LogPosition, Opened, StorageStats } from '../../../storage/log-backend'
import { DEFAULT_SQLITE_LIMITS, type SqliteLimits } from '../../../storage/sqlite-limits'
import { SqliteLog } from '../../../storage/sqlite-log'
import { forEachRow } from '../../../storage/sqlite-protocol'

export class SqliteInThread implements LogBackend {
  private readonly log: SqliteLog
  private isClosed = false

  constructor(directory: string, limits: Partial<SqliteLimits>) {
    this.log = new SqliteLog(directory, { ...DEFAULT_SQLITE_LIMITS, ...limits })
  }

  async open(): Promise<Opened> {
    return this.log.open()
  }

  async begin(): Promise<void> {
    this.log.begin()
  }

  async commit(unit: CommitUnit): Promise<LogPosition> {
    return this.log.commit(unit)
  }

  async read(position: LogPosition): Promise<LogEntry> {
    return this.log.read(position)
  }

  async replay(onEntry: (position: LogPosition, records: Uint8Array, payloadLength: number) => void): Promise<void> {
    let after = 0
    for (let group = this.log.replayGroup(after); group.positions.length > 0; group = this.log.replayGroup(after)) {
      forEachRow(group, onEntry)
      after = group.positions[group.positions.length - 1]
    }
  }

  /** Done at once, not only noted. */
  async trim(before: LogPosition): Promise<void> {
    this.log.trim(before)
    while (this.log.housekeep(true));
  }

  async remove(positions: readonly LogPosition[]): Promise<void> {
    this.log.remove(positions)
  }

  async stats(): Promise<StorageStats> {
    return this.log.stats()
  }

  async close(clean: boolean): Promise<void> {
    if (!this.isClosed) this.log.close(clean)
    this.isClosed = true
  }
}
