// A core on a log that fails, waits and dies, one life after the other, with a record of which messages must have outlived each. The
// random tests of single features do their work on it (delay, streams, what queues give up).
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FaultyBackend } from '../../../storage/faulty-backend'
import { MemoryBackend } from '../../../storage/memory-backend'
import type { ByteRange } from '../../../storage/message-store'
import { ManualClock } from '../clock'
import { Core } from '../core'
import { Declarations } from '../declarations'
import { Session } from '../session'
import type { User } from '../users'
import type { Vhost } from '../vhost'
import { Random } from './random'

const MEMORY_LIMIT = 2 * 1024 * 1024
const TURNS_OF_REST = 12

export interface Published {
  batch: number // of this life
  isDurable: boolean
}

export abstract class FaultyLife<P extends Published> {
  readonly messages: P[] = []
  clock = new ManualClock(1_000_000)
  log!: FaultyBackend
  core!: Core
  vhost!: Vhost
  crashes = 0
  readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  private readonly disk = new MemoryBackend({ remembers: true })

  constructor(readonly random: Random) {}

  /** The whole story; throws what is wrong. */
  abstract go(): Promise<void>

  async start(): Promise<void> {
    this.clock = new ManualClock(this.clock.now())
    this.log = new FaultyBackend(this.disk)
    const options = { defaultUser: 'guest', defaultPassword: 'guest', defaultVhost: '/', loopbackUsers: [] }
    this.core = new Core(
      this.log,
      { ...options, memoryLimit: MEMORY_LIMIT, clock: this.clock, log() {} },
      {
        onCommitted: (batch) => this.onCommitted(batch),
        onCommitFailed() {},
        onBlocked() {},
        onLoaded() {},
        flushConnections() {},
      },
    )
    this.core.journal.rows.limits.logBytesMin = 20_000
    await this.core.start()
    this.vhost = this.core.vhosts.get('/') as Vhost
  }

  declarations(): Declarations {
    return new Declarations(this.vhost, new Session('test', this.core.users.all.get('guest') as User, '/'))
  }

  private onCommitted(batch: number): void {
    for (const message of this.messages) if (message.batch <= batch) message.isDurable = true
  }

  async stop(): Promise<void> {
    this.heal()
    await this.core.stop()
    this.onCommitted(Number.MAX_SAFE_INTEGER)
    this.forgetBatches()
    await this.start()
  }

  async crash(): Promise<void> {
    this.crashes++
    await this.log.crash()
    this.log.hold()
    this.forgetBatches() // what the dead one commits counts no more
    await this.start()
  }

  private forgetBatches(): void {
    for (const message of this.messages) message.batch = Number.POSITIVE_INFINITY
  }

  /** One of the things that go wrong, or a while without. */
  async suffer(): Promise<void> {
    const { random, log } = this
    const dice = random.below(40)
    if (dice < 14) await nextTurn()
    else if (dice < 18) this.core.journal.store.pageOutTo(0)
    else if (dice < 21) log.hold()
    else if (dice < 26) log.release()
    else if (dice < 29) this.failCommits()
    else if (dice < 32) this.failOneRead()
    else if (dice < 35) await this.stop()
    else if (dice < 38) await this.crash()
    else await this.rest()
  }

  private failCommits(): void {
    const last = this.log.commits + 1 + this.random.below(2)
    this.log.faultOf = (commit) => (commit <= last ? { kind: 'unavailable' } : undefined)
  }

  private failOneRead(): void {
    const { log } = this
    log.readFaultOf = () => {
      log.readFaultOf = () => undefined
      return 'unavailable'
    }
  }

  private heal(): void {
    this.log.release()
    this.log.faultOf = () => undefined
    this.log.readFaultOf = () => undefined
  }

  /** Everything under way ends. */
  async rest(): Promise<void> {
    this.heal()
    for (let i = 0; i < 8; i++) {
      for (let turn = 0; turn < TURNS_OF_REST; turn++) await nextTurn()
      this.clock.advance(1000)
    }
  }
}

/** One life story for each seed; a failure names its seed. */
export async function liveEach(
  seeds: Iterable<number>,
  born: (random: Random) => { go(): Promise<void> },
): Promise<void> {
  for (const seed of seeds) {
    await born(new Random(seed))
      .go()
      .catch((error: Error) => {
        throw new Error(`seed ${seed}: ${error.stack}`)
      })
  }
}
