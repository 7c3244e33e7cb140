// The pages of leveret.db as its last commit left them: from the write-ahead log where it holds them, else from the file.
// Reads with plain file reads, never through SQLite, which refuses damaged files and writes beside those it opens.
// Used by salvage, which must bear anything it finds.
import * as fs from 'node:fs'
import { PAGE_SIZE } from '../schema'

const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const WAL_MAGIC = 0x377f0682 // the last bit: words of the checksums are big-endian

/** What the map of pages says. */
export enum PageKind {
  ROOT = 1,
  FREE = 2,
  BELOW_ROOT = 5,
}

export class PageFile {
  readonly pageSize: number
  readonly pageCount: number
  /** What is wrong with the write-ahead log; null: nothing, or there is none. */
  walDamage: string | null = null
  private readonly file: number | null
  private readonly wal: number | null
  private readonly inWal = new Map<number, number>() // page to its offset there, of whole commits
  private sizeInWal = 0
  private last: { number: number; page: Buffer } | null = null // rows beside each other lie in one page

  constructor(readonly path: string) {
    this.file = openToRead(path)
    this.wal = openToRead(`${path}-wal`)
    const bytes = this.file === null ? 0 : fs.fstatSync(this.file).size
    this.pageSize = this.pageSizeFromHeader()
    if (this.wal !== null) this.readWal(this.wal)
    this.pageCount = this.sizeInWal > 0 ? this.sizeInWal : Math.ceil(bytes / this.pageSize)
  }

  /** null: it is not there, or the disk does not give it. What the file's end cuts is filled with zeros. */
  page(number: number): Buffer | null {
    if (!(number >= 1 && number <= this.pageCount)) return null
    if (this.last?.number === number) return this.last.page
    const offset = this.inWal.get(number)
    const [from, at] = offset === undefined ? [this.file, (number - 1) * this.pageSize] : [this.wal, offset]
    if (from === null) return null
    const page = Buffer.alloc(this.pageSize)
    if (readAt(from, page, at) === 0) return null
    this.last = { number, page }
    return page
  }

  isInWal(number: number): boolean {
    return this.inWal.has(number)
  }

  /** SQLite keeps a map of all pages for auto_vacuum: five bytes each, in a page before those that it describes. Undefined for
   *  such a page itself. */
  kindOf(number: number): PageKind | undefined {
    const perMap = Math.floor(this.pageSize / 5) + 1
    const map = Math.floor((number - 2) / perMap) * perMap + 2
    if (number < 3 || number === map) return undefined
    if (this.map?.number !== map) this.map = { number: map, page: this.page(map) } // asked for many times in a row
    return this.map.page?.[5 * (number - map - 1)]
  }
  private map: { number: number; page: Buffer | null } | null = null

  /** For a person with a hex editor. */
  whereIs(number: number): string {
    const offset = this.inWal.get(number)
    if (offset !== undefined) return `page ${number}, at byte ${offset} of ${this.path}-wal`
    return `page ${number}, at byte ${(number - 1) * this.pageSize} of ${this.path}`
  }

  close(): void {
    for (const descriptor of [this.file, this.wal]) if (descriptor !== null) fs.closeSync(descriptor)
  }

  /** We make files of one page size only, so where the header is destroyed it is known all the same. */
  private pageSizeFromHeader(): number {
    const header = Buffer.alloc(18)
    if (this.file !== null) readAt(this.file, header, 0)
    const size = header.readUInt16BE(16)
    const isPossible = size >= 512 && size <= 32768 && (size & (size - 1)) === 0
    return isPossible ? size : PAGE_SIZE
  }

  /** As SQLite reads it: frame after frame as long as salts and checksums agree; what no commit frame follows does not count. */
  private readWal(wal: number): void {
    const bytes = fs.fstatSync(wal).size
    if (bytes === 0) return
    const header = Buffer.alloc(WAL_HEADER_BYTES)
    readAt(wal, header, 0)
    const sums = new WalChecksum((header.readUInt32BE(0) & 1) === 1)
    sums.add(header, 0, 24)
    const isWhole = (header.readUInt32BE(0) & ~1) >>> 0 === WAL_MAGIC && sums.equals(header, 24)
    if (!isWhole || header.readUInt32BE(8) !== this.pageSize) {
      this.walDamage = `${this.path}-wal has no readable header: what had been committed into it is lost`
      return
    }
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + this.pageSize)
    const uncommitted = new Map<number, number>()
    for (let at = WAL_HEADER_BYTES; at < bytes; at += frame.length) {
      if (readAt(wal, frame, at) < frame.length) return this.cutAt(at)
      if (frame.compare(header, 16, 24, 8, 16) !== 0) return // left over from before the log was begun anew
      sums.add(frame, 0, 8)
      sums.add(frame, FRAME_HEADER_BYTES, frame.length)
      if (!sums.equals(frame, 16)) return this.cutAt(at)
      uncommitted.set(frame.readUInt32BE(0), at + FRAME_HEADER_BYTES)
      this.sizeInWal = this.commit(frame.readUInt32BE(4), uncommitted)
    }
  }

  private commit(sizeAfter: number, uncommitted: Map<number, number>): number {
    if (sizeAfter === 0) return this.sizeInWal // not the last frame of its commit
    for (const [page, at] of uncommitted) this.inWal.set(page, at)
    uncommitted.clear()
    return sizeAfter
  }

  private cutAt(offset: number): void {
    this.walDamage = `${this.path}-wal is cut off or damaged at byte ${offset}: commits behind it, if there were any, are lost`
  }
}

/** SQLite's checksum of its log: two sums over pairs of words, running from the header to the last frame. */
class WalChecksum {
  private s1 = 0
  private s2 = 0

  constructor(private readonly isBigEndian: boolean) {}

  add(bytes: Buffer, from: number, to: number): void {
    let { s1, s2 } = this
    for (let at = from; at < to; at += 8) {
      s1 = (s1 + (this.isBigEndian ? bytes.readInt32BE(at) : bytes.readInt32LE(at)) + s2) | 0
      s2 = (s2 + (this.isBigEndian ? bytes.readInt32BE(at + 4) : bytes.readInt32LE(at + 4)) + s1) | 0
    }
    this.s1 = s1
    this.s2 = s2
  }

  equals(bytes: Buffer, at: number): boolean {
    return bytes.readInt32BE(at) === this.s1 && bytes.readInt32BE(at + 4) === this.s2
  }
}

function openToRead(path: string): number | null {
  try {
    return fs.openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Bytes read; a disk that cannot read counts as the end of the file. */
function readAt(descriptor: number, into: Buffer, at: number): number {
  let done = 0
  try {
    while (done < into.length) {
      const read = fs.readSync(descriptor, into, done, into.length - done, at + done)
      if (read === 0) break
      done += read
    }
  } catch {}
  return done
}
