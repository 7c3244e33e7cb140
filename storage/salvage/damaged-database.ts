// What leveret.db held, as far as its pages still tell: definitions, and where the entries of the log lie. Wherever tables
// or their beginnings are lost, leaves are looked for that nothing leads to any more. Used by salvage.
import Database from 'better-sqlite3'
import { readRecords } from '../batch-codec'
import { crc32 } from '../crc'
import { sumOf, toRecord } from '../definition-tables'
import { DEFINITION_KINDS, type DefinitionKind, type Definitions, emptyDefinitions } from '../definitions'
import type { LogEntry, LogPosition } from '../log-backend'
import { migrate, PAGE_SIZE } from '../schema'
import { PageFile, PageKind } from './page-file'
import { type Cell, PageTree, type Row, type RowPlace } from './page-tree'

/** A table as this version makes it: where it begins in a new file, and its columns in the order of a stored row. */
interface Plan {
  root: number
  columns: { name: string; type: string }[]
}

/** An entry whose records are whole. The payload is null when its bytes are not those that were written. */
export interface FoundEntry {
  position: LogPosition
  records: Uint8Array
  payload: LogEntry['payload'] | null
}

export class DamagedDatabase {
  readonly damage: string[] = []
  readonly definitions = emptyDefinitions()
  readonly meta = new Map<string, Cell>()
  /** Rows of definitions were, or may have been, lost. */
  readonly damagedKinds = new Set<string>()
  /** Of the entries that were found, ascending. */
  positions: LogPosition[] = []
  private readonly places = new Map<LogPosition, number>() // page * 65536 + offset
  private readonly file: PageFile
  private readonly tree: PageTree
  private readonly plans = readPlans()
  private table = ''

  constructor(path: string) {
    this.file = new PageFile(path)
    this.tree = new PageTree(this.file, (what) => {
      this.damage.push(what)
      this.damagedKinds.add(this.table)
    })
    if (this.file.walDamage !== null) this.damage.push(this.file.walDamage)
  }

  /** Finds everything there is to find. */
  survey(): void {
    const roots = this.readRoots()
    for (const kind of DEFINITION_KINDS) {
      for (const row of this.rowsOf(kind, roots)) this.takeDefinition(kind, row)
    }
    for (const { values } of this.rowsOf('meta', roots)) {
      if (typeof values[0] === 'string') this.meta.set(values[0], values[1])
    }
    const sum = this.meta.get('definitions_sum')
    if (this.damage.length === 0 && typeof sum === 'number' && sum !== sumOf(this.definitions)) {
      this.lose('the definitions (tables vhost to policy) fail their checksum: one was changed or is missing')
    }
    this.table = 'entry'
    const positions: LogPosition[] = []
    for (const place of this.placesOf('entry', roots)) this.takeEntry(place, positions)
    this.mend(positions)
    this.findOrphans()
    this.positions = [...this.places.keys()].sort((a, b) => a - b)
  }

  /** null: its records cannot be read, or are not those that were written. */
  entry(position: LogPosition): FoundEntry | null {
    const at = this.places.get(position)
    if (at === undefined) return null
    const place = { page: Math.floor(at / 65536), at: at % 65536 }
    const short = this.tree.read(place, 4)
    const [, recordsCrc, payloadCrc, records] = short?.values ?? []
    if (!(records instanceof Buffer) || crc32(records) !== recordsCrc) return null
    const payload = this.tree.read(place)?.values[4]
    const isWhole = payload instanceof Buffer && crc32(payload) === payloadCrc
    if (!isReadable(records)) return null
    return { position, records: Uint8Array.from(records), payload: isWhole ? Uint8Array.from(payload) : null }
  }

  /** null: it was not found at all. */
  whereIs(position: LogPosition): string | null {
    const at = this.places.get(position)
    return at === undefined ? null : this.file.whereIs(Math.floor(at / 65536))
  }

  get isEmpty(): boolean {
    return (
      this.places.size + this.meta.size === 0 && DEFINITION_KINDS.every((kind) => this.definitions[kind].length === 0)
    )
  }

  close(): void {
    this.file.close()
  }

  // -- tables ---------------------------------------------------------------------------------------------------------

  /** Where each table begins, as the table of tables says. */
  private readRoots(): Map<string, number> {
    const roots = new Map<string, number>()
    this.table = 'sqlite_schema'
    for (const place of this.tree.walk(1, 'sqlite_schema')) {
      const [, name, , root] = this.tree.read(place)?.values ?? []
      if (typeof name === 'string' && typeof root === 'number') roots.set(name, root)
    }
    return roots
  }

  /** Where the table of tables does not say, tables begin where they do in every file of ours. */
  private *placesOf(table: string, roots: ReadonlyMap<string, number>): Generator<RowPlace> {
    this.table = table
    const standard = this.plan(table).root
    const stated = roots.get(table) ?? standard
    let rows = 0
    for (const place of this.tree.walk(stated, table)) {
      rows++
      yield place
    }
    if (rows === 0 && stated !== standard) yield* this.tree.walk(standard, table)
  }

  private *rowsOf(table: string, roots: ReadonlyMap<string, number>): Generator<Row> {
    for (const place of this.placesOf(table, roots)) {
      const row = this.tree.read(place)
      if (row !== null) yield row
      else this.lose(`a row of table ${table}, in ${this.file.whereIs(place.page)}, is not readable`)
    }
  }

  private takeDefinition(kind: DefinitionKind, row: Row): void {
    const record = this.recordOf(kind, row)
    if (record === null) this.lose(`a row of table ${kind} holds what cannot have been written: ${describe(row)}`)
    else (this.definitions[kind] as unknown[]).push(record)
  }

  private recordOf(kind: DefinitionKind, { rowid, values }: Row): Definitions[DefinitionKind][number] | null {
    const { columns } = this.plan(kind)
    const cells: Record<string, string | number> = {}
    for (const [i, { name, type }] of columns.entries()) {
      const value = values[i] === null && name === 'id' ? rowid : values[i]
      if (typeof value !== (type === 'TEXT' ? 'string' : 'number')) return null
      cells[name] = value as string | number
    }
    try {
      for (const name of ['tags', 'arguments', 'definition']) if (name in cells) JSON.parse(cells[name] as string)
      if (kind === 'parameter') JSON.parse(cells.value as string)
      return toRecord(kind, cells) as unknown as Definitions[DefinitionKind][number]
    } catch {
      return null
    }
  }

  private plan(table: string): Plan {
    return this.plans.get(table) as Plan
  }

  private lose(what: string): void {
    this.damage.push(what)
    this.damagedKinds.add(this.table)
  }

  // -- the log --------------------------------------------------------------------------------------------------------

  private takeEntry(place: RowPlace, positions: LogPosition[]): void {
    const position = this.tree.read(place, 0)?.rowid ?? null
    if (position === null || position < 1) {
      this.lose(`a log entry in ${this.file.whereIs(place.page)} is not readable`)
      return
    }
    positions.push(position)
    if (!this.places.has(position)) this.places.set(position, place.page * 65536 + place.at)
  }

  /** Checksums do not cover the position of an entry: where it breaks the order and one is missing there, it is that one. */
  private mend(positions: LogPosition[]): void {
    for (let i = 1; i + 1 < positions.length; i++) {
      const expected = positions[i - 1] + 1
      if (positions[i] === expected || positions[i + 1] !== expected + 1 || this.places.has(expected)) continue
      this.damage.push(`log entry ${expected} is marked as ${positions[i]}, and was put back in its place`)
      this.places.set(expected, this.places.get(positions[i]) as number)
      this.places.delete(positions[i])
      positions[i] = expected
    }
  }

  /** Pages that the page map calls part of a table though no table leads there. */
  private findOrphans(): void {
    for (let number = 3; number <= this.file.pageCount; number++) {
      const kind = this.tree.visited.has(number) ? undefined : this.file.kindOf(number)
      if (kind !== PageKind.ROOT && kind !== PageKind.BELOW_ROOT) continue
      for (const place of this.tree.orphans(number)) this.takeOrphan(place)
    }
  }

  private takeOrphan(place: RowPlace): void {
    const row = this.tree.read(place, 4)
    if (row === null || row.rowid === null) return
    if (row.values.length === 4 && row.values[3] instanceof Buffer) {
      if (crc32(row.values[3]) !== row.values[1] || this.places.has(row.rowid)) return
      this.places.set(row.rowid, place.page * 65536 + place.at)
      return
    }
    const whole = this.tree.read(place)
    const queue = whole && whole.values.length === this.plan('queue').columns.length && this.recordOf('queue', whole)
    if (!queue || this.definitions.queue.some((known) => known.id === row.rowid)) return
    this.definitions.queue.push(queue as Definitions['queue'][number])
  }
}

function readPlans(): Map<string, Plan> {
  const db = new Database(':memory:')
  try {
    db.pragma(`page_size = ${PAGE_SIZE}`)
    db.pragma('auto_vacuum = INCREMENTAL')
    migrate(db)
    const tables = db.prepare(`SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'`).raw().all()
    return new Map((tables as [string, number][]).map(([name, root]) => [name, { root, columns: columnsOf(db, name) }]))
  } finally {
    db.close()
  }
}

/** In a table WITHOUT ROWID, which is an index, the key comes first. */
function columnsOf(db: Database.Database, table: string): Plan['columns'] {
  const declared = db.pragma(`table_info(${table})`) as { name: string; type: string; pk: number }[]
  const isWithoutRowid = (db.pragma(`table_list(${table})`) as { wr: number }[])[0].wr === 1
  const key = declared.filter((column) => column.pk > 0).sort((a, b) => a.pk - b.pk)
  return isWithoutRowid ? [...key, ...declared.filter((column) => column.pk === 0)] : declared
}

/** Its checksum holds; but a later version may have written it. */
function isReadable(records: Uint8Array): boolean {
  try {
    readRecords(records, {
      onEnqueue() {},
      onSettle() {},
      onReturned() {},
      onDelivered() {},
      onTime() {},
      onCounts() {},
    })
    return true
  } catch {
    return false
  }
}

const describe = (row: Row): string => JSON.stringify(row.values).slice(0, 200)
