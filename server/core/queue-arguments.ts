// What each argument of a queue may be, and RabbitMQ's words for what it may not. The checks hold for queues of every type, since
// most arguments work on every type here; those of streams alone are stream-arguments.ts. Arguments that mean something only in a
// cluster, or did in older versions, are checked as well and kept. Called by declarations.ts.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type FieldValue, fieldTypeName, fieldValueText } from '../../protocol/field-table'
import { argument, checkInteger, invalid, mistyped } from './arguments'
import type { Arguments } from './core-api'
import { isName, NAME_BYTES_MAX } from './made-message'

/** RabbitMQ's longest expiry, ten years. */
const EXPIRY_MS_MAX = 315_360_000_000
const PRIORITY_MAX = 255

/** Throws 406 for a value that cannot be. */
type Check = (name: string, value: FieldValue, subject: string, args: Arguments) => void

const anyInteger: Check = (name, value, subject) => checkInteger(name, value, Number.NEGATIVE_INFINITY, subject)
const count: Check = (name, value, subject) => checkInteger(name, value, 0, subject)
const positive: Check = (name, value, subject) => checkInteger(name, value, 1, subject)

/** At most `max`; more is told by its Erlang name. */
function atMost(max: number, excess: string, check: Check): Check {
  return (name, value, subject, args) => {
    check(name, value, subject, args)
    if (Number(fieldValueText(value)) > max) throw invalid(name, subject, `{${excess},${fieldValueText(value)}}`)
  }
}

const text: Check = (name, value, subject) => {
  if (typeof value !== 'string') throw invalid(name, subject, `{unacceptable_type,${fieldTypeName(value)}}`)
}

const flag: Check = (name, value, subject) => {
  if (typeof value !== 'boolean') throw invalid(name, subject, `{unacceptable_type,${fieldTypeName(value)}}`)
}

function oneOf(values: readonly string[], otherwise: (value: string) => string): Check {
  return (name, value, subject, args) => {
    text(name, value, subject, args)
    if (!values.includes(value as string)) throw invalid(name, subject, otherwise(value as string))
  }
}

const exchangeName: Check = (name, value, subject) => {
  if (typeof value !== 'string') throw mistyped(name, value, subject)
  checkName(name, value, subject)
}

/** It will stand in messages. RabbitMQ takes longer ones, and cannot send what has them. */
function checkName(name: string, value: string, subject: string): void {
  if (!isName(value)) throw invalid(name, subject, `"at most ${NAME_BYTES_MAX} bytes"`)
}

const deadLetterKey: Check = (name, value, subject, args) => {
  text(name, value, subject, args)
  const hasExchange = argument(args, 'x-dead-letter-exchange') !== undefined
  if (!hasExchange) throw invalid(name, subject, 'routing_key_but_no_dlx_defined')
  checkName(name, value as string, subject)
}

const version: Check = (name, value, subject, args) => {
  count(name, value, subject, args)
  const number = fieldValueText(value)
  if (number !== '1' && number !== '2') throw invalid(name, subject, `"unsupported queue version '${number}'"`)
}

const CHECKS: readonly [name: string, check: Check][] = [
  ['x-dead-letter-exchange', exchangeName],
  ['x-queue-type', oneOf(['classic', 'quorum', 'stream'], (type) => `"unsupported queue type '${type}'"`)],
  ['x-expires', atMost(EXPIRY_MS_MAX, 'value_too_large', positive)],
  ['x-message-ttl', atMost(EXPIRY_MS_MAX, 'value_too_large', count)],
  ['x-dead-letter-routing-key', deadLetterKey],
  ['x-dead-letter-strategy', oneOf(['at-most-once', 'at-least-once'], () => 'invalid_dlx_strategy')],
  ['x-max-length', count],
  ['x-max-length-bytes', count],
  ['x-max-priority', atMost(PRIORITY_MAX, 'max_value_exceeded', count)],
  ['x-overflow', oneOf(['drop-head', 'reject-publish', 'reject-publish-dlx'], () => 'invalid_overflow')],
  ['x-single-active-consumer', flag],
  ['x-delivery-limit', anyInteger],
  ['x-consumer-timeout', atMost(EXPIRY_MS_MAX, 'value_too_large', count)],
  ['x-delayed-retry-type', oneOf(['disabled', 'all', 'failed', 'returned'], () => 'invalid_delayed_retry_type')],
  ['x-delayed-retry-min', atMost(EXPIRY_MS_MAX, 'value_too_large', count)],
  ['x-delayed-retry-max', atMost(EXPIRY_MS_MAX, 'value_too_large', count)],
  ['x-delayed-retry-curve', oneOf(['linear', 'exponential'], () => 'invalid_delayed_retry_curve')],
  ['x-delayed-retry-jitter', atMost(100, 'max_value_exceeded', count)],
  ['x-max-in-memory-length', count],
  ['x-max-in-memory-bytes', count],
  ['x-queue-mode', oneOf(['default', 'lazy'], (mode) => `"unsupported queue mode '${mode}'"`)],
  ['x-queue-version', version],
  ['x-quorum-initial-group-size', positive],
  [
    'x-queue-leader-locator',
    oneOf(['client-local', 'balanced', 'random', 'least-leaders'], () => 'invalid_queue_locator_arg'),
  ],
]

export function checkQueueArguments(args: Arguments, subject: string): void {
  for (const [name, check] of CHECKS) {
    const value = argument(args, name)
    if (value !== undefined) check(name, value, subject, args)
  }
}

export function isQuorum(args: Arguments): boolean {
  return argument(args, 'x-queue-type') === 'quorum'
}

/** Throws 406 for what contradicts a queue that is there to stay, and for all. Other than RabbitMQ's, it may be deleted with its last
 *  consumer, and be named by the server. */
export function checkQuorumRequest(request: { durable: boolean; exclusive: boolean }, subject: string): void {
  const property = request.exclusive ? 'exclusive-owner' : 'non-durable'
  if (request.durable && !request.exclusive) return
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `invalid property '${property}' for ${subject}`)
}

/** Throws 406 for an argument of a consumer that cannot be. */
export function checkConsumerArguments(args: Arguments, subject: string): void {
  const checks: [string, Check][] = [
    ['x-priority', anyInteger],
    ['x-consumer-timeout', atMost(EXPIRY_MS_MAX, 'value_too_large', count)],
    ['x-cancel-on-ha-failover', flag],
  ]
  for (const [name, check] of checks) {
    const value = argument(args, name)
    if (value !== undefined) check(name, value, subject, args)
  }
}
