// What a queue's arguments and policy together say about its messages. Of a number that both set the lower counts; of anything
// else the argument. RabbitMQ docs "Policies". Computed when either changes, never per message.
import { fieldValueText } from '../../protocol/field-table'
import { argument } from './arguments'
import type { Arguments } from './core-api'
import type { PolicyDefinition } from './policies'
import { isQuorum } from './queue-arguments'
import type { RetryCurve, RetryType } from './returns'

export interface QueueSettings {
  /** ms that a message may wait; -1: for ever. */
  messageTtl: number
  /** ms that the queue may be unused; -1: for ever. */
  expires: number
  /** Of ready messages. */
  maxLength: number
  /** Of their bodies. */
  maxBytes: number
  overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  /** null: what is dropped is gone. */
  deadLetterExchange: string | null
  /** null: that of the message. */
  deadLetterKey: string | null
  /** A dead letter that nobody can take stays, and is sent again. */
  keepsDeadLetters: boolean
  /** ms that a consumer may hold a message; 0: any; -1: nobody says. */
  consumerTimeout: number
  /** Failures that a message may have. */
  deliveryLimit: number
  /** Which messages wait when they come back. */
  retryType: RetryType
  /** The first wait, ms. */
  retryMin: number
  /** The longest, ms. */
  retryMax: number
  retryCurve: RetryCurve
  /** Up to so much of a wait is left out, percent. */
  retryJitter: number
  /** Counts how often each message comes back, and tells consumers. */
  countsReturns: boolean
}

export const NO_SETTINGS: QueueSettings = {
  messageTtl: -1,
  expires: -1,
  maxLength: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  overflow: 'drop-head',
  deadLetterExchange: null,
  deadLetterKey: null,
  keepsDeadLetters: false,
  consumerTimeout: -1,
  deliveryLimit: Number.POSITIVE_INFINITY,
  retryType: 'disabled',
  retryMin: 0,
  retryMax: Number.POSITIVE_INFINITY,
  retryCurve: 'linear',
  retryJitter: 0,
  countsReturns: false,
}

/** Of a quorum queue that is told nothing else. */
const QUORUM_DELIVERY_LIMIT = 20

export function settingsOf(args: Arguments, policy: PolicyDefinition): QueueSettings {
  const number = (key: string, none: number) => lower(argument(args, `x-${key}`), policy[key], none)
  const text = (key: string) => (argument(args, `x-${key}`) ?? policy[key] ?? null) as string | null
  const isOfQuorum = isQuorum(args)
  const deliveryLimit = deliveryLimitOf(args, policy, isOfQuorum)
  const overflow = (text('overflow') ?? 'drop-head') as QueueSettings['overflow']
  const retryType = (text('delayed-retry-type') ?? 'disabled') as RetryType
  return {
    messageTtl: number('message-ttl', -1),
    expires: number('expires', -1),
    maxLength: number('max-length', Number.POSITIVE_INFINITY),
    maxBytes: number('max-length-bytes', Number.POSITIVE_INFINITY),
    overflow,
    deadLetterExchange: text('dead-letter-exchange'),
    deadLetterKey: text('dead-letter-routing-key'),
    // As in RabbitMQ, only with this overflow: a queue that drops what is too much has no use for it.
    keepsDeadLetters: text('dead-letter-strategy') === 'at-least-once' && overflow === 'reject-publish',
    consumerTimeout: given(argument(args, 'x-consumer-timeout'), policy['consumer-timeout'])[0] ?? -1,
    deliveryLimit,
    retryType,
    retryMin: number('delayed-retry-min', 0),
    retryMax: number('delayed-retry-max', Number.POSITIVE_INFINITY),
    retryCurve: (text('delayed-retry-curve') ?? 'linear') as RetryCurve,
    retryJitter: number('delayed-retry-jitter', 0),
    countsReturns: isOfQuorum || deliveryLimit !== Number.POSITIVE_INFINITY || retryType !== 'disabled',
  }
}

/** A negative one is no limit; of two numbers, one of them negative, RabbitMQ takes the other. */
function deliveryLimitOf(args: Arguments, policy: PolicyDefinition, isOfQuorum: boolean): number {
  const values = given(argument(args, 'x-delivery-limit'), policy['delivery-limit'])
  if (values.length === 0) return isOfQuorum ? QUORUM_DELIVERY_LIMIT : Number.POSITIVE_INFINITY
  const limits = values.filter((value) => value >= 0)
  return Math.min(...limits, Number.POSITIVE_INFINITY)
}

function lower(arg: Arguments[string] | undefined, policy: unknown, none: number): number {
  const values = given(arg, policy)
  return values.length === 0 ? none : Math.min(...values)
}

function given(arg: Arguments[string] | undefined, policy: unknown): number[] {
  const values: number[] = []
  if (arg !== undefined) values.push(Number(fieldValueText(arg)))
  if (typeof policy === 'number') values.push(policy)
  return values
}
