// Definitions as rows: one description per table, from which all its SQL is made. Used by sqlite-log inside its
// transactions; decides nothing about what a definition means.
import type { Database, Statement } from 'better-sqlite3'
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

export class DefinitionTables {
  private readonly puts = {} as Record<DefinitionKind, Statement<Cell[]>>
  private readonly deletes = {} as Record<DefinitionKind, Statement<Cell[]>>
  private readonly dependents = {} as Record<DefinitionKind, Statement<Cell[]>[]>

  constructor(private readonly db: Database) {
    for (const kind of DEFINITION_KINDS) {
      const columns = COLUMNS[kind]
      const key = DEFINITION_KEYS[kind]
      const names = columns.map((column) => column.column).join(', ')
      this.puts[kind] = db.prepare(
        `INSERT OR REPLACE INTO ${kind} (${names}) VALUES (${columns.map(() => '?').join(', ')})`,
      )
      this.deletes[kind] = db.prepare(
        `DELETE FROM ${kind} WHERE ${key.map((field) => `${columnOf(kind, field).column} = ?`).join(' AND ')}`,
      )
      this.dependents[kind] = DEFINITION_DEPENDENTS[kind].map(([child, field]) =>
        db.prepare(`DELETE FROM ${child} WHERE ${columnOf(child, field).column} = ?`),
      )
    }
  }

  /** Within the caller's transaction. */
  apply(change: DefinitionChange): void {
    const columns = COLUMNS[change.kind]
    const key = DEFINITION_KEYS[change.kind]
    if (change.op === 'put') {
      const record = change.record as unknown as Row
      this.puts[change.kind].run(...columns.map((column) => column.toCell(record[column.field])))
      return
    }
    const values = key.map((field) => columnOf(change.kind, field).toCell((change.key as unknown as Row)[field]))
    this.deletes[change.kind].run(...values)
    for (const statement of this.dependents[change.kind]) statement.run(values[0])
  }

  readAll(): Definitions {
    const all = emptyDefinitions() as Record<DefinitionKind, unknown[]>
    for (const kind of DEFINITION_KINDS) {
      for (const row of this.db.prepare<[], Record<string, Cell>>(`SELECT * FROM ${kind}`).iterate()) {
        all[kind].push(toRecord(kind, row))
      }
    }
    return all as Definitions
  }
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
