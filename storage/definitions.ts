// What is declared, as opposed to what is published: one record type per relational table, and the changes that a
// commit carries. Plain data; the meaning of the fields belongs to server/core. `arguments` and `value` are JSON text
// made by the caller, so that storage needs no knowledge of AMQP types and a person with the sqlite3 shell can read them.

export interface VhostRecord {
  name: string
  description: string
  tags: readonly string[]
  defaultQueueType: string // '' when unset
  protectedFromDeletion: boolean
}

export interface UserRecord {
  name: string
  passwordHash: string // '' means that no password logs in
  hashingAlgorithm: string
  tags: readonly string[]
}

export interface PermissionRecord {
  user: string
  vhost: string
  configure: string // the three are regular expressions
  write: string
  read: string
}

export interface ExchangeRecord {
  vhost: string
  name: string
  type: string
  durable: boolean
  autoDelete: boolean
  internal: boolean
  arguments: string // JSON text
}

export interface QueueRecord {
  id: number // chosen by the caller, from Opened.nextQueueId on; never reused, since log records name queues by it
  vhost: string
  name: string
  durable: boolean
  autoDelete: boolean
  arguments: string // JSON text
}

export interface BindingRecord {
  vhost: string
  source: string
  destination: string
  destinationType: 'queue' | 'exchange'
  routingKey: string
  arguments: string // JSON text, part of the key
}

export interface ParameterRecord {
  component: string
  name: string
  vhost: string // '' for global parameters
  value: string // JSON text
}

export interface PolicyRecord {
  vhost: string
  name: string
  pattern: string
  applyTo: string
  priority: number
  definition: string // JSON text
}

/** The record type behind each kind. */
export interface DefinitionRecords {
  vhost: VhostRecord
  user: UserRecord
  permission: PermissionRecord
  exchange: ExchangeRecord
  queue: QueueRecord
  binding: BindingRecord
  parameter: ParameterRecord
  policy: PolicyRecord
}
export type DefinitionKind = keyof DefinitionRecords

/** The fields that tell one record of a kind from another, by kind. */
export interface DefinitionKeys {
  vhost: Pick<VhostRecord, 'name'>
  user: Pick<UserRecord, 'name'>
  permission: Pick<PermissionRecord, 'user' | 'vhost'>
  exchange: Pick<ExchangeRecord, 'vhost' | 'name'>
  queue: Pick<QueueRecord, 'id'>
  binding: BindingRecord
  parameter: Pick<ParameterRecord, 'component' | 'name' | 'vhost'>
  policy: Pick<PolicyRecord, 'vhost' | 'name'>
}

/** `put` inserts, or replaces the record with the same key. `delete` of what is not there is not an error. */
export type DefinitionChange = {
  [K in DefinitionKind]:
    | { op: 'put'; kind: K; record: DefinitionRecords[K] }
    | { op: 'delete'; kind: K; key: DefinitionKeys[K] }
}[DefinitionKind]

/** Everything defined, as found at start. Order within a kind is not promised. */
export type Definitions = { [K in DefinitionKind]: DefinitionRecords[K][] }

export const DEFINITION_KINDS: readonly DefinitionKind[] = [
  'vhost',
  'user',
  'permission',
  'exchange',
  'queue',
  'binding',
  'parameter',
  'policy',
]

export const emptyDefinitions = (): Definitions => ({
  vhost: [],
  user: [],
  permission: [],
  exchange: [],
  queue: [],
  binding: [],
  parameter: [],
  policy: [],
})

/** The fields of DefinitionKeys, at run time. */
export const DEFINITION_KEYS: Record<DefinitionKind, readonly string[]> = {
  vhost: ['name'],
  user: ['name'],
  permission: ['user', 'vhost'],
  exchange: ['vhost', 'name'],
  queue: ['id'],
  binding: ['vhost', 'source', 'destination', 'destinationType', 'routingKey', 'arguments'],
  parameter: ['component', 'name', 'vhost'],
  policy: ['vhost', 'name'],
}

/** What a delete takes along in the same commit: kinds, and the field of theirs that names the deleted record. Bindings of a
 *  deleted queue or exchange are the caller's to delete: it knows them, and may auto-delete more. */
export const DEFINITION_DEPENDENTS: Record<DefinitionKind, readonly (readonly [DefinitionKind, string])[]> = {
  vhost: [
    ['permission', 'vhost'],
    ['exchange', 'vhost'],
    ['queue', 'vhost'],
    ['binding', 'vhost'],
    ['parameter', 'vhost'],
    ['policy', 'vhost'],
  ],
  user: [['permission', 'user']],
  permission: [],
  exchange: [],
  queue: [],
  binding: [],
  parameter: [],
  policy: [],
}
