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
  handshakeMs: number
  connectionsMax: number
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

const BEAT_MS = 500

export class Hub implements TurnEvents {
  core!: Core
  readonly connections = new Map<string, Connection>()
  readonly pool = new BlockPool()
  /** For basic.get. */
  readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }
  /** All sockets, logged in or not. */
  readonly open = new Set<Connection>()
  /** The clock's time at the last beat: exact enough for heartbeats, and costs nothing per chunk. */
  now: number
  private committed = 0
  private dirty: Connection[] = []
  private flushing: Connection[] = []
  private confirming = new Set<Channel>()
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
    if (this.roomWaiters.length > 0 && !this.core.journal.isFull && !this.core.isPressed) {
      for (const callback of this.roomWaiters.splice(0)) callback()
    }
    const connections = this.dirty
    this.dirty = this.flushing
    this.flushing = connections
    for (let i = 0; i < connections.length; i++) connections[i].flush()
    connections.length = 0
  }

  // -- memory ---------------------------------------------------------------------------------------------------------

  /** Connections that publish are told and read no more, until there is room again. RabbitMQ docs "Blocked Connection". */
  onMemory(isOverLimit: boolean): void {
    this.log.warn(
      isOverLimit ? 'Memory limit reached: publishers are blocked' : 'Below the memory limit: publishers go on',
    )
    for (const connection of this.connections.values()) {
      if (isOverLimit) connection.blockIfPublishing()
      else connection.unblock()
    }
  }

  /** Calls back once publishers may go on, see Journal.isFull and Core.isPressed. */
  whenRoom(callback: () => void): void {
    this.roomWaiters.push(callback)
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
    if (this.core.isOverLimit) this.core.requestTurn()
    for (const connection of this.open) connection.onBeat(now)
  }

  stop(): void {
    this.beat?.cancel()
    this.beat = null
  }
}
