// Salvage, one procedure told in order: reads what can still be read of a damaged data directory and writes it to a new one
// that a broker starts on. The damaged one is only ever read. Called by the command line, while no broker runs.
//
// What is kept: definitions that are readable, entries of the log whose checksums hold, in their order. Of an entry whose message
// bytes are damaged the messages are left out, and what it says of others (settlements) is kept. An entry whose records
// are damaged is left out whole: messages published in it are lost, messages settled in it may come back.
import * as fs from 'node:fs'
import * as path from 'node:path'
import Database from 'better-sqlite3'
import { type RecordSink, RecordWriter, readRecords } from '../batch-codec'
import { syncPath } from '../data-directory'
import { DEFINITION_KINDS, type DefinitionChange, type UserRecord } from '../definitions'
import { type LogEntry, type LogPosition, StartupError } from '../log-backend'
import { LogRows } from '../log-rows'
import { MessageStore } from '../message-store'
import { recover } from '../recovery'
import { SqliteBackend } from '../sqlite-backend'
import { DEFAULT_SQLITE_LIMITS } from '../sqlite-limits'
import { SqliteLog } from '../sqlite-log'
import { DamagedDatabase, type FoundEntry } from './damaged-database'

/** Of one commit to the new directory. */
const COMMIT_BYTES = 8 * 1024 * 1024

export interface SalvageOptions {
  from: string
  to: string
  /** Put in when no user can be read, or nobody could log in. */
  fallbackUser: UserRecord
  /** Now and then. */
  onProgress?(done: number, total: number): void
}

export interface SalvageReport {
  /** What was not readable or is lost, a line each. Empty: all is there. */
  losses: string[]
  /** What else a person should know. */
  notes: string[]
  definitions: number
  entries: number
  messages: number // that wait in queues
  queues: number
}

/** Rejects with StartupError, having left nothing, when there is nothing to read or nowhere to write. */
export async function salvage(options: SalvageOptions): Promise<SalvageReport> {
  const from = path.resolve(options.from)
  const to = path.resolve(options.to)
  const draft = `${to}.part`
  checkPlaces(from, to, draft)
  const release = keepBrokersAway(from)
  const source = openSource(path.join(from, 'leveret.db'))
  try {
    source.survey()
    if (source.isEmpty)
      throw refused(
        `nothing in ${from} can be read as data of a broker: it was made by another program, or all of it is destroyed`,
      )
    fs.mkdirSync(draft, { recursive: true })
    const report = new Rebuild(source, draft, options).run()
    Object.assign(report, await countMessages(draft))
    fs.rmSync(path.join(draft, 'leveret.lock'), { force: true })
    syncPath(draft)
    fs.renameSync(draft, to)
    syncPath(path.dirname(to))
    return report
  } catch (error) {
    fs.rmSync(draft, { recursive: true, force: true })
    throw error
  } finally {
    source.close()
    release()
  }
}

function checkPlaces(from: string, to: string, draft: string): void {
  const database = path.join(from, 'leveret.db')
  const bytes = Math.max(...[database, `${database}-wal`].map((file) => statOf(file)?.size ?? 0))
  if (bytes === 0) throw refused(`there is nothing to salvage in ${from}: ${database} is missing or empty`)
  if (`${to}${path.sep}`.startsWith(`${from}${path.sep}`))
    throw refused(`${to} lies within ${from}: name another place`)
  if (statOf(to) !== undefined && !isEmptyDirectory(to)) throw refused(`${to} exists already: name a new directory`)
  if (statOf(draft) !== undefined)
    throw refused(`${draft} is left over from a salvage that was cut off: delete it first`)
}

function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false })
  } catch (error) {
    throw refused(`cannot look at ${file}: ${(error as Error).message}`)
  }
}

const isEmptyDirectory = (place: string): boolean =>
  fs.statSync(place).isDirectory() && fs.readdirSync(place).length === 0

const refused = (message: string): StartupError => new StartupError('unusable', message)

function openSource(database: string): DamagedDatabase {
  try {
    return new DamagedDatabase(database)
  } catch (error) {
    throw refused(`cannot read ${database}: ${(error as Error).message}`)
  }
}

/** Shares the lock that a broker must have for itself: none is running, and none starts meanwhile. Writes nothing. */
function keepBrokersAway(directory: string): () => void {
  const lockPath = path.join(directory, 'leveret.lock')
  if (statOf(lockPath) === undefined) return () => {}
  const lock = new Database(lockPath, { readonly: true, timeout: 0 })
  try {
    lock.exec('BEGIN')
    lock.prepare('SELECT count(*) FROM sqlite_schema').get()
    return () => lock.close()
  } catch (error) {
    lock.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') return () => {} // not a lock any more
    throw refused(`a broker runs on ${directory}: stop it first`)
  }
}

/** By recovering it as a broker will: what cannot be recovered must not be called salvaged. */
async function countMessages(directory: string): Promise<{ messages: number; queues: number }> {
  const backend = new SqliteBackend(directory)
  const { definitions } = await backend.open()
  try {
    const queues = new Set(definitions.queue.map((queue) => queue.id))
    let messages = 0
    await recover(backend, new MessageStore(), new LogRows(), queues, () => messages++)
    return { messages, queues: queues.size }
  } finally {
    await backend.close(false)
  }
}

/** Writes the new directory, and finds out on the way what is lost. */
class Rebuild {
  private readonly report: SalvageReport
  private readonly log: SqliteLog
  private readonly lost = new LostMessages()
  private entries: LogEntry[] = []
  private bytes = 0

  constructor(
    private readonly source: DamagedDatabase,
    draft: string,
    private readonly options: SalvageOptions,
  ) {
    this.report = { losses: [], notes: [], definitions: 0, entries: 0, messages: 0, queues: 0 }
    this.log = new SqliteLog(draft, DEFAULT_SQLITE_LIMITS)
  }

  run(): SalvageReport {
    const { source, report } = this
    this.log.open()
    try {
      this.copyDefinitions()
      this.copyEntries()
      this.flush()
      report.losses.unshift(...source.damage)
      this.nameUnknownQueues()
      this.describeLost()
      // What a clean stop noted of deliveries is exact only if nothing of it is missing.
      this.log.close(report.losses.length === 0 && source.meta.get('clean_shutdown') === 1)
      return report
    } catch (error) {
      this.log.close(false)
      throw error
    }
  }

  // -- definitions ----------------------------------------------------------------------------------------------------

  private copyDefinitions(): void {
    const { definitions } = this.source
    const changes: DefinitionChange[] = []
    for (const kind of DEFINITION_KINDS) {
      for (const record of definitions[kind]) changes.push({ op: 'put', kind, record } as DefinitionChange)
    }
    this.report.definitions = changes.length
    this.log.commit({ definitions: [...changes, ...this.fillIn()], entries: [] })
  }

  /** What the readable definitions cannot do without. */
  private fillIn(): DefinitionChange[] {
    const { definitions, damagedKinds } = this.source
    const changes: DefinitionChange[] = []
    const vhosts = new Set(definitions.vhost.map((vhost) => vhost.name))
    for (const { vhost } of [...definitions.queue, ...definitions.exchange, ...definitions.permission]) {
      if (vhosts.has(vhost)) continue
      vhosts.add(vhost)
      changes.push(newVhost(vhost))
      this.report.losses.push(`virtual host ${quoted(vhost)} is not readable: made again, without its description`)
    }
    if (vhosts.size === 0 && this.source.positions.length > 0) {
      vhosts.add('/')
      changes.push(newVhost('/'))
    }
    if (definitions.user.length > 0 || vhosts.size === 0) return changes
    if (damagedKinds.has('user') || this.source.positions.length > 0) changes.push(...this.letIn([...vhosts]))
    return changes
  }

  private letIn(vhosts: readonly string[]): DefinitionChange[] {
    const { fallbackUser } = this.options
    this.report.losses.push(`no user is readable: ${quoted(fallbackUser.name)} was made, with the default password`)
    const all = { configure: '.*', write: '.*', read: '.*' }
    return [
      { op: 'put', kind: 'user', record: fallbackUser },
      ...vhosts.map<DefinitionChange>((vhost) => ({
        op: 'put',
        kind: 'permission',
        record: { user: fallbackUser.name, vhost, ...all },
      })),
    ]
  }

  // -- the log --------------------------------------------------------------------------------------------------------

  private copyEntries(): void {
    const { positions } = this.source
    let missingFrom = positions[0] ?? 1
    for (const [i, position] of positions.entries()) {
      this.options.onProgress?.(i, positions.length)
      const found = this.source.entry(position)
      if (found === null) continue
      this.noteMissing(missingFrom, position - 1)
      missingFrom = position + 1
      this.copyEntry(found)
    }
    this.options.onProgress?.(positions.length, positions.length)
    this.noteMissing(missingFrom, this.lastKnown())
  }

  /** The log is forgotten from its front only: what lies between two entries, or before the last one given out, was there. */
  private lastKnown(): LogPosition {
    const last = this.source.positions.at(-1) ?? 0
    const noted = this.source.meta.get('last_position')
    const hadEntries = last > 0
    return hadEntries && typeof noted === 'number' ? Math.max(last, noted) : last
  }

  private noteMissing(from: LogPosition, to: LogPosition): void {
    if (to < from) return
    const which = from === to ? `log entry ${from}` : `log entries ${from} to ${to}`
    const place = this.source.whereIs(from)
    const where = place === null ? '' : ` (${place})`
    this.report.losses.push(
      `${which}${where}: not readable. Messages published in there are lost, how many is not known; ` +
        `messages acknowledged in there may be delivered again`,
    )
  }

  private copyEntry({ position, records, payload }: FoundEntry): void {
    this.lost.follow(position, records, payload !== null)
    const kept = payload === null ? withoutMessages(records) : records
    this.report.entries++
    this.entries.push({ records: kept, payload: payload ?? new Uint8Array(0) })
    this.bytes += kept.length + (payload?.length ?? 0)
    if (this.bytes >= COMMIT_BYTES) this.flush()
  }

  private flush(): void {
    if (this.entries.length > 0) this.log.commit({ definitions: [], entries: this.entries })
    this.entries = []
    this.bytes = 0
  }

  // -- what is lost ---------------------------------------------------------------------------------------------------

  /** Queues whose definitions are lost and whose messages are not: better in a queue of another name than nowhere. */
  private nameUnknownQueues(): void {
    const { definitions, damagedKinds } = this.source
    if (!damagedKinds.has('queue') && !damagedKinds.has('sqlite_schema')) return
    const known = new Set(definitions.queue.map((queue) => queue.id))
    const vhost = definitions.vhost[0]?.name ?? definitions.queue[0]?.vhost ?? '/'
    const changes: DefinitionChange[] = []
    for (const id of this.lost.queueIds) {
      if (known.has(id)) continue
      const name = `salvaged-${id}`
      const record = { id, vhost, name, durable: true, autoDelete: false, arguments: '{}' }
      changes.push({ op: 'put', kind: 'queue', record })
      this.report.losses.push(
        `the definition of queue number ${id} is not readable or was deleted: what it held is in ${quoted(name)}`,
      )
    }
    if (changes.length > 0) this.log.commit({ definitions: changes, entries: [] })
  }

  private describeLost(): void {
    const names = new Map(this.source.definitions.queue.map(({ id, vhost, name }) => [id, `${vhost} ${name}`]))
    for (const [position, byQueue] of this.lost.summary()) {
      const where = `log entry ${position} (${this.source.whereIs(position)})`
      for (const [id, count] of byQueue) {
        const queue = names.get(id)
        if (queue === undefined) continue // deleted: nobody waits for these
        const messages = count === 1 ? 'a message' : `${count} messages`
        this.report.losses.push(
          `${where}: message bytes fail their checksum, ${messages} of queue ${quoted(queue)} lost`,
        )
      }
    }
    const spared = this.lost.damagedEntries - this.lost.summary().size
    if (spared > 0) this.report.notes.push(`${spared} more log entries are damaged where nothing is needed any more`)
  }
}

/** Follows the messages of damaged entries through the log: settled later, or written again later, none is missing. */
class LostMessages implements RecordSink {
  readonly queueIds = new Set<number>()
  damagedEntries = 0
  private readonly lost = new Map<number, { position: LogPosition; queues: Set<number> }>() // by ticket
  private position = 0
  private isWhole = true

  follow(position: LogPosition, records: Uint8Array, isWhole: boolean): void {
    this.position = position
    this.isWhole = isWhole
    if (!isWhole) this.damagedEntries++
    readRecords(records, this)
  }

  onEnqueue(first: number, count: number, queueIds: readonly number[]): void {
    for (const id of queueIds) this.queueIds.add(id)
    if (this.isWhole && this.lost.size === 0) return
    for (let ticket = first; ticket < first + count; ticket++) {
      if (this.isWhole) this.lost.delete(ticket)
      else this.lost.set(ticket, { position: this.position, queues: new Set(queueIds) })
    }
  }

  onSettle(queueId: number, first: number, count: number): void {
    for (let ticket = first; this.lost.size > 0 && ticket < first + count; ticket++) {
      const message = this.lost.get(ticket)
      message?.queues.delete(queueId)
      if (message?.queues.size === 0) this.lost.delete(ticket)
    }
  }

  onReturned(): void {}
  onDelivered(): void {}
  onTime(): void {}
  onCounts(): void {}

  /** By entry: how many messages of which queue. */
  summary(): Map<LogPosition, Map<number, number>> {
    const summary = new Map<LogPosition, Map<number, number>>()
    for (const { position, queues } of this.lost.values()) {
      const byQueue = summary.get(position) ?? new Map<number, number>()
      summary.set(position, byQueue)
      for (const id of queues) byQueue.set(id, (byQueue.get(id) ?? 0) + 1)
    }
    return summary
  }
}

/** The records but those that bring messages. */
function withoutMessages(records: Uint8Array): Uint8Array {
  const kept = new RecordWriter()
  readRecords(records, {
    onEnqueue() {},
    onSettle(queueId, first, count) {
      for (let ticket = first; ticket < first + count; ticket++) kept.settle(queueId, ticket)
    },
    onReturned: (queueId, first, count) => kept.returned(queueId, first, count),
    onDelivered: (queueId, ticket) => kept.deliveredUpTo(queueId, ticket),
    onTime() {},
    onCounts: (queueId, ticket, counts) => kept.counts(queueId, ticket, counts),
  })
  return kept.finish()
}

function newVhost(name: string): DefinitionChange {
  const record = { name, description: '', tags: [], defaultQueueType: '', protectedFromDeletion: false }
  return { op: 'put', kind: 'vhost', record }
}

const quoted = (name: string): string => JSON.stringify(name)
