// What a queue's arguments and policy together say about its messages. Of a number that both set the lower counts; of anything
// else the argument. RabbitMQ docs "Policies". Computed when either changes, never per message.
import { fieldValueText } from '../../protocol/field-table'
import { argument } from './arguments'
import type { Arguments } from './core-api'
import type { PolicyDefinition } from './policies'

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
}

export const NO_SETTINGS: QueueSettings = {
  messageTtl: -1,
  expires: -1,
  maxLength: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  overflow: 'drop-head',
  deadLetterExchange: null,
  deadLetterKey: null,
}

export function settingsOf(args: Arguments, policy: PolicyDefinition): QueueSettings {
  const number = (key: string, none: number) => lower(argument(args, `x-${key}`), policy[key], none)
  const text = (key: string) => (argument(args, `x-${key}`) ?? policy[key] ?? null) as string | null
  return {
    messageTtl: number('message-ttl', -1),
    expires: number('expires', -1),
    maxLength: number('max-length', Number.POSITIVE_INFINITY),
    maxBytes: number('max-length-bytes', Number.POSITIVE_INFINITY),
    overflow: (text('overflow') ?? 'drop-head') as QueueSettings['overflow'],
    deadLetterExchange: text('dead-letter-exchange'),
    deadLetterKey: text('dead-letter-routing-key'),
  }
}

function lower(arg: Arguments[string] | undefined, policy: unknown, none: number): number {
  const values: number[] = []
  if (arg !== undefined) values.push(Number(fieldValueText(arg)))
  if (typeof policy === 'number') values.push(policy)
  return values.length === 0 ? none : Math.min(...values)
}
