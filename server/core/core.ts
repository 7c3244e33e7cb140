import type { DefinitionChange } from '../../storage/definitions'
import { Journal } from '../../storage/journal'
import type { LogBackend, Opened } from '../../storage/log-backend'
import type { ByteRange } from '../../storage/message-store'
import { type OnRecovered, recover } from '../../storage/recovery'
import { RecoveryProgress } from '../../storage/recovery-progress'
import { SpillFile } from '../../storage/spill-file'
import type { AnyQueue } from './any-queue'
import type { Clock } from './clock'
import type { Ticket } from './core-api'
import { newChurnCounters, newMessageCounters } from './counters'
import type { Shelved } from './gate'
import { Limits } from './limits'
import { Loads } from './loads'
import { restoreDefinitions } from './restore'
import { Stream } from './stream'
import { SystemEvents } from './system-events'
import { DEFAULT_HASHING, hashPassword, Users } from './users'
import { type Dispatchable, type Surroundings, Vhost } from './vhost'

/** What server/net does at the end of each turn. */
export interface TurnEvents {
  /** Confirms up to this batch may leave. */
  onCommitted(batch: number): void
  onCommitFailed(batch: number, error: Error): void
  /** Publishers are to be blocked, and why in RabbitMQ's words ("low on memory"); null: no longer. */
  onBlocked(reason: string | null): void
  /** Bytes of messages came back to memory, or will not. */
  onLoaded(): void
  /** Write out what the turn produced: one socket write per connection. */
  flushConnections(): void
}

export interface CoreOptions {
  clock: Clock
  defaultUser: string
  defaultPassword: string
  defaultVhost: string
  loopbackUsers: readonly string[]
  memoryLimit: number // bytes
  /** Publishers are blocked while the disk has less room, bytes; 0: never for that reason. */
  diskFreeLimit?: number
  /** How long a consumer may hold a message where nobody says otherwise, ms; null: any time. */
  consumerTimeout?: number | null
  nodeName?: string
  /** Where transient messages go when memory runs short; null: they stay in memory. */
  spillPath?: string | null
  log(message: string): void
}

/** Of what is in the log, so much stays in memory. More is no faster: to read it again costs about what the kernel takes to clear fresh
 *  memory for it, and a backlog that stays costs memory for nothing. */
const LOGGED_BYTES_KEPT = 32 * 1024 * 1024
/** Message bytes leave memory for the log or the spill file from this share of the memory limit on. */
const PAGE_OUT_SHARE = 0.5
/** From this share on, publishers wait while bytes are on their way out of memory. */
const PRESSED_SHARE = 0.65
/** Publishers are blocked from this share on: what there is cannot leave memory, being transient or not committed yet. */
const BLOCK_SHARE = 0.8
/** And until it is down to this share: not every message is worth a signal. */
const UNBLOCK_SHARE = 0.7

/** Left to messages in memory however much the rest takes. */
const SLABS_BYTES_MIN = 8 * 1024 * 1024

// Measured, about.
const SEGMENT_BYTES = 500 // paged out, with its row
const ROW_BYTES = 120
const CONNECTION_BYTES = 10 * 1024

/** Messages of one queue handed out before the next queue's turn. Few, so that queues whose messages lie side by side on disk go through
 *  them together: with 64, a thousand queues read each segment eight times. */
const QUEUE_ROUND = 16

/** From a failed commit to the next attempt. */
const RETRY_MS = 1000
/** How often the disk's free space is looked at: as often as this rate could use it up, within these limits. */
const DISK_FILL_BYTES_PER_MS = 1_000_000
const DISK_CHECK_MS_MIN = 100
const DISK_CHECK_MS_MAX = 10_000

export class Core implements Surroundings {
  readonly vhosts = new Map<string, Vhost>()
  readonly users: Users
  readonly counters = newMessageCounters()
  readonly churn = newChurnCounters()
  readonly journal: Journal
  readonly limits = new Limits((change) => this.journal.define(change))
  readonly systemEvents: SystemEvents
  now: number
  private queueIds = 1
  private dirty: Dispatchable[] = []
  private dispatching: Dispatchable[] = []
  readonly loads: Loads
  private isRequested = false
  private isRetryDue = false
  isOverLimit = false
  /** The last commit failed. */
  private isLogFailing = false
  private isDiskLow = false
  /** Why publishers are blocked, as connection.blocked says it; null: they are not. */
  blockedFor: string | null = null
  /** What connections hold of messages that are in no queue yet: bodies of which frames are missing, transactions. */
  readonly gathered = { bytes: 0 }
  /** Messages are leaving memory, not as fast as they come: publishers should wait a moment. */
  isPressed = false
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(
    private readonly backend: LogBackend,
    private readonly options: CoreOptions,
    private readonly events: TurnEvents,
  ) {
    this.now = options.clock.now()
    this.systemEvents = new SystemEvents({
      nodeName: options.nodeName ?? '',
      now: () => options.clock.now(),
      vhost: () => this.vhosts.get(options.defaultVhost),
      requestTurn: () => this.requestTurn(),
    })
    this.users = new Users(options.loopbackUsers)
    this.journal = new Journal(
      backend,
      {
        onCommitted: (batch) => this.onCommitted(batch),
        onFailed: (batch, error) => this.onCommitFailed(batch, error),
        onLoaded: (segment, error) => this.loads.onLoaded(segment, error),
        requestTurn: () => this.requestTurn(),
        requestSettle: (ms) => options.clock.after(ms, () => this.journal.settleNow()),
        now: () => options.clock.now(),
      },
      options.spillPath ? new SpillFile(options.spillPath) : null,
    )
    this.loads = new Loads(this.journal, options, () => events.onLoaded())
  }

  // -- start and stop -------------------------------------------------------------------------------------------------

  /** Opens the log and brings back what it holds. Rejects with StartupError or StorageError. */
  async start(): Promise<void> {
    const opened = await this.backend.open()
    try {
      await this.recover(opened)
      await this.backend.begin()
      await this.findStreamOffsets()
      this.journal.trim()
      await this.journal.whenDurable()
      if (this.diskFreeLimit > 0) this.watchDisk()
    } catch (error) {
      await this.backend.close(false).catch(() => {})
      throw error
    }
  }

  private async recover(opened: Opened): Promise<void> {
    this.queueIds = opened.nextQueueId
    if (opened.definitions.vhost.length === 0) this.createDefaults()
    else restoreDefinitions(this, opened.definitions, this.options.defaultVhost)
    const queues = new Map<number, AnyQueue>()
    const shelves = new Map<number, Shelved>()
    for (const vhost of this.vhosts.values()) {
      for (const queue of vhost.queues.values()) queues.set(queue.id, queue)
      for (const shelf of vhost.shelves()) if (shelf.durable) shelves.set(shelf.id, shelf)
    }
    const { store, rows } = this.journal
    const ids = new Set([...queues.keys(), ...shelves.keys()])
    const { clock, log } = this.options
    const progress = new RecoveryProgress(opened.lastPosition, () => clock.now(), log)
    const onMessage: OnRecovered = (id, ticket, bodyBytes, publishedMs, expiration) => {
      const queue = queues.get(id)
      if (queue !== undefined) queue.recover(ticket, bodyBytes, publishedMs || this.now, expiration)
      else shelves.get(id)?.recover(ticket)
    }
    const recovered = await recover(this.backend, store, rows, ids, onMessage, progress)
    this.queueIds = Math.max(this.queueIds, recovered.maxQueueId + 1)
    for (const queue of queues.values()) {
      const found = recovered.queues.get(queue.id)
      // A clean stop recorded what had been delivered; after a crash anything may have been.
      const deliveredUpTo = opened.cleanShutdown ? (found?.deliveredUpTo ?? 0) : recovered.maxTicket
      queue.finishRecovery(deliveredUpTo, found?.returned ?? new Set())
    }
    for (const shelf of shelves.values()) shelf.finishRecovery()
    if (recovered.messages > 0) log(`Recovered ${recovered.messages} messages in ${progress.seconds.toFixed(1)} s`)
  }

  private async findStreamOffsets(): Promise<void> {
    for (const vhost of this.vhosts.values()) {
      for (const queue of vhost.queues.values()) {
        if (!(queue instanceof Stream)) continue
        await queue.findOffset()
        this.watchMemory()
      }
    }
  }

  /** Every connection must be closed by now. Rejects when the log could not take the rest. */
  async stop(): Promise<void> {
    this.runTurn()
    for (const vhost of this.vhosts.values()) {
      for (const queue of vhost.queues.values()) {
        queue.recordReturned()
        queue.stop()
      }
      for (const shelf of vhost.shelves()) shelf.stop()
    }
    await this.journal.close(true)
  }

  private createDefaults(): void {
    const { defaultUser, defaultPassword, defaultVhost } = this.options
    this.vhosts.set(defaultVhost, new Vhost(defaultVhost, '', this, true))
    const vhost = { name: defaultVhost, description: '', tags: [], defaultQueueType: '', protectedFromDeletion: false }
    const user = {
      name: defaultUser,
      passwordHash: hashPassword(defaultPassword),
      hashingAlgorithm: DEFAULT_HASHING,
      tags: ['administrator'],
    }
    const permission = { user: defaultUser, vhost: defaultVhost, configure: '.*', write: '.*', read: '.*' }
    this.users.add(user)
    this.users.addPermission(permission)
    const changes: DefinitionChange[] = [
      { op: 'put', kind: 'vhost', record: vhost },
      { op: 'put', kind: 'user', record: user },
      { op: 'put', kind: 'permission', record: permission },
    ]
    for (const change of changes) this.journal.define(change)
  }

  // -- the turn -------------------------------------------------------------------------------------------------------

  /** Everything that happens in one pass of the event loop is moved on together at its end. */
  requestTurn(): void {
    if (this.isRequested) return
    this.isRequested = true
    setImmediate(this.runTurn)
  }

  readonly runTurn = (): void => {
    this.isRequested = false
    this.now = this.options.clock.now()
    this.systemEvents.publish()
    const queues = this.dirty
    this.dirty = this.dispatching
    this.dispatching = queues
    while (queues.length > 0) {
      // In rounds, so that the first queue does not take all that a connection has room for.
      const max = queues.length > 1 ? QUEUE_ROUND : Number.POSITIVE_INFINITY
      let kept = 0
      for (let i = 0; i < queues.length; i++) if (queues[i].dispatch(this.range, max)) queues[kept++] = queues[i]
      queues.length = kept
    }
    this.journal.noteTime()
    // After a failure the disk is asked again when the time comes, not whenever somebody acknowledges.
    if (!this.isRetryDue) this.journal.flush()
    this.watchMemory()
    this.events.flushConnections()
  }

  private watchMemory(): void {
    const { store } = this.journal
    const { memoryLimit } = this.options
    const others = this.overheadBytes + this.gathered.bytes
    const held = store.slabBytes + others
    const pageOutAt = memoryLimit * PAGE_OUT_SHARE
    store.keepLogged(LOGGED_BYTES_KEPT)
    if (held > pageOutAt) store.pageOutTo(Math.max(SLABS_BYTES_MIN, pageOutAt - others))
    this.isPressed = store.isSpilling && held > memoryLimit * PRESSED_SHARE
    const isOver = held > memoryLimit * (this.isOverLimit ? UNBLOCK_SHARE : BLOCK_SHARE)
    if (isOver === this.isOverLimit) return
    this.isOverLimit = isOver
    this.options.log(
      isOver ? 'Memory limit reached: publishers are blocked' : 'Below the memory limit: publishers go on',
    )
    this.updateBlocked()
  }

  /** The log takes nothing, or the disk is nearly full. */
  get isDiskShort(): boolean {
    return this.isLogFailing || this.isDiskLow
  }

  private updateBlocked(): void {
    this.tellAlarms()
    const short = [...(this.isOverLimit ? ['memory'] : []), ...(this.isDiskShort ? ['disk'] : [])]
    const reason = short.length === 0 ? null : `low on ${short.join(' & ')}`
    const isNews = (reason === null) !== (this.blockedFor === null)
    this.blockedFor = reason
    if (isNews) this.events.onBlocked(reason)
  }

  private tellAlarms(): void {
    const alarms: Record<string, boolean> = { memory: this.isOverLimit, disk: this.isDiskShort }
    for (const [source, isSet] of Object.entries(alarms)) {
      if (isSet === this.alarms.has(source)) continue
      if (isSet) this.alarms.add(source)
      else this.alarms.delete(source)
      const key = isSet ? 'alarm.set' : 'alarm.cleared'
      this.systemEvents.emit(key, () => ({ source, node: this.nodeName }))
    }
  }
  private readonly alarms = new Set<string>()

  get diskFreeLimit(): number {
    return this.options.diskFreeLimit ?? 0
  }

  /** Looks at the disk's free space now and again. */
  private watchDisk(): void {
    this.backend.stats().then(
      ({ freeBytes }) => {
        this.onDiskFree(freeBytes)
        const wait = (freeBytes - this.diskFreeLimit) / DISK_FILL_BYTES_PER_MS
        if (freeBytes === Number.POSITIVE_INFINITY) return // in memory
        this.options.clock.after(Math.min(DISK_CHECK_MS_MAX, Math.max(DISK_CHECK_MS_MIN, wait)), () => this.watchDisk())
      },
      (error: Error & { kind?: string }) => {
        if (error.kind !== 'closed') this.options.clock.after(RETRY_MS, () => this.watchDisk())
      },
    )
  }

  private onDiskFree(freeBytes: number): void {
    const isLow = freeBytes < this.diskFreeLimit
    if (isLow === this.isDiskLow) return
    this.isDiskLow = isLow
    const has = `The disk has ${freeBytes} bytes free, the limit is ${this.diskFreeLimit}`
    this.options.log(`${has}: publishers ${isLow ? 'are blocked until there is more' : 'go on'}`)
    this.updateBlocked()
  }

  /** Adds up what queues and the log's books take beside the messages, and lets go of what it needs no more. Called now and then. */
  measureOverhead(connections: number): void {
    const { store, rows } = this.journal
    let bytes = store.segments.size * SEGMENT_BYTES + rows.count * ROW_BYTES + connections * CONNECTION_BYTES
    for (const vhost of this.vhosts.values()) {
      for (const queue of vhost.queues.values()) bytes += queue.heldBytes
      for (const shelf of vhost.shelves()) bytes += shelf.heldBytes
    }
    this.overheadBytes = bytes
    store.buffers.trim()
  }
  private overheadBytes = 0

  addDirty(queue: Dispatchable): void {
    this.dirty.push(queue)
    if (!this.isRequested) this.requestTurn()
  }

  awaitLoad(queue: Dispatchable, ticket: Ticket): void {
    this.loads.await(queue, ticket)
  }

  awaitCommit(queue: Dispatchable): void {
    this.waitingForCommit.add(queue)
  }
  private waitingForCommit = new Set<Dispatchable>()

  private wakeCommitted(): void {
    const waiting = this.waitingForCommit
    this.waitingForCommit = new Set()
    for (const queue of waiting) if (!queue.isDeleted) queue.markDirty()
  }

  get nodeName(): string {
    return this.options.nodeName ?? ''
  }

  get consumerTimeoutMs(): number {
    return this.options.consumerTimeout ?? 0
  }

  get clock(): Clock {
    return this.options.clock
  }

  nextQueueId(): number {
    return this.queueIds++
  }

  private onCommitted(batch: number): void {
    if (this.isLogFailing) {
      this.isLogFailing = false
      this.options.log('Writing to the log works again: publishers go on')
      this.updateBlocked()
    }
    if (this.waitingForCommit.size > 0) this.wakeCommitted()
    this.events.onCommitted(batch)
  }

  private onCommitFailed(batch: number, error: Error): void {
    if (!this.isLogFailing) {
      this.isLogFailing = true
      this.options.log(
        `Writing to the log failed: ${error.message}. Unconfirmed messages are nacked and publishers blocked; ` +
          `trying again every ${RETRY_MS} ms`,
      )
      this.updateBlocked()
    }
    this.events.onCommitFailed(batch, error)
    if (this.isRetryDue) return
    this.isRetryDue = true
    this.options.clock.after(RETRY_MS, () => {
      this.isRetryDue = false
      this.journal.retry()
    })
  }
}
