// A message that a queue gives up, as it goes to the queue's dead-letter exchange: with the headers that say what happened to it, as
// RabbitMQ 4 writes them, and all else byte for byte as it came. Unlike there, an x-death that a client sends is gone on with, as
// in RabbitMQ 3; it is a stranger's, so only what looks like ours is taken from it. Cold. RabbitMQ docs "Dead Letter Exchanges".
import {
  decodeField,
  type FieldTable,
  type FieldValue,
  fieldType,
  fieldValueText,
  isTable,
  Typed,
} from '../../protocol/field-table'
import { findHeader } from '../../protocol/field-walk'
import { FLAG_EXPIRATION, FLAG_HEADERS, locateProperty } from '../../protocol/properties'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { argument, INTEGER_TYPES } from './arguments'
import { copyOf, editHeaders, removeText } from './header-edit'
import { shortstr } from './made-message'
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
  const { exchange, routingKey, keyBytes } = namesOf(m)
  const entry = entryOf(death, exchange, [routingKey, ...copiesOf(m)])
  const message = copyOf(m)
  const expiration = removeText(message, FLAG_EXPIRATION)
  const deaths = withDeath(
    deathsOf(m),
    expiration === undefined ? entry : { 'original-expiration': expiration, ...entry },
  )
  const added: FieldTable = { ...named('last', death, exchange), 'x-death': deaths as FieldTable[] }
  if (headerOf(m, FIRST) === undefined) Object.assign(added, named('first', death, exchange))
  const removed = Object.keys(added)
  if (death.routingKey !== null) removed.push('CC')
  editHeaders(message, removed, added)
  message.namesBuf = Buffer.concat([
    shortstr(death.exchange),
    death.routingKey === null ? keyBytes : shortstr(death.routingKey),
  ])
  message.namesStart = 0
  message.namesEnd = message.namesBuf.length
  return { message, deaths }
}

/** Whether a message that died so would go round and round in `queue`: it was there before, and nobody has rejected it since. */
export function isCycle(queue: string, deaths: readonly FieldTable[]): boolean {
  const last = deaths.findIndex((death) => death.queue === queue)
  return last !== -1 && deaths.slice(0, last + 1).every((death) => death.reason !== 'rejected')
}

function entryOf({ queue, reason, nowMs }: Death, exchange: string, keys: string[]): FieldTable {
  const time = new Typed('T', Math.floor(nowMs / 1000))
  return { count: new Typed('l', 1), reason, queue, time, exchange, 'routing-keys': keys }
}

/** One entry for each queue and reason: a further death there counts it up, and brings it to the front. */
function withDeath(deaths: readonly FieldTable[], entry: FieldTable): readonly FieldTable[] {
  const before = deaths.find(({ queue, reason }) => queue === entry.queue && reason === entry.reason)
  if (before === undefined) return [entry, ...deaths]
  const count = new Typed('l', Math.min(Number(fieldValueText(before.count)) + 1, Number.MAX_SAFE_INTEGER))
  return [{ ...before, count }, ...deaths.filter((other) => other !== before)]
}

const isText = (value: FieldValue | undefined): boolean => typeof value === 'string'
const isTexts = (value: FieldValue | undefined): boolean => Array.isArray(value) && value.every(isText)
const isInteger = (value: FieldValue | undefined): boolean =>
  value !== undefined && value !== null && INTEGER_TYPES.includes(fieldType(value))

/** The fields of an entry, and what each is. */
const ENTRY: readonly [name: string, isValid: (value: FieldValue | undefined) => boolean][] = [
  ['original-expiration', (value) => value === undefined || isText(value)],
  ['count', isInteger],
  ['reason', isText],
  ['queue', isText],
  ['time', (value) => value instanceof Typed && value.type === 'T'],
  ['exchange', isText],
  ['routing-keys', isTexts],
]

function deathsOf(m: IncomingMessage): FieldTable[] {
  const value = headerOf(m, X_DEATH)
  if (!Array.isArray(value)) return []
  return value
    .filter(isTable)
    .filter((entry) => ENTRY.every(([name, isValid]) => isValid(argument(entry, name))))
    .map(entryFields)
}

/** Nothing but the fields of an entry. */
function entryFields(entry: FieldTable): FieldTable {
  return Object.fromEntries(ENTRY.filter(([name]) => Object.hasOwn(entry, name)).map(([name]) => [name, entry[name]]))
}

function copiesOf(m: IncomingMessage): string[] {
  const value = headerOf(m, CC)
  return Array.isArray(value) ? value.filter((key) => typeof key === 'string') : []
}

const [X_DEATH, CC, FIRST] = ['x-death', 'CC', 'x-first-death-queue'].map((name) => Buffer.from(name))

function headerOf(m: IncomingMessage, name: Buffer): FieldValue | undefined {
  const range: ByteRange = { buf: m.headerBuf, start: 0, end: 0 }
  if (!locateProperty(m.headerBuf, m.headerStart + PROPERTIES_AT, m.headerEnd, FLAG_HEADERS, range)) return undefined
  if (!findHeader(m.headerBuf, range.start, range.end, name, range)) return undefined
  return decodeField(m.headerBuf, range.start, range.end)
}

function named(which: 'first' | 'last', { queue, reason }: Death, exchange: string): FieldTable {
  return {
    [`x-${which}-death-exchange`]: exchange,
    [`x-${which}-death-queue`]: queue,
    [`x-${which}-death-reason`]: reason,
  }
}

function namesOf({ namesBuf, namesStart, namesEnd }: IncomingMessage) {
  const keyAt = namesStart + 1 + namesBuf[namesStart]
  return {
    exchange: namesBuf.toString('utf8', namesStart + 1, keyAt),
    routingKey: namesBuf.toString('utf8', keyAt + 1, namesEnd),
    keyBytes: namesBuf.subarray(keyAt, namesEnd),
  }
}
