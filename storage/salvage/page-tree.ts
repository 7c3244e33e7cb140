// SQLite's b-trees, read for what can still be read: walks the pages of a table and its rows, reports what does not hold
// together and goes on beside it. https://sqlite.org/fileformat2.html is the description it follows. Used by salvage.
import type { PageFile } from './page-file'

const INTERIOR_INDEX = 2
const INTERIOR_TABLE = 5
const LEAF_TABLE = 13
const DEPTH_MAX = 20

export type Cell = null | number | string | Buffer

/** A row that was found, not read yet. */
export interface RowPlace {
  page: number
  at: number // of its cell in the page
}

/** A row's record; the key is null in an index (a table WITHOUT ROWID). */
export interface Row {
  rowid: number | null
  values: Cell[]
}

export class PageTree {
  readonly visited = new Set<number>()
  private readonly text = new TextDecoder('utf-8', { fatal: true })

  constructor(
    private readonly file: PageFile,
    /** Told in words what a person needs to know. */
    private readonly onDamage: (what: string) => void,
  ) {}

  /** Every row below this page, in the order of the tree. */
  *walk(root: number, table: string, depth = 0): Generator<RowPlace> {
    const page = this.enter(root, table, depth)
    if (page === null) return
    const type = page[headerAt(root)]
    const isInterior = type === INTERIOR_TABLE || type === INTERIOR_INDEX
    for (const at of this.cellsOf(page, root, table)) {
      if (isInterior) yield* this.walk(page.readUInt32BE(at), table, depth + 1)
      if (type !== INTERIOR_TABLE) yield { page: root, at }
    }
    if (isInterior) yield* this.walk(page.readUInt32BE(headerAt(root) + 8), table, depth + 1)
  }

  private enter(number: number, table: string, depth: number): Buffer | null {
    const isNew = !this.visited.has(number)
    const page = isNew && depth <= DEPTH_MAX ? this.file.page(number) : null
    const isTree = page !== null && [2, 5, 10, 13].includes(page[headerAt(number)])
    if (isTree) this.visited.add(number)
    else this.onDamage(`table ${table}: ${this.file.whereIs(number)}, is missing, damaged or not part of it`)
    return isTree ? page : null
  }

  /** Offsets of the page's cells that lie within it. */
  private cellsOf(page: Buffer, number: number, table: string): number[] {
    const header = headerAt(number)
    const type = page[header]
    const pointers = header + (type === INTERIOR_TABLE || type === INTERIOR_INDEX ? 12 : 8)
    const count = page.readUInt16BE(header + 3)
    const cells: number[] = []
    for (let i = 0; i < count && pointers + 2 * i + 2 <= page.length; i++) {
      const at = page.readUInt16BE(pointers + 2 * i)
      if (at >= pointers + 2 * count && at + 4 <= page.length) cells.push(at)
    }
    if (cells.length < count) {
      this.onDamage(
        `table ${table}: ${this.file.whereIs(number)}, is damaged: ${cells.length} of ${count} rows are left`,
      )
    }
    return cells
  }

  /** Rows of a leaf that no tree leads to; none when it is no leaf of a table with row ids. */
  *orphans(number: number): Generator<RowPlace> {
    const page = this.file.page(number)
    if (page === null || page[headerAt(number)] !== LEAF_TABLE) return
    for (const at of this.cellsOf(page, number, 'unknown')) yield { page: number, at }
  }

  /** Reads one column less than all when `columns` says so: the large last one is not wanted each time. null: unreadable. */
  read(place: RowPlace, columns = Number.POSITIVE_INFINITY): Row | null {
    const page = this.file.page(place.page)
    if (page === null) return null
    try {
      const type = page[headerAt(place.page)]
      const isTable = type === LEAF_TABLE || type === INTERIOR_TABLE
      const cursor = new Cursor(page, type === INTERIOR_INDEX ? place.at + 4 : place.at)
      const length = cursor.varint()
      const rowid = isTable ? cursor.varint() : null
      const payload = new Payload(this.file, page, cursor.at, length, isTable)
      return { rowid, values: this.record(payload, columns) }
    } catch {
      return null // offsets that lead nowhere, lengths that lie, text that is none
    }
  }

  private record(payload: Payload, columns: number): Cell[] {
    // Ours have few columns: their header fits into what lies in the page itself.
    const header = new Cursor(payload.take(0, Math.min(payload.length, 128)), 0)
    const headerBytes = header.varint()
    const values: Cell[] = []
    let at = headerBytes
    while (header.at < headerBytes && values.length < columns) {
      const type = header.varint()
      const bytes = bytesOf(type)
      values.push(this.value(type, payload.take(at, bytes)))
      at += bytes
    }
    if (at > payload.length) throw new Error('a record longer than its cell')
    return values
  }

  private value(type: number, bytes: Buffer): Cell {
    if (type === 0) return null
    if (type <= 6) return bytes.length <= 6 ? bytes.readIntBE(0, bytes.length) : Number(bytes.readBigInt64BE(0))
    if (type === 7) return bytes.readDoubleBE(0)
    if (type === 8 || type === 9) return type - 8
    return type % 2 === 0 ? bytes : this.text.decode(bytes)
  }
}

/** The payload of a cell: its first part in the page, the rest in a chain of overflow pages, read as far as asked for. */
class Payload {
  private readonly parts: Buffer[]
  private have: number
  private next: number

  constructor(
    private readonly file: PageFile,
    page: Buffer,
    at: number,
    readonly length: number,
    isTable: boolean,
  ) {
    const usable = page.length
    const localMax = isTable ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23
    const localMin = Math.floor(((usable - 12) * 32) / 255) - 23
    const spread = localMin + ((length - localMin) % (usable - 4))
    const local = length <= localMax ? length : spread <= localMax ? spread : localMin
    if (length > file.pageCount * usable || at + local > usable) throw new Error('a cell longer than its file')
    this.parts = [page.subarray(at, at + local)]
    this.have = local
    this.next = local < length ? page.readUInt32BE(at + local) : 0
  }

  take(from: number, bytes: number): Buffer {
    if (from + bytes > this.length) throw new Error('a value outside its cell')
    while (this.have < from + bytes) this.readOn()
    if (this.parts.length > 1 && from + bytes <= this.parts[0].length) return this.parts[0].subarray(from, from + bytes)
    if (this.parts.length > 1) this.parts.splice(0, this.parts.length, Buffer.concat(this.parts))
    return this.parts[0].subarray(from, from + bytes)
  }

  private readOn(): void {
    const page = this.file.page(this.next)
    if (page === null) throw new Error('a chain of pages that is broken')
    const part = page.subarray(4, 4 + Math.min(page.length - 4, this.length - this.have))
    this.parts.push(part)
    this.have += part.length
    this.next = page.readUInt32BE(0)
  }
}

class Cursor {
  constructor(
    private readonly bytes: Buffer,
    public at: number,
  ) {}

  /** Up to nine bytes, seven bits each, eight in the ninth; throws above 2^53, which nothing of ours is. */
  varint(): number {
    let value = 0
    for (let i = 0; i < 8; i++) {
      const byte = this.bytes.readUInt8(this.at++)
      value = value * 128 + (byte & 0x7f)
      if (byte < 0x80) break
      if (i === 7) throw new Error('a number too large')
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new Error('a number too large')
    return value
  }
}

/** The header of a page stands at its start, in the first one behind the header of the file. */
const headerAt = (page: number): number => (page === 1 ? 100 : 0)

function bytesOf(serialType: number): number {
  if (serialType >= 12) return Math.floor((serialType - 12) / 2)
  if (serialType >= 10) throw new Error('no such type')
  return [0, 1, 2, 3, 4, 6, 8, 8, 0, 0][serialType]
}
