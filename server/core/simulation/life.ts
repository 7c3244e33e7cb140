// One life of a broker's queue machine over a disk that outlives it: from start to stop or crash. A clock of its own, so
// that timers of a dead broker never fire, and wrappers of its own around log and scratch file, so that it cannot write any
// more.
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FaultyBackend } from '../../../storage/faulty-backend'
import { ManualClock } from '../clock'
import { Core, type TurnEvents } from '../core'
import { Declarations } from '../declarations'
import type { Queue } from '../queue'
import { Session } from '../session'
import type { User } from '../users'
import type { Vhost } from '../vhost'
import type { SimulatedDisk } from './disk'
import { readMessage } from './message'
import { type Found, Violation } from './model'
import { PacedSpillFile, Pacer } from './pacer'

/** Never reached: memory runs short when the driver says so. */
const MEMORY_LIMIT = 2 ** 40
/** Turns without anybody from outside doing anything: more of them is a busy loop. */
const TURNS_MAX = 10_000
/** So that messages are copied forward within the few of a run. */
const COPY_LIMITS = { logBytesMin: 300, rowsMin: 4, liveShare: 1.5, copyBytesMax: 2000 }

export class Life implements TurnEvents {
  readonly clock = new ManualClock()
  readonly pacer = new Pacer()
  readonly log: FaultyBackend
  readonly spill: PacedSpillFile
  readonly core: Core
  vhost!: Vhost
  declarations!: Declarations
  /** Message bytes that may stay in memory; the rest leaves at the end of each turn. */
  bytesInMemory = Number.POSITIVE_INFINITY
  /** Log entries that were copied forward. */
  copies = 0
  private unreadable = ''
  private turns = 0
  private isOver = false

  private constructor(
    disk: SimulatedDisk,
    slabSize: number,
    private readonly committed: (batch: number) => void,
  ) {
    this.log = new FaultyBackend(disk)
    this.log.perform = this.pacer.perform
    this.spill = new PacedSpillFile(join(disk.directory, 'spill'), this.clock, this.pacer)
    const log = (message: string) => {
      if (message.startsWith('Reading messages back failed')) this.unreadable = message
    }
    const options = { defaultUser: 'guest', defaultPassword: 'guest', defaultVhost: '/', loopbackUsers: [] }
    this.core = new Core(this.log, { ...options, memoryLimit: MEMORY_LIMIT, clock: this.clock, log }, this)
    const { store, rows } = this.core.journal
    Object.assign(store, { slabSize, spill: this.spill })
    Object.assign(rows.limits, COPY_LIMITS)
    const { buildCopies } = rows
    rows.buildCopies = () => {
      const copies = buildCopies.call(rows)
      this.copies += copies.length
      return copies
    }
  }

  static async start(disk: SimulatedDisk, slabSize: number, committed: (batch: number) => void): Promise<Life> {
    const life = new Life(disk, slabSize, committed)
    await life.core.start()
    life.vhost = life.core.vhosts.get('/') as Vhost
    life.declarations = new Declarations(
      life.vhost,
      new Session('simulated', life.core.users.all.get('guest') as User, '/'),
    )
    await life.quiet()
    life.pacer.isWaiting = true
    return life
  }

  queue(id: number): Queue | undefined {
    for (const queue of this.vhost.queues.values()) if (queue.id === id) return queue as Queue
    return undefined
  }

  /** Until nothing moves any more without us. */
  async quiet(): Promise<void> {
    const max = this.turns + TURNS_MAX
    let before: number
    do {
      before = this.turns
      await nextTurn()
      await nextTurn()
      if (this.turns > max) throw new Violation('turn follows turn and nobody asked for anything')
    } while (this.turns !== before)
  }

  /** Does one of the things that log and scratch file were asked to do. */
  async complete(at: number): Promise<string> {
    await this.quiet()
    return this.pacer.complete(at)
  }

  /** Rejects as the broker would, when the log does not take the rest. */
  async stop(): Promise<void> {
    let isDone = false
    const stopped = this.core.stop().finally(() => {
      isDone = true
    })
    stopped.catch(() => {})
    const { pacer } = this
    while (!isDone) {
      if (pacer.count > 0) await this.complete(0)
      else await nextTurn()
    }
    this.isOver = true
    await stopped
  }

  async crash(): Promise<void> {
    this.isOver = true
    await this.log.crash()
    await this.spill.close()
  }

  /** Looks at what is on disk, by starting a broker that takes every message and dies. */
  static async look(disk: SimulatedDisk): Promise<Found[]> {
    const life = await Life.start(disk, 4096, () => {})
    const found: Found[] = []
    for (const queue of life.vhost.queues.values() as Iterable<Queue>) {
      const isBound = [...queue.incoming].some((binding) => binding.source === 'amq.fanout')
      found.push({ id: queue.id, name: queue.name, isBound, messages: await life.takeAll(queue) })
    }
    await life.crash()
    return found.sort((a, b) => a.id - b.id)
  }

  private async takeAll(queue: Queue): Promise<number[]> {
    const numbers: number[] = []
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    for (;;) {
      const taken = queue.take(false, range)
      if (taken === 'empty') return numbers
      if (taken !== 'loading') numbers.push(readMessage(range).n)
      else if (this.pacer.count > 0) await this.complete(0)
      else await this.awaitBytes(queue)
    }
  }

  private async awaitBytes(queue: Queue): Promise<void> {
    await this.quiet()
    if (this.unreadable) throw new Violation(`a message of ${queue.name} cannot be read: ${this.unreadable}`)
  }

  // -- the end of a turn ----------------------------------------------------------------------------------------------

  onCommitted(batch: number): void {
    if (!this.isOver) this.committed(batch)
  }
  onCommitFailed(): void {}
  onBlocked(): void {}
  onLoaded(): void {}

  flushConnections(): void {
    this.turns++
    const { store } = this.core.journal
    if (!this.isOver && store.slabBytes > this.bytesInMemory) store.pageOutTo(this.bytesInMemory)
  }
}
