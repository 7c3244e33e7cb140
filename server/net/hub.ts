// What the connections of a broker share: the core, limits, buffers, the end of the turn, and the beat that watches over
// heartbeats and slow handshakes. One per broker.
import type { ByteRange } from '../../storage/message-store'
import type { Clock, Timer } from '../core/clock'
import type { Core, TurnEvents } from '../core/core'
import type { Channel } from './channel'
import type { Connection } from './connection'
import { BlockPool } from './out-buffer'

export interface Limits {
  channelMax: number
  frameMax: number // bytes, of a whole frame
  heartbeatSeconds: number // 0 is none
  messageSizeMax: number // bytes of a body
  transactionBytesMax: number // messages held until commit
  handshakeMs: number
  connectionsMax: number
  consumersPerChannelMax: number
}

export interface Identity {
  version: string
  nodeName: string
  clusterName: string
}

export interface NetLog {
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
}

export const BEAT_MS = 500
/** Read from publishers in one turn. Beside a flood, answers to others come within two turns: with four times as much, their p99 was twice
 *  as long, and the flood no faster where it is consumed or goes to disk. */
const TURN_READ_BYTES = 128 * 1024
/** Likewise, while consumers want more than the turn gives them: a quarter of what one of them gets. */
const CONTENDED_READ_BYTES = 64 * 1024
/** Connections written to in one turn; of others, those that have more to say than a little. A write costs as much as ten messages, so where
 *  a queue's messages go to a thousand consumers by turns, they had better go a few at a time: each has its next in the turns to come. */
const TURN_WRITES = 256
const LITTLE_BYTES = 4 * 1024
/** Publishers that waited and are read from in the next turn: a chunk of 64 KiB. */
const CONTENDED_READERS = 1

export class Hub implements TurnEvents {
  core!: Core
  pool!: BlockPool
  readonly connections = new Map<string, Connection>()
  /** For basic.get. */
  readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  /** All sockets, logged in or not. */
  readonly open = new Set<Connection>()
  /** While publishers are blocked, the one that may finish its message. */
  private finishing: Connection | null = null
  private finishTurns = 0
  /** The clock's time at the last beat: exact enough for heartbeats, and costs nothing per chunk. */
  now: number
  private committed = 0
  private dirty: Connection[] = []
  private flushing: Connection[] = []
  private confirming = new Set<Channel>()
  /** Read in this turn. */
  private readBytes = 0
  private turn = 1
  private fullTurn = 0
  private roomWaiters: (() => void)[] = []
  private loadWaiters: (() => void)[] = []
  private beat: Timer | null = null

  constructor(
    readonly limits: Limits,
    readonly identity: Identity,
    readonly clock: Clock,
    readonly log: NetLog,
  ) {
    this.now = clock.now()
  }

  /** Before the first connection. */
  attach(core: Core): void {
    this.core = core
    this.pool = new BlockPool(core.journal.store.arena)
  }

  // -- the end of a turn ----------------------------------------------------------------------------------------------

  addDirty(connection: Connection): void {
    this.dirty.push(connection)
    this.core.requestTurn()
  }

  addConfirming(channel: Channel): void {
    if (this.confirming.has(channel)) return
    this.confirming.add(channel)
    this.core.requestTurn()
  }

  removeConfirming(channel: Channel): void {
    this.confirming.delete(channel)
  }

  onCommitted(batch: number): void {
    this.committed = batch
  }

  onCommitFailed(batch: number): void {
    for (const channel of this.confirming) channel.onCommitFailed(batch)
  }

  flushConnections(): void {
    for (const channel of this.confirming) {
      if (channel.answerConfirms(this.committed)) this.confirming.delete(channel)
    }
    this.letPublishersGoOn()
    const connections = this.dirty
    this.dirty = this.flushing
    this.flushing = connections
    let writes = 0
    for (let i = 0; i < connections.length; i++) {
      const connection = connections[i]
      if (writes++ < TURN_WRITES || connection.out.bytes > LITTLE_BYTES) connection.flush()
      else this.dirty.push(connection)
    }
    connections.length = 0
    if (this.dirty.length > 0) this.core.requestTurn()
  }

  // -- memory ---------------------------------------------------------------------------------------------------------

  /** Connections that publish are told and read no more, until there is room again. RabbitMQ docs "Blocked Connection". */
  onBlocked(reason: string | null): void {
    for (const connection of this.connections.values()) {
      if (reason !== null) connection.blockIfPublishing(reason)
      else connection.unblock()
    }
  }

  /** Half a message takes memory and can go nowhere. So, one at a time, connections that are in the middle of a large one are
   *  read from although publishers are blocked. One that says nothing loses its turn to the one that waits longest. */
  letOneFinish(): void {
    if (!this.core.isOverLimit || this.core.isDiskShort) return
    const { finishing } = this
    if (finishing?.isFinishing && finishing.hasReceivedSinceBeat()) return
    finishing?.stopFinishing()
    let next: Connection | null = null
    for (const connection of this.open) {
      if (connection.canFinish && (next === null || connection.finishTurn < next.finishTurn)) next = connection
    }
    next?.letFinish(++this.finishTurns)
    this.finishing = next
  }

  // -- flow control ---------------------------------------------------------------------------------------------------

  /** Counts what is read in a turn. true: publishers should wait for the next one. A turn must stay short, and while there are
   *  messages that consumers would take, handing them out comes before taking in more. */
  hasReadEnough(bytes: number): boolean {
    this.readBytes += bytes
    return this.readBytes >= (this.isContended ? CONTENDED_READ_BYTES : TURN_READ_BYTES)
  }

  /** A consumer would have taken more in this turn. */
  onTurnFull(): void {
    this.fullTurn = this.turn
  }

  /** So it was in the last turn. */
  private get isContended(): boolean {
    return this.fullTurn === this.turn - 1
  }

  /** Calls back once publishers may go on, see hasReadEnough, Journal.isFull and Core.isPressed. */
  whenRoom(callback: () => void): void {
    this.roomWaiters.push(callback)
    this.core.requestTurn()
  }

  private letPublishersGoOn(): void {
    this.turn++
    this.readBytes = 0
    if (this.roomWaiters.length === 0 || this.core.journal.isFull || this.core.isPressed) return
    const count = this.isContended ? CONTENDED_READERS : this.roomWaiters.length
    for (const callback of this.roomWaiters.splice(0, count)) callback()
    if (this.roomWaiters.length > 0) this.core.requestTurn()
  }

  // -- waiting for bytes that left memory -----------------------------------------------------------------------------

  whenLoaded(callback: () => void): void {
    this.loadWaiters.push(callback)
  }

  onLoaded(): void {
    const waiters = this.loadWaiters
    this.loadWaiters = []
    for (const callback of waiters) callback()
  }

  // -- connections ----------------------------------------------------------------------------------------------------

  add(connection: Connection): void {
    this.open.add(connection)
    this.now = this.clock.now()
    this.beat ??= this.clock.after(BEAT_MS, this.onBeat)
  }

  remove(connection: Connection): void {
    this.open.delete(connection)
    if (this.connections.get(connection.name) === connection) this.connections.delete(connection.name)
    if (this.open.size === 0) this.emptied()
  }

  /** Calls back once no socket is open. */
  whenEmpty(callback: () => void): void {
    if (this.open.size === 0) callback()
    else this.emptied = callback
  }
  private emptied: () => void = () => {}

  private readonly onBeat = (): void => {
    this.beat = this.open.size > 0 ? this.clock.after(BEAT_MS, this.onBeat) : null
    const now = this.clock.now()
    this.now = now
    this.core.measureOverhead(this.open.size)
    if (this.open.size === 0) this.core.journal.store.buffers.trim() // and again: nobody will want any
    if (this.core.isOverLimit) this.core.requestTurn()
    this.letOneFinish()
    for (const connection of this.open) connection.onBeat(now)
  }

  stop(): void {
    this.beat?.cancel()
    this.beat = null
  }
}
