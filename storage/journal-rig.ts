// A journal over a log that fails on command, for tests: publishes by queue ids, turns by hand, restarts with what the log
// kept. Messages are told apart by their body text.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FaultyBackend } from './faulty-backend'
import { Journal } from './journal'
import type { StorageErrorKind } from './log-backend'
import { MemoryBackend } from './memory-backend'
import type { ByteRange, Ticket } from './message-store'
import { type Recovered, type RecoveredQueue, recover } from './recovery'
import { sampleMessage } from './sample-message'
import { storedBodyLength } from './segment'

/** A queue with its messages. */
interface FoundQueue extends RecoveredQueue {
  tickets: Ticket[] // ascending
  bodyBytes: number
}

type Found = Omit<Recovered, 'queues'> & { queues: Map<number, FoundQueue> }

export class JournalRig {
  readonly backend = new FaultyBackend(new MemoryBackend({ remembers: true }))
  /** What the journal reported, in order: 'committed 3', 'failed 4', 'loaded', 'load failed'. */
  readonly reports: string[] = []
  /** As asked of the log, with what it was asked for. */
  now = 0
  readonly commits: { entries: number; definitions: number }[] = []
  journal!: Journal
  recovered!: Found
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private nextFaults: { kind: StorageErrorKind; stored: boolean }[] = []

  private constructor(readonly knownQueues: Set<number>) {
    this.backend.faultOf = (_, unit) => {
      this.commits.push({ entries: unit.entries.length, definitions: unit.definitions.length })
      return this.nextFaults.shift()
    }
  }

  static async start(...knownQueues: number[]): Promise<JournalRig> {
    const rig = new JournalRig(new Set(knownQueues))
    await rig.open()
    return rig
  }

  /** The process dies without a word, and starts again. */
  async crash(): Promise<Found> {
    await this.backend.crash()
    return this.open()
  }

  private async open(): Promise<Found> {
    this.reports.length = 0
    const report = (what: string) => this.reports.push(what)
    this.journal = new Journal(this.backend, {
      onCommitted: (batch) => report(`committed ${batch}`),
      onFailed: (batch) => report(`failed ${batch}`),
      onLoaded: (_, error) => report(error === null ? 'loaded' : `load failed: ${error.message}`),
      requestTurn() {},
      requestSettle() {},
      now: () => this.now,
    })
    await this.backend.open()
    const queues = new Map<number, FoundQueue>()
    const found = (id: number) => {
      const queue = queues.get(id) ?? { tickets: [], bodyBytes: 0, returned: new Set(), deliveredUpTo: 0 }
      queues.set(id, queue)
      return queue
    }
    const { store, rows } = this.journal
    const recovered = await recover(this.backend, store, rows, this.knownQueues, (id, ticket, bodyLength) => {
      found(id).tickets.push(ticket)
      found(id).bodyBytes += bodyLength
    })
    for (const [id, queue] of recovered.queues) Object.assign(found(id), queue)
    for (const queue of queues.values()) queue.tickets.sort((a, b) => a - b)
    this.recovered = { ...recovered, queues }
    return this.recovered
  }

  /** The next commit fails; `stored` tells whether it reaches the disk all the same. */
  failNext(times = 1, stored = false, kind: StorageErrorKind = 'unavailable'): void {
    for (let i = 0; i < times; i++) this.nextFaults.push({ kind, stored })
  }

  /** A persistent message for these durable queues, and `others` queues that are not durable. */
  publish(body: string | Buffer, queueIds: readonly number[], others = 0): Ticket {
    const { journal } = this
    const ticket = journal.store.append(sampleMessage({ body }), queueIds.length + others, queueIds.length)
    if (queueIds.length === 0) return ticket
    for (const id of queueIds) journal.addQueue(id)
    journal.enqueue(ticket, body.length)
    return ticket
  }

  settle(ticket: Ticket, ...queueIds: number[]): void {
    for (const id of queueIds) this.journal.settle(ticket, id)
  }

  /** The end of a turn: settlements included, what is under way done with. */
  async turn(): Promise<void> {
    this.journal.settleNow()
    this.journal.flush()
    await this.quiet()
  }

  /** Until nothing moves any more: commits, reads, copies. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 20; i++) await nextTurn()
  }

  /** The body text of a message, brought back from the log if need be; null when it cannot be. */
  async body(ticket: Ticket): Promise<string | null> {
    if (!this.journal.store.locate(ticket, this.range)) {
      this.journal.load(ticket)
      await this.quiet()
    }
    if (!this.journal.store.locate(ticket, this.range)) return null
    const { buf, start, end } = this.range
    const length = storedBodyLength(buf, start)
    return length === 0 ? '' : buf.toString('utf8', end - 1 - length, end - 1)
  }

  /** Body texts of a recovered queue, in its order. */
  async bodies(queueId: number): Promise<(string | null)[]> {
    const texts: (string | null)[] = []
    for (const ticket of this.recovered.queues.get(queueId)?.tickets ?? []) texts.push(await this.body(ticket))
    return texts
  }

  async entriesInLog(): Promise<number> {
    return (await this.backend.stats()).entries
  }
}
