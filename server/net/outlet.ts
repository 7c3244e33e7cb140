// The way out of a connection: what a turn produced leaves in one socket write; says whether the peer takes what is
// written, and when it does again. Bytes only; what they say is channel's and connection's.
import type { Socket } from 'node:net'
import type { Block, BlockPool } from './out-buffer'
import { OutBuffer } from './out-buffer'

/** Written per turn before consumers wait for the next one: other connections want to be served too. */
const TURN_BYTES_MAX = 256 * 1024
/** Written and not taken by the kernel: the peer is slow, its consumers wait. */
const PENDING_BYTES_MAX = 512 * 1024
/** Replies with messages (get, return) written and not taken: nothing more is read from the peer. */
const HOLD_BYTES = 4 * 1024 * 1024

export interface OutletEvents {
  /** There is something to flush at the end of the turn. */
  onDirty(): void
  /** The peer would take more than a turn gives it. */
  onTurnFull(): void
  /** The peer takes bytes again, after `isWritable` or `isOverfull` said otherwise. */
  onRoom(): void
}

export class Outlet {
  readonly out: OutBuffer
  sentBytes = 0
  sentFrames = 0
  /** Written, and not taken by the kernel yet. */
  pendingBytes = 0
  isEnded = false
  private isDirty = false
  private isAwaited = false
  /** Blocks handed to the socket and how much of each, oldest first: pooled again when the socket is done with them. */
  private readonly blocks: Block[] = []
  private readonly sizes: number[] = []

  constructor(
    private readonly socket: Socket,
    private readonly pool: BlockPool,
    private readonly events: OutletEvents,
  ) {
    this.out = new OutBuffer(pool)
  }

  /** false: events.onRoom will follow. */
  get isWritable(): boolean {
    const hasRoom = this.pendingBytes < PENDING_BYTES_MAX && !this.isEnded
    if (hasRoom && this.out.bytes < TURN_BYTES_MAX) return true
    if (hasRoom) this.events.onTurnFull()
    this.isAwaited = true
    return false
  }

  /** While not writable: there will be room as soon as this turn's bytes are flushed. */
  get isTurnOver(): boolean {
    return this.out.bytes >= TURN_BYTES_MAX && this.pendingBytes < PENDING_BYTES_MAX && !this.isEnded
  }

  /** true: the peer asks for more than it takes; events.onRoom will follow. */
  get isOverfull(): boolean {
    if (this.out.bytes + this.pendingBytes < HOLD_BYTES) return false
    this.isAwaited = true
    return true
  }

  write(frame: Uint8Array): void {
    this.out.append(frame)
    this.markDirty()
  }

  /** A frame was written into `out`. */
  markDirty(): void {
    this.sentFrames++
    if (this.isDirty) return
    this.isDirty = true
    this.events.onDirty()
  }

  /** One socket write for everything this turn produced. */
  flush(): void {
    this.isDirty = false
    const { out, socket } = this
    const { bytes } = out
    if (bytes === 0) return
    if (this.isEnded) return out.takeAll(this.giveBack)
    this.sentBytes += bytes
    this.pendingBytes += bytes
    if (out.isOneBlock) out.takeAll(this.writeBlock)
    else {
      socket.cork()
      out.takeAll(this.writeBlock)
      socket.uncork()
    }
    this.tellRoom()
  }

  private readonly writeBlock = (block: Block, bytes: number): void => {
    this.blocks.push(block)
    this.sizes.push(bytes)
    this.socket.write(block.bytes.subarray(0, bytes), this.onWritten)
  }

  private readonly giveBack = (block: Block): void => this.pool.give(block)

  private readonly onWritten = (): void => {
    const block = this.blocks.shift()
    if (block === undefined) return
    this.pendingBytes -= this.sizes.shift() as number
    this.pool.give(block)
    this.tellRoom()
  }

  private tellRoom(): void {
    if (!this.isAwaited || this.pendingBytes >= PENDING_BYTES_MAX) return
    this.isAwaited = false
    this.events.onRoom()
  }

  /** What was written still goes out, nothing more after it. */
  end(): void {
    this.flush()
    this.isEnded = true
    this.socket.end()
  }

  destroy(): void {
    this.isEnded = true
    this.socket.destroy()
  }
}
