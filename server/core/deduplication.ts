// x-message-deduplication on an exchange of any type, or on a queue: a message whose id was seen lately is taken and goes nowhere.
// Argument and header names are LavinMQ's. One gate per exchange or queue that asks for it.
//
// The ids of persistent messages that come to something durable are stored in the commit of the message (deduplication-log.ts):
// after a restart they are known if the message is there, and not if it is not. A duplicate's confirm waits for what is gathered, where the first
// one may still be, so that it says no more than the disk knows.
import { createHash } from 'node:crypto'
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type FieldValue, fieldType, fieldTypeName, fieldValueText } from '../../protocol/field-table'
import type { IncomingMessage } from '../../storage/message-store'
import { argument, checkInteger, INTEGER_TYPES, invalid } from './arguments'
import type { Arguments } from './core-api'
import type { IdLog, StoredId } from './deduplication-log'
import type { Gate } from './gate'
import type { RoutedMessage } from './routed-message'
import type { VhostContext } from './vhost'

const ENABLED = 'x-message-deduplication'
const CACHE_SIZE = 'x-cache-size'
const CACHE_TTL = 'x-cache-ttl'
/** The argument names the header; it is also the name of the header when the argument is not there. */
const HEADER = 'x-deduplication-header'

const PERSISTENT = 2
const CACHE_SIZE_DEFAULT = 128
const CACHE_SIZE_MAX = 1_000_000
/** A longer id is kept as its hash. */
const ID_LENGTH_MAX = 64

export function isDeduplicating(args: Arguments): boolean {
  return argument(args, ENABLED) === true
}

export class Deduplication implements Gate {
  readonly shelf = null
  private readonly size: number
  private readonly ttlMs: number
  private readonly header: string
  /** When each id may come again, in the order they came. */
  private readonly until = new Map<string, number>()

  constructor(
    args: Arguments,
    private readonly context: VhostContext,
    /** null: ids are in memory only. */
    private readonly log: IdLog | null,
  ) {
    this.size = integerOf(argument(args, CACHE_SIZE)) ?? CACHE_SIZE_DEFAULT
    this.ttlMs = integerOf(argument(args, CACHE_TTL)) ?? Number.POSITIVE_INFINITY
    this.header = (argument(args, HEADER) as string | undefined) ?? HEADER
  }

  admits({ headers }: RoutedMessage): boolean {
    const id = this.idOf(headers)
    return id === null || !this.isKnown(id)
  }

  /** What nobody took is not remembered: it may be published again when somebody will. */
  onPublish(_m: IncomingMessage, { headers, properties }: RoutedMessage, isTaken: boolean): boolean {
    const id = this.idOf(headers)
    if (id === null) return false
    if (this.isKnown(id)) {
      this.context.journal.awaitCommit()
      return true
    }
    if (!isTaken) return false
    const until = this.context.clock.now() + (integerOf(argument(headers, CACHE_TTL)) ?? this.ttlMs)
    this.remember(id, until)
    if (properties.deliveryMode === PERSISTENT) this.log?.put(id, until)
    return false
  }

  onBound(): void {}

  close(): void {
    for (const id of this.until.keys()) this.log?.delete(id)
    this.until.clear()
  }

  /** An id that had been stored; in the order they came. */
  restore({ id, until, order }: StoredId): void {
    this.remember(id, until)
    this.log?.startAfter(order)
  }

  get count(): number {
    return this.until.size
  }

  private remember(id: string, until: number): void {
    this.until.delete(id) // one that had expired takes its new place in the order
    for (const oldest of this.until.keys()) {
      if (this.until.size < this.size) break
      this.until.delete(oldest)
      this.log?.delete(oldest)
    }
    this.until.set(id, until)
  }

  private isKnown(id: string): boolean {
    const until = this.until.get(id)
    return until !== undefined && this.context.clock.now() < until
  }

  private idOf(headers: Arguments): string | null {
    const value = argument(headers, this.header)
    if (value === undefined || value === null) return null
    const text = fieldValueText(value)
    const id = `${INTEGER_TYPES.includes(fieldType(value)) ? 'integer' : fieldType(value)} ${text}`
    return id.length <= ID_LENGTH_MAX ? id : createHash('sha256').update(id).digest('base64')
  }
}

/** null for what is no whole number from 0 up. */
function integerOf(value: FieldValue | undefined): number | null {
  if (value === undefined || value === null || !INTEGER_TYPES.includes(fieldType(value))) return null
  const number = Number(fieldValueText(value))
  return number < 0 ? null : number
}

/** Throws 406. */
export function checkDeduplicationArguments(args: Arguments, subject: string): void {
  const enabled = argument(args, ENABLED)
  if (enabled !== undefined && typeof enabled !== 'boolean') {
    throw invalid(ENABLED, subject, `"expected bool, got ${fieldTypeName(enabled)}"`)
  }
  if (enabled !== true) return
  const [size, ttl, header] = [argument(args, CACHE_SIZE), argument(args, CACHE_TTL), argument(args, HEADER)]
  if (size !== undefined) checkInteger(CACHE_SIZE, size, 1, subject)
  if (ttl !== undefined) checkInteger(CACHE_TTL, ttl, 0, subject)
  if (header !== undefined && typeof header !== 'string') {
    throw invalid(HEADER, subject, `"expected longstr, got ${fieldTypeName(header)}"`)
  }
  if ((integerOf(size) ?? 0) <= CACHE_SIZE_MAX) return
  const text = `invalid arg '${CACHE_SIZE}' for ${subject}: "at most ${CACHE_SIZE_MAX}"`
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}
