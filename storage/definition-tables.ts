// Definitions as rows: one description per table, from which all its SQL is made. Used by sqlite-log inside its
// transactions; decides nothing about what a definition means.
import type { Database, Statement } from 'better-sqlite3'
import { crc32 } from './crc'
import {
  DEFINITION_DEPENDENTS,
  DEFINITION_KEYS,
  DEFINITION_KINDS,
  type DefinitionChange,
  type DefinitionKind,
  type Definitions,
  emptyDefinitions,
} from './definitions'

type Cell = string | number
type Row = Record<string, unknown>

/** How one field of a record lies in its column. */
interface Column {
  field: string
  column: string
  toCell(value: unknown): Cell
  fromCell(cell: Cell): unknown
}

const plain = (field: string, column = field): Column => ({
  field,
  column,
  toCell: (value) => value as Cell,
  fromCell: (cell) => cell,
})
const flag = (field: string, column = field): Column => ({
  field,
  column,
  toCell: (value) => (value ? 1 : 0),
  fromCell: (cell) => cell !== 0,
})
const list = (field: string, column = field): Column => ({
  field,
  column,
  toCell: (value) => JSON.stringify(value),
  fromCell: (cell) => JSON.parse(cell as string),
})

const COLUMNS: Record<DefinitionKind, readonly Column[]> = {
  vhost: [
    plain('name'),
    plain('description'),
    list('tags'),
    plain('defaultQueueType', 'default_queue_type'),
    flag('protectedFromDeletion', 'protected_from_deletion'),
  ],
  user: [
    plain('name'),
    plain('passwordHash', 'password_hash'),
    plain('hashingAlgorithm', 'hashing_algorithm'),
    list('tags'),
  ],
  permission: [plain('user'), plain('vhost'), plain('configure'), plain('write'), plain('read')],
  exchange: [
    plain('vhost'),
    plain('name'),
    plain('type'),
    flag('durable'),
    flag('autoDelete', 'auto_delete'),
    flag('internal'),
    plain('arguments'),
  ],
  queue: [
    plain('id'),
    plain('vhost'),
    plain('name'),
    flag('durable'),
    flag('autoDelete', 'auto_delete'),
    plain('arguments'),
  ],
  binding: [
    plain('vhost'),
    plain('source'),
    plain('destination'),
    plain('destinationType', 'destination_type'),
    plain('routingKey', 'routing_key'),
    plain('arguments'),
  ],
  parameter: [plain('component'), plain('name'), plain('vhost'), plain('value')],
  policy: [
    plain('vhost'),
    plain('name'),
    plain('pattern'),
    plain('applyTo', 'apply_to'),
    plain('priority'),
    plain('definition'),
  ],
}

/** Rows that go with one of another kind. */
interface Dependent {
  kind: DefinitionKind
  get: Statement<Cell[], Record<string, Cell>>
  remove: Statement<Cell[]>
}

export class DefinitionTables {
  /** Of the checksums of all rows, so that none can change or vanish unnoticed. Known after readAll, kept by apply. */
  sum = 0
  private readonly puts = {} as Record<DefinitionKind, Statement<Cell[]>>
  private readonly deletes = {} as Record<DefinitionKind, Statement<Cell[]>>
  private readonly gets = {} as Record<DefinitionKind, Statement<Cell[], Record<string, Cell>>>
  private readonly dependents = {} as Record<DefinitionKind, Dependent[]>

  constructor(private readonly db: Database) {
    for (const kind of DEFINITION_KINDS) {
      const columns = COLUMNS[kind]
      const key = DEFINITION_KEYS[kind]
      const names = columns.map((column) => column.column).join(', ')
      this.puts[kind] = db.prepare(
        `INSERT OR REPLACE INTO ${kind} (${names}) VALUES (${columns.map(() => '?').join(', ')})`,
      )
      const isIt = key.map((field) => `${columnOf(kind, field).column} = ?`).join(' AND ')
      this.gets[kind] = db.prepare(`SELECT * FROM ${kind} WHERE ${isIt}`)
      this.deletes[kind] = db.prepare(`DELETE FROM ${kind} WHERE ${isIt}`)
      this.dependents[kind] = DEFINITION_DEPENDENTS[kind].map(([child, field]) => {
        const column = columnOf(child, field).column
        return {
          kind: child,
          get: db.prepare(`SELECT * FROM ${child} WHERE ${column} = ?`),
          remove: db.prepare(`DELETE FROM ${child} WHERE ${column} = ?`),
        }
      })
    }
  }

  /** Within the caller's transaction; should that fail, the caller puts `sum` back. */
  apply(change: DefinitionChange): void {
    const { kind } = change
    const fields = (change.op === 'put' ? change.record : change.key) as unknown as Row
    const key = DEFINITION_KEYS[kind].map((field) => columnOf(kind, field).toCell(fields[field]))
    this.subtract(kind, this.gets[kind].all(...key))
    if (change.op === 'put') {
      this.puts[kind].run(...COLUMNS[kind].map((column) => column.toCell(fields[column.field])))
      this.sum = wrap(this.sum + checksum(kind, fields))
      return
    }
    this.deletes[kind].run(...key)
    for (const dependent of this.dependents[kind]) {
      this.subtract(dependent.kind, dependent.get.all(key[0]))
      dependent.remove.run(key[0])
    }
  }

  private subtract(kind: DefinitionKind, rows: Record<string, Cell>[]): void {
    for (const row of rows) this.sum = wrap(this.sum - checksum(kind, toRecord(kind, row)))
  }

  readAll(): Definitions {
    const all = emptyDefinitions() as Record<DefinitionKind, unknown[]>
    for (const kind of DEFINITION_KINDS) {
      for (const row of this.db.prepare<[], Record<string, Cell>>(`SELECT * FROM ${kind}`).iterate()) {
        all[kind].push(toRecord(kind, row))
      }
    }
    this.sum = sumOf(all as Definitions)
    return all as Definitions
  }
}

/** The same whatever the order, so that a change need not look at the other rows. */
export function sumOf(definitions: Definitions): number {
  let sum = 0
  for (const kind of DEFINITION_KINDS) {
    for (const record of definitions[kind]) sum = wrap(sum + checksum(kind, record as unknown as Row))
  }
  return sum
}

const wrap = (sum: number): number => sum >>> 0

function checksum(kind: DefinitionKind, record: Row): number {
  return crc32(
    Buffer.from(JSON.stringify([kind, ...COLUMNS[kind].map((column) => column.toCell(record[column.field]))])),
  )
}

function columnOf(kind: DefinitionKind, field: string): Column {
  const column = COLUMNS[kind].find((candidate) => candidate.field === field)
  if (column === undefined) throw new Error(`no field ${field} in ${kind}`)
  return column
}

/** A row as the record that it stands for. Throws where a cell is not what was written there. */
export function toRecord(kind: DefinitionKind, row: Record<string, Cell>): Row {
  const record: Row = {}
  for (const column of COLUMNS[kind]) record[column.field] = column.fromCell(row[column.column])
  return record
}
