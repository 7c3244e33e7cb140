// Memory of one piece, from which the first slabs of a message store and the first blocks of what connections send are cut. Inside one
// ArrayBuffer bytes can be moved without making an object for each copy; from one to another they cannot (Node 20, 22). One per
// broker; memory is taken by what is used of it.

const SLABS = 64
export const SLAB_BYTES = 256 * 1024
export const BLOCK_BYTES = 64 * 1024
const BLOCKS = 64

export class Arena {
  /** Made when it is first wanted: a broker that has little to do, as in a test, had better not have it. */
  private bytes: Uint8Array | null = null
  private readonly memory = (): ArrayBufferLike => {
    this.bytes ??= Buffer.allocUnsafeSlow(SLABS * SLAB_BYTES + BLOCKS * BLOCK_BYTES) // not cleared: that would use it up
    return this.bytes.buffer
  }
  readonly slabs = new Pieces(this.memory, 0, SLABS, SLAB_BYTES)
  readonly blocks = new Pieces(this.memory, SLABS * SLAB_BYTES, BLOCKS, BLOCK_BYTES)

  /** Where in the arena the buffer begins; -1: it is none of it. */
  offsetOf(buf: Buffer): number {
    return buf.buffer === this.bytes?.buffer ? buf.byteOffset : -1
  }

  /** Copies the arena's [start, end) to `at`. */
  move(at: number, start: number, end: number): void {
    this.bytes?.copyWithin(at, start, end)
  }
}

/** A part of the arena in pieces of one size. */
class Pieces {
  private readonly free: Buffer[] = []
  private cut = 0

  constructor(
    private readonly memory: () => ArrayBufferLike,
    private readonly at: number,
    private readonly count: number,
    readonly size: number,
  ) {}

  /** null: all are in use. */
  take(): Buffer | null {
    const piece = this.free.pop()
    if (piece !== undefined) return piece
    if (this.cut === this.count) return null
    return Buffer.from(this.memory(), this.at + this.cut++ * this.size, this.size)
  }

  give(piece: Buffer): void {
    this.free.push(piece)
  }
}
