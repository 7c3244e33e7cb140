// What a connection has to say this turn, in one buffer: written by server/net through the protocol writers, handed to the
// socket once per turn. Idle connections hold no buffer.

const BLOCK_BYTES = 64 * 1024
const POOL_BLOCKS_MAX = 64

/** Blocks for reuse, shared by the connections of one broker. */
export class BlockPool {
  private readonly blocks: Buffer[] = []

  take(): Buffer {
    return this.blocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  give(block: Buffer): void {
    if (block.length === BLOCK_BYTES && this.blocks.length < POOL_BLOCKS_MAX) this.blocks.push(block)
  }
}

const EMPTY = Buffer.alloc(0)

export class OutBuffer {
  buf: Buffer = EMPTY
  /** Bytes written; writers set it to what they return. */
  length = 0

  constructor(private readonly pool: BlockPool) {}

  /** Room for `bytes` more, at buf[length]. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buf.length) this.grow(bytes)
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buf.set(bytes, this.length)
    this.length += bytes.length
  }

  /** The block with what was written; the caller gives it back to the pool. */
  take(): Buffer {
    const block = this.buf
    this.buf = EMPTY
    this.length = 0
    return block
  }

  private grow(bytes: number): void {
    const needed = this.length + bytes
    if (this.buf.length === 0 && needed <= BLOCK_BYTES) {
      this.buf = this.pool.take()
      return
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buf.length * 2, BLOCK_BYTES))
    this.buf.copy(larger, 0, 0, this.length)
    this.pool.give(this.buf)
    this.buf = larger
  }
}
