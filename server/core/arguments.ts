// Arguments of declares: which values are refused, which are compared when something is declared again, and RabbitMQ's words for a difference.
import {
  ChannelError,
  type FieldValue,
  fieldEquals,
  fieldType,
  fieldTypeName,
  fieldValueText,
  ReplyCode,
} from '../../protocol'
import { parseAge } from './age'
import type { Arguments } from './core-api'

/** The queue arguments that mean something; all others are accepted, kept and not compared, as in RabbitMQ. */
export const QUEUE_ARGUMENTS: readonly string[] = [
  'x-expires',
  'x-message-ttl',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-in-memory-length',
  'x-max-in-memory-bytes',
  'x-max-priority',
  'x-overflow',
  'x-queue-mode',
  'x-queue-version',
  'x-queue-master-locator',
  'x-single-active-consumer',
  'x-queue-type',
  'x-max-age',
  'x-stream-max-segment-size-bytes',
  'x-stream-filter-size-bytes',
  'x-delivery-limit',
  'x-delayed-retry-type',
  'x-delayed-retry-min',
  'x-delayed-retry-max',
  'x-delayed-retry-curve',
  'x-delayed-retry-jitter',
]

export const EXCHANGE_ARGUMENTS: readonly string[] = ['alternate-exchange', 'x-alternate-exchange']

/** The alternate exchange, by RabbitMQ's or by LavinMQ's name of the argument. */
const ALTERNATE_EXCHANGE = ['alternate-exchange', 'x-alternate-exchange']

export function alternateExchangeOf(args: Arguments): string | null {
  for (const name of ALTERNATE_EXCHANGE) {
    const value = argument(args, name)
    if (typeof value === 'string') return value
  }
  return null
}

/** Throws 406 for what is no name. */
export function checkAlternateExchange(args: Arguments, subject: string): void {
  for (const name of ALTERNATE_EXCHANGE) {
    const value = argument(args, name)
    if (value === undefined || typeof value === 'string') continue
    throw mistyped(name, value, subject)
  }
}

/** Of the name of an exchange that is none. */
export function mistyped(name: string, value: FieldValue, subject: string): ChannelError {
  const text = `invalid type '${fieldTypeName(value)}' for arg '${name}' in ${subject}`
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}

/** A string as RabbitMQ's texts show it. */
export function binaryText(text: string): string {
  return text === '' ? '<<>>' : `<<"${text}">>`
}

export const INTEGER_TYPES = 'bBsuIilL'

/** Throws 406 for what is no whole number from `least` up. */
export function checkInteger(name: string, value: FieldValue, least: number, subject: string): void {
  if (!INTEGER_TYPES.includes(fieldType(value))) {
    throw invalid(name, subject, `"expected integer, got ${fieldTypeName(value)}"`)
  }
  const number = Number(fieldValueText(value))
  if (number >= least) return
  if (number < 0) throw invalid(name, subject, `{value_negative,${number}}`)
  throw invalid(name, subject, `{value_zero,${number}}`)
}

export function invalid(name: string, subject: string, reason: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, `invalid arg '${name}' for ${subject}: ${reason}`)
}

/** Throws 406 when a property of what exists differs from what is asked for. */
export function checkEquivalence(name: string, subject: string, received: unknown, current: unknown): void {
  if (received === current) return
  throw inequivalent(name, subject, `received '${received}' but current is '${current}'`)
}

/** Throws 406 when the arguments of an existing queue differ from what is asked for. */
export function checkArgumentsEquivalence(
  received: Arguments,
  current: Arguments,
  subject: string,
  compared: readonly string[] = QUEUE_ARGUMENTS,
): void {
  for (const name of compared) {
    const [asked, there] = [comparable(received, name), comparable(current, name)]
    if (asked === undefined && there === undefined) continue
    if (asked !== undefined && there !== undefined && fieldEquals(asked, there)) continue
    if (asked !== undefined && there !== undefined) {
      throw inequivalent(name, subject, `received '${fieldValueText(asked)}' but current is '${fieldValueText(there)}'`)
    }
    const [left, right] = [described(asked), described(there)]
    throw inequivalent(name, subject, `received ${left} but current is ${right}`)
  }
}

/** The argument, and nothing that every object has. */
export function argument(table: Arguments, name: string): FieldValue | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** Ages are compared in ms, and shown so; a queue without a type is a classic one. */
function comparable(table: Arguments, name: string): FieldValue | undefined {
  const value = argument(table, name)
  if (name === 'x-queue-type') return value ?? 'classic'
  if (name !== 'x-max-age' || typeof value !== 'string') return value
  return String(parseAge(value) ?? value)
}

function described(value: FieldValue | undefined): string {
  return value === undefined ? 'none' : `the value '${fieldValueText(value)}' of type '${fieldTypeName(value)}'`
}

function inequivalent(name: string, subject: string, difference: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, `inequivalent arg '${name}' for ${subject}: ${difference}`)
}
