// What a connection has to say this turn, in a few blocks: written by server/net through the protocol writers, handed to the
// socket once per turn. Idle connections hold no block.

import { type Arena, BLOCK_BYTES } from '../../storage/arena'
import { copyWords, viewOf, WORDS_BYTES_MAX } from '../../storage/bytes'

/** Of the first block of a turn: mostly it is all, and many connections that each say little must not each use up much memory. */
const FIRST_BYTES = 4 * 1024
/** Unused blocks of either size that are kept, those of the arena not counted. */
const POOL_BYTES_MAX = 4 * 1024 * 1024

export class Block {
  readonly view: DataView

  constructor(
    readonly bytes: Buffer,
    /** Where in the arena it begins; -1: it is none of it. */
    readonly arenaAt = -1,
  ) {
    this.view = viewOf(bytes)
  }
}

/** Blocks for reuse, shared by the connections of one broker: fresh ones cost a page fault for each 4 KiB, and garbage collections. */
export class BlockPool {
  private readonly first: Block[] = []
  private readonly others: Block[] = []
  private readonly ofArena: Block[] = []

  constructor(readonly arena: Arena) {}

  takeFirst(bytes: number): Block {
    return bytes > FIRST_BYTES ? this.take(bytes) : (this.first.pop() ?? new Block(Buffer.allocUnsafeSlow(FIRST_BYTES)))
  }

  /** With room for so many bytes; where that is more than the usual size, it is not pooled. */
  take(bytes: number): Block {
    if (bytes > BLOCK_BYTES) return new Block(Buffer.allocUnsafeSlow(bytes))
    return this.ofArena.pop() ?? this.cut() ?? this.others.pop() ?? new Block(Buffer.allocUnsafeSlow(BLOCK_BYTES))
  }

  private cut(): Block | null {
    const bytes = this.arena.blocks.take()
    return bytes === null ? null : new Block(bytes, this.arena.offsetOf(bytes))
  }

  give(block: Block): void {
    const { length } = block.bytes
    if (block.arenaAt !== -1) this.ofArena.push(block)
    else if (length === BLOCK_BYTES) keep(this.others, block)
    else if (length === FIRST_BYTES) keep(this.first, block)
  }
}

function keep(blocks: Block[], block: Block): void {
  if (blocks.length * block.bytes.length < POOL_BYTES_MAX) blocks.push(block)
}

const NOTHING: Buffer = Buffer.alloc(0)
const NO_BLOCK = new Block(NOTHING)

export class OutBuffer {
  /** The bytes of the block that is written to; `reserve` changes it. */
  buf: Buffer = NOTHING
  /** Bytes written to `buf`; writers set it to what they return. */
  at = 0
  private block = NO_BLOCK
  private view = NO_BLOCK.view
  /** What `copy` copied from last. */
  private source: Buffer = NOTHING
  private sourceView = NO_BLOCK.view
  private sourceArenaAt = -1
  private readonly full: Block[] = []
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
    if (src !== this.source) this.enter(src)
    if (end - start <= WORDS_BYTES_MAX) copyWords(this.sourceView, start, end, this.view, this.at)
    else this.copyMany(src, start, end)
    this.at += end - start
  }

  private copyMany(src: Buffer, start: number, end: number): void {
    const { arenaAt } = this.block
    const { sourceArenaAt, at } = this
    if (arenaAt === -1 || sourceArenaAt === -1) src.copy(this.buf, at, start, end)
    else this.pool.arena.move(arenaAt + at, sourceArenaAt + start, sourceArenaAt + end)
  }

  private enter(src: Buffer): void {
    this.source = src
    this.sourceView = viewOf(src)
    this.sourceArenaAt = this.pool.arena.offsetOf(src)
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

  /** It is all in one block. */
  get isOneBlock(): boolean {
    return this.full.length === 0
  }

  /** Hands over every block and how much of it was written, in order. Whoever takes one gives it back to the pool. */
  takeAll(onBlock: (block: Block, bytes: number) => void): void {
    const { full, sizes } = this
    for (let i = 0; i < full.length; i++) onBlock(full[i], sizes[i])
    full.length = 0
    sizes.length = 0
    if (this.at > 0) onBlock(this.block, this.at)
    this.setBlock(NO_BLOCK)
    this.source = NOTHING // or a connection that rests would hold on to it
    this.sourceView = NO_BLOCK.view
    this.fullBytes = 0
  }

  private next(bytes: number): void {
    if (this.at === 0) this.pool.give(this.block)
    else {
      this.full.push(this.block)
      this.sizes.push(this.at)
      this.fullBytes += this.at
    }
    this.setBlock(this.fullBytes === 0 ? this.pool.takeFirst(bytes) : this.pool.take(bytes))
  }

  private setBlock(block: Block): void {
    this.block = block
    this.buf = block.bytes
    this.view = block.view
    this.at = 0
  }
}
