// What a connection has to say this turn, in a few blocks: written by server/net through the protocol writers, handed to the
// socket once per turn. Idle connections hold no block.

import { copyWords, viewOf, WORDS_BYTES_MAX } from '../../storage/bytes'

/** Of the first block of a turn: mostly it is all, and many connections that each say little must not each use up much memory. */
const FIRST_BYTES = 4 * 1024
/** Of the others. A processor's nearer caches hold a few. */
const BLOCK_BYTES = 64 * 1024
/** Unused blocks of either size that are kept. */
const POOL_BYTES_MAX = 4 * 1024 * 1024

/** Blocks for reuse, shared by the connections of one broker: fresh ones cost a page fault for each 4 KiB, and garbage collections. */
export class BlockPool {
  private readonly first: Buffer[] = []
  private readonly others: Buffer[] = []

  takeFirst(bytes: number): Buffer {
    return bytes > FIRST_BYTES ? this.take(bytes) : (this.first.pop() ?? Buffer.allocUnsafeSlow(FIRST_BYTES))
  }

  /** With room for so many bytes; where that is more than the usual size, it is not pooled. */
  take(bytes: number): Buffer {
    if (bytes > BLOCK_BYTES) return Buffer.allocUnsafeSlow(bytes)
    return this.others.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  give(block: Buffer): void {
    const { length } = block
    if (length === BLOCK_BYTES) keep(this.others, block)
    else if (length === FIRST_BYTES) keep(this.first, block)
  }
}

function keep(blocks: Buffer[], block: Buffer): void {
  if (blocks.length * block.length < POOL_BYTES_MAX) blocks.push(block)
}

const EMPTY: Buffer = Buffer.alloc(0)
const NO_VIEW = viewOf(EMPTY)

export class OutBuffer {
  /** The block that is written to; `reserve` changes it. */
  buf: Buffer = EMPTY
  /** Bytes written to `buf`; writers set it to what they return. */
  at = 0
  private view = NO_VIEW // of `buf`
  /** What `copy` copied from last. */
  private source: Buffer = EMPTY
  private sourceView = NO_VIEW
  private readonly full: Buffer[] = []
  private readonly sizes: number[] = []
  private fullBytes = 0

  constructor(private readonly pool: BlockPool) {}

  /** All that was written. */
  get bytes(): number {
    return this.fullBytes + this.at
  }

  /** Contiguous room for `bytes` more, at buf[at]. */
  reserve(bytes: number): void {
    if (this.at + bytes > this.buf.length) this.next(bytes)
  }

  /** Adds src[start, end), for which there must be room. */
  copy(src: Buffer, start: number, end: number): void {
    if (end - start > WORDS_BYTES_MAX) src.copy(this.buf, this.at, start, end)
    else {
      if (src !== this.source) {
        this.source = src
        this.sourceView = viewOf(src)
      }
      copyWords(this.sourceView, start, end, this.view, this.at)
    }
    this.at += end - start
  }

  /** Adds src[start, end), on from block to block: what is large needs no block of its own. */
  spread(src: Buffer, start: number, end: number): void {
    while (start < end) {
      this.reserve(1)
      const upTo = Math.min(end, start + this.buf.length - this.at)
      src.copy(this.buf, this.at, start, upTo)
      this.at += upTo - start
      start = upTo
    }
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buf.set(bytes, this.at)
    this.at += bytes.length
  }

  /** Hands over every block and how much of it was written, in order. Whoever takes one gives it back to the pool. */
  takeAll(onBlock: (block: Buffer, bytes: number) => void): void {
    const { full, sizes } = this
    for (let i = 0; i < full.length; i++) onBlock(full[i], sizes[i])
    full.length = 0
    sizes.length = 0
    if (this.at > 0) onBlock(this.buf, this.at)
    this.buf = EMPTY
    this.view = NO_VIEW
    this.source = EMPTY // or a connection that rests would hold on to it
    this.sourceView = NO_VIEW
    this.at = 0
    this.fullBytes = 0
  }

  private next(bytes: number): void {
    if (this.at === 0) this.pool.give(this.buf)
    else {
      this.full.push(this.buf)
      this.sizes.push(this.at)
      this.fullBytes += this.at
    }
    this.buf = this.fullBytes === 0 ? this.pool.takeFirst(bytes) : this.pool.take(bytes)
    this.view = viewOf(this.buf)
    this.at = 0
  }
}
