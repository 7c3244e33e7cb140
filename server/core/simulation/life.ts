// One life of a broker's queue machine over a log that outlives it: from start to stop or crash. A clock of its own, so
// that timers of a dead broker never fire, and a log wrapper of its own, so that it cannot write any more.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FaultyBackend } from '../../../storage/faulty-backend'
import type { LogBackend } from '../../../storage/log-backend'
import { ManualClock } from '../clock'
import { Core, type TurnEvents } from '../core'
import { Declarations } from '../declarations'
import type { Queue } from '../queue'
import { Session } from '../session'
import type { User } from '../users'
import type { Vhost } from '../vhost'
import { messageNumber } from './channel'
import type { Found } from './model'

/** Small enough that messages leave memory now and then. */
const MEMORY_LIMIT = 2 * 1024 * 1024

export class Life implements TurnEvents {
  readonly clock = new ManualClock()
  readonly log: FaultyBackend
  readonly core: Core
  vhost!: Vhost
  declarations!: Declarations
  private isOver = false

  private constructor(
    disk: LogBackend,
    private readonly committed: (batch: number) => void,
  ) {
    this.log = new FaultyBackend(disk)
    const options = { defaultUser: 'guest', defaultPassword: 'guest', defaultVhost: '/', loopbackUsers: [] }
    this.core = new Core(this.log, { ...options, memoryLimit: MEMORY_LIMIT, clock: this.clock, log() {} }, this)
  }

  static async start(disk: LogBackend, committed: (batch: number) => void): Promise<Life> {
    const life = new Life(disk, committed)
    await life.core.start()
    life.vhost = life.core.vhosts.get('/') as Vhost
    life.declarations = new Declarations(
      life.vhost,
      new Session('simulated', life.core.users.all.get('guest') as User, '/'),
    )
    return life
  }

  queue(id: number): Queue | undefined {
    for (const queue of this.vhost.queues.values()) if (queue.id === id) return queue
    return undefined
  }

  /** Until nothing moves any more without us. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 12; i++) await nextTurn()
  }

  async stop(): Promise<void> {
    await this.core.stop()
    this.isOver = true
  }

  async crash(): Promise<void> {
    this.isOver = true
    await this.log.crash()
    this.log.hold() // what the dead still ask for never happens
  }

  /** Looks at what is on disk, by starting a broker that takes every message and dies. */
  static async look(disk: LogBackend): Promise<Found[]> {
    const life = await Life.start(disk, () => {})
    const found: Found[] = []
    for (const queue of life.vhost.queues.values()) {
      const isBound = [...queue.incoming].some((binding) => binding.source === 'amq.fanout')
      found.push({ id: queue.id, name: queue.name, isBound, messages: await life.takeAll(queue) })
    }
    await life.crash()
    return found
  }

  private async takeAll(queue: Queue): Promise<number[]> {
    const numbers: number[] = []
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    for (;;) {
      const taken = queue.take(false, range)
      if (taken === 'empty') return numbers
      if (taken === 'loading') await nextTurn()
      else numbers.push(messageNumber(range))
    }
  }

  // -- the end of a turn ----------------------------------------------------------------------------------------------

  onCommitted(batch: number): void {
    if (!this.isOver) this.committed(batch)
  }
  onCommitFailed(): void {}
  onBlocked(): void {}
  onLoaded(): void {}
  flushConnections(): void {}
}
