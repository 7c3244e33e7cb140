// The exchange types by name: how each matches, and what it refuses in the arguments of a declare or a bind. A new type is a
// matcher and a row here.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import type { Destination } from './binding'
import type { Arguments } from './core-api'
import { checkDelayedType, delayedTypeOf } from './delay'
import { DirectMatcher, FanoutMatcher } from './exchange-direct'
import { ConsistentHashMatcher, checkHashArguments, checkWeight, ModulusHashMatcher } from './exchange-hash'
import { checkHeadersArguments, HeadersMatcher } from './exchange-headers'
import { checkLocalRandomBinding, RandomMatcher } from './exchange-random'
import { TopicMatcher } from './exchange-topic'
import type { Matcher } from './matcher'
import { checkHistoryArguments } from './recent-history'

export interface ExchangeType {
  description: string
  matcher(args: Arguments): Matcher
  /** Throws 406 for arguments of a declare that cannot be. */
  checkArguments?(args: Arguments, subject: string): void
  /** Throws 406 for a binding that cannot be. */
  checkBinding?(routingKey: string, args: Arguments, to: Destination, ofExchange: Arguments): void
}

const ofTheSpecification = (name: string) => `AMQP ${name} exchange, as per the AMQP specification`

const TYPES: Record<string, ExchangeType> = {
  direct: { description: ofTheSpecification('direct'), matcher: () => new DirectMatcher() },
  fanout: { description: ofTheSpecification('fanout'), matcher: () => new FanoutMatcher() },
  headers: {
    description: ofTheSpecification('headers'),
    matcher: () => new HeadersMatcher(),
    checkBinding: (_routingKey, args) => checkHeadersArguments(args),
  },
  topic: { description: ofTheSpecification('topic'), matcher: () => new TopicMatcher() },
  'x-consistent-hash': {
    description: 'Consistent Hashing Exchange',
    matcher: (args) => new ConsistentHashMatcher(args),
    checkArguments: checkHashArguments,
    checkBinding: checkWeight,
  },
  'x-delayed-message': {
    description: 'Delayed Message Exchange.',
    matcher: (args) => exchangeType(delayedTypeOf(args)).matcher(args),
    checkArguments(args, subject) {
      checkDelayedType(args)
      exchangeType(delayedTypeOf(args)).checkArguments?.(args, subject)
    },
    checkBinding(routingKey, args, to, ofExchange) {
      exchangeType(delayedTypeOf(ofExchange)).checkBinding?.(routingKey, args, to, ofExchange)
    },
  },
  'x-local-random': {
    description: 'Picks one random local binding (queue) to route via (to).',
    matcher: () => new RandomMatcher(),
    checkBinding: (routingKey, _args, to) => checkLocalRandomBinding(routingKey, to),
  },
  'x-modulus-hash': { description: 'Modulus Hashing Exchange', matcher: () => new ModulusHashMatcher() },
  'x-random': {
    description: 'Randomly picks a binding (queue) to route via (to).',
    matcher: () => new RandomMatcher(),
  },
  'x-recent-history': {
    description: 'Recent History Exchange.',
    matcher: () => new FanoutMatcher(),
    checkArguments: checkHistoryArguments,
  },
}

export const exchangeTypes: ReadonlyMap<string, ExchangeType> = new Map(Object.entries(TYPES))

/** Throws 406 in RabbitMQ 4's words. */
export function exchangeType(name: string): ExchangeType {
  const type = exchangeTypes.get(name)
  if (type !== undefined) return type
  const what = name === '' ? 'invalid' : 'unknown'
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `${what} exchange type '${name}'`)
}
