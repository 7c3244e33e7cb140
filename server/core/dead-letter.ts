// A message that a queue gives up, as it goes to the queue's dead-letter exchange: with the headers that say what happened to it, as
// RabbitMQ 4 writes them. Unlike there, an x-death that a client sends is gone on with, as in RabbitMQ 3. Cold.
// RabbitMQ docs "Dead Letter Exchanges".
import { type FieldTable, type FieldValue, fieldValueText, isTable, Typed } from '../../protocol/field-table'
import { decodeProperties, encodeProperties } from '../../protocol/properties'
import type { IncomingMessage } from '../../storage/message-store'
import { argument } from './arguments'
import { madeMessage } from './made-message'
import { PROPERTIES_AT } from './routed-message'

export type DeathReason = 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'

export interface Death {
  queue: string
  reason: DeathReason
  nowMs: number
  exchange: string // the dead-letter exchange
  routingKey: string | null // the queue's own for dead letters; null: the message keeps its keys
}

export interface DeadLetter {
  message: IncomingMessage
  /** Where it has died, the newest first. */
  deaths: readonly FieldTable[]
}

export function deadLetterOf(m: IncomingMessage, death: Death): DeadLetter {
  const properties = decodeProperties(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd)
  const { expiration, ...kept } = properties
  const { exchange, routingKey } = namesOf(m)
  const own = properties.headers ?? {}
  const entry = entryOf(death, exchange, [routingKey, ...copiesIn(own)], expiration)
  const deaths = withDeath(deathsIn(own), entry)
  const headers: FieldTable = { ...own }
  if (death.routingKey !== null) delete headers.CC
  if (argument(own, 'x-first-death-queue') === undefined) name(headers, 'first', death, exchange)
  name(headers, 'last', death, exchange)
  headers['x-death'] = deaths
  const key = death.routingKey ?? routingKey
  const body = m.bodyBuf.subarray(m.bodyStart, m.bodyEnd)
  return { message: madeMessage(death.exchange, key, encodeProperties({ ...kept, headers }), body), deaths }
}

/** Whether a message that died so would go round and round in `queue`: it was there before, and nobody has rejected it since. */
export function isCycle(queue: string, deaths: readonly FieldTable[]): boolean {
  const last = deaths.findIndex((death) => death.queue === queue)
  return last !== -1 && deaths.slice(0, last + 1).every((death) => death.reason !== 'rejected')
}

function entryOf(death: Death, exchange: string, keys: string[], expiration: string | undefined): FieldTable {
  return {
    ...(expiration === undefined ? {} : { 'original-expiration': expiration }),
    count: new Typed('l', 1),
    reason: death.reason,
    queue: death.queue,
    time: new Typed('T', Math.floor(death.nowMs / 1000)),
    exchange,
    'routing-keys': keys,
  }
}

/** One entry for each queue and reason: a further death there counts it up, and brings it to the front. */
function withDeath(deaths: readonly FieldTable[], entry: FieldTable): FieldTable[] {
  const isSame = (other: FieldTable) => other.queue === entry.queue && other.reason === entry.reason
  const before = deaths.find(isSame)
  if (before === undefined) return [entry, ...deaths]
  const count = Number(fieldValueText(before.count ?? 0)) + 1
  return [{ ...before, count: new Typed('l', count) }, ...deaths.filter((other) => other !== before)]
}

function deathsIn(headers: FieldTable): FieldTable[] {
  const value: FieldValue | undefined = argument(headers, 'x-death')
  return Array.isArray(value) ? (value.filter((entry) => isTable(entry)) as FieldTable[]) : []
}

function copiesIn(headers: FieldTable): string[] {
  const value: FieldValue | undefined = argument(headers, 'CC')
  return Array.isArray(value) ? value.filter((key) => typeof key === 'string') : []
}

function name(headers: FieldTable, which: 'first' | 'last', { queue, reason }: Death, exchange: string): void {
  headers[`x-${which}-death-exchange`] = exchange
  headers[`x-${which}-death-queue`] = queue
  headers[`x-${which}-death-reason`] = reason
}

function namesOf({ namesBuf, namesStart, namesEnd }: IncomingMessage): { exchange: string; routingKey: string } {
  const keyAt = namesStart + 1 + namesBuf[namesStart]
  return {
    exchange: namesBuf.toString('utf8', namesStart + 1, keyAt),
    routingKey: namesBuf.toString('utf8', keyAt + 1, namesEnd),
  }
}
