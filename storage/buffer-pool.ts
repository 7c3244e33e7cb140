// Buffers for reuse, of any size: what holds message bytes in memory and large messages that come in parts. A fresh buffer costs the
// kernel a page to clear for each 4 KiB, and brings the next garbage collection nearer. One per broker.

/** Free buffers together. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024

interface SizeClass {
  free: Buffer[]
  /** So many were free all the time since the last trim. */
  least: number
}

export class BufferPool {
  private readonly classes = new Map<number, SizeClass>()
  keptBytes = 0

  /** Of so many bytes or up to a sixteenth more. */
  take(bytes: number): Buffer {
    const size = sizeOfClass(bytes)
    const kept = this.classes.get(size)
    const buffer = kept?.free.pop()
    if (kept === undefined || buffer === undefined) return Buffer.allocUnsafeSlow(size)
    kept.least = Math.min(kept.least, kept.free.length)
    this.keptBytes -= size
    return buffer
  }

  /** A buffer that `take` made, and which nobody uses any more. */
  give(buffer: Buffer): void {
    const size = buffer.length
    if (this.keptBytes + size > KEPT_BYTES_MAX) return
    this.keptBytes += size
    const kept = this.classes.get(size)
    if (kept === undefined) this.classes.set(size, { free: [buffer], least: 0 })
    else kept.free.push(buffer)
  }

  /** Lets go of what nobody wanted since it was called last. Called now and then. */
  trim(): void {
    for (const [size, kept] of this.classes) {
      this.keptBytes -= kept.least * size
      kept.free.splice(0, kept.least) // those used last are last
      kept.least = kept.free.length
      if (kept.least === 0) this.classes.delete(size)
    }
  }
}

/** Sixteen for each power of two: a message of a round size and its frames' heads must not take much more. */
function sizeOfClass(bytes: number): number {
  if (bytes < 32) return 32
  const step = 2 ** (27 - Math.clz32(bytes - 1))
  return Math.ceil(bytes / step) * step
}
