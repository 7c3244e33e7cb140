// Where message bytes go that must leave memory and are not in the log: a scratch file, gone with the process, never synced.
// Used by the message store for whole slabs. Space is kept in blocks; a freed stretch is used again for one of its length.
import { type FileHandle, open, unlink } from 'node:fs/promises'
import type { SpillPlace } from './segment'

export const SPILL_BLOCK_BYTES = 64 * 1024
/** Writes under way at a time: enough to keep a disk busy. */
const WRITES_MAX = 4
/** After a write failed, the next try. */
const RETRY_MS = 1000

interface Retry {
  cancel(): void
}

export class SpillFile {
  /** Stretches in use, in bytes. */
  usedBytes = 0
  /** Why the last write failed; null while the file works. */
  error: Error | null = null
  private file: Promise<FileHandle> | null = null
  private endBlock = 0
  private readonly freed = new Map<number, number[]>() // by length in blocks: first blocks
  private writes = 0
  private shrinking: Promise<void> | undefined
  private retry: Retry | null = null
  private isClosed = false

  /** `path` is created when first needed; what another process left there is overwritten. */
  constructor(
    private readonly path: string,
    private readonly after: (ms: number, callback: () => void) => Retry = afterWallTime,
  ) {}

  get hasRoom(): boolean {
    return this.writes < WRITES_MAX && this.retry === null && !this.isClosed
  }

  /** Writes the parts one behind the other. Rejects with the file system's error; nothing is taken up then. */
  async write(parts: Uint8Array[]): Promise<SpillPlace> {
    const place = this.allocate(parts.reduce((sum, part) => sum + part.length, 0))
    this.writes++
    try {
      await this.transfer(place, parts, 'write')
      this.error = null
      return place
    } catch (error) {
      this.free(place)
      this.pause(error as Error)
      throw error
    } finally {
      this.writes--
    }
  }

  /** Fills the parts with what was written there. */
  read(place: SpillPlace, parts: Uint8Array[]): Promise<void> {
    return this.transfer(place, parts, 'read')
  }

  free(place: SpillPlace): void {
    const { firstBlock, blocks } = place
    this.usedBytes -= blocks * SPILL_BLOCK_BYTES
    if (this.usedBytes === 0) return this.shrink()
    const list = this.freed.get(blocks)
    if (list === undefined) this.freed.set(blocks, [firstBlock])
    else list.push(firstBlock)
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.retry?.cancel()
    await (await this.file?.catch(() => null))?.close()
  }

  private allocate(bytes: number): SpillPlace {
    const blocks = Math.ceil(bytes / SPILL_BLOCK_BYTES)
    this.usedBytes += blocks * SPILL_BLOCK_BYTES
    const again = this.freed.get(blocks)?.pop()
    if (again !== undefined) return { firstBlock: again, blocks }
    const firstBlock = this.endBlock
    this.endBlock += blocks
    return { firstBlock, blocks }
  }

  protected async transfer(place: SpillPlace, parts: Uint8Array[], way: 'read' | 'write'): Promise<void> {
    if (this.isClosed) throw new Error('the spill file is closed')
    this.file ??= this.create()
    const file = await this.file
    await this.shrinking
    let at = place.firstBlock * SPILL_BLOCK_BYTES
    for (const part of parts) {
      for (let done = 0; done < part.length; ) {
        const moved =
          way === 'write'
            ? (await file.write(part, done, part.length - done, at)).bytesWritten
            : (await file.read(part, done, part.length - done, at)).bytesRead
        if (moved === 0) throw new Error(`the spill file ${this.path} ends early`)
        done += moved
        at += moved
      }
    }
  }

  private async create(): Promise<FileHandle> {
    try {
      const file = await open(this.path, 'w+')
      // Without a name it cannot be left behind. Where a name is needed while it is open, the next start overwrites it.
      await unlink(this.path).catch(() => {})
      return file
    } catch (error) {
      this.file = null
      throw error
    }
  }

  /** Nothing is in use: the space goes back. A write that comes meanwhile waits for it. */
  private shrink(): void {
    this.freed.clear()
    this.endBlock = 0
    this.shrinking = this.file?.then((file) => file.truncate(0)).catch(() => {})
  }

  private pause(error: Error): void {
    this.error = error
    this.retry ??= this.after(RETRY_MS, () => {
      this.retry = null
    })
  }
}

function afterWallTime(ms: number, callback: () => void): Retry {
  const timer = setTimeout(callback, ms).unref()
  return { cancel: () => clearTimeout(timer) }
}
