// An exchange: its properties, its bindings, and a matcher of its type that finds the bindings a message takes. Routing
// through several exchanges, and remembering the outcome, is router.ts.
import { ChannelError, ReplyCode } from '../../protocol'
import type { FieldTable } from '../../protocol/field-table'
import type { Binding } from './binding'
import type { Arguments, ExchangeView } from './core-api'
import { HeadersMatcher } from './exchange-headers'
import { TopicMatcher } from './exchange-topic'

/** Finds bindings. One per exchange; the types differ in nothing else. */
export interface Matcher {
  add(binding: Binding): void
  remove(binding: Binding): void
  /** `headers` decodes the message's header table; only a headers exchange calls it. */
  match(routingKey: string, headers: () => FieldTable, visit: (binding: Binding) => void): void
}

class DirectMatcher implements Matcher {
  private readonly byKey = new Map<string, Set<Binding>>()

  add(binding: Binding): void {
    const bindings = this.byKey.get(binding.routingKey)
    if (bindings === undefined) this.byKey.set(binding.routingKey, new Set([binding]))
    else bindings.add(binding)
  }

  remove(binding: Binding): void {
    const bindings = this.byKey.get(binding.routingKey)
    bindings?.delete(binding)
    if (bindings?.size === 0) this.byKey.delete(binding.routingKey)
  }

  match(routingKey: string, _headers: () => FieldTable, visit: (binding: Binding) => void): void {
    this.byKey.get(routingKey)?.forEach(visit)
  }
}

class FanoutMatcher implements Matcher {
  private readonly bindings = new Set<Binding>()

  add(binding: Binding): void {
    this.bindings.add(binding)
  }

  remove(binding: Binding): void {
    this.bindings.delete(binding)
  }

  match(_routingKey: string, _headers: () => FieldTable, visit: (binding: Binding) => void): void {
    this.bindings.forEach(visit)
  }
}

const MATCHERS: Record<string, new () => Matcher> = {
  direct: DirectMatcher,
  fanout: FanoutMatcher,
  topic: TopicMatcher,
  headers: HeadersMatcher,
}

export const exchangeTypes: readonly string[] = Object.keys(MATCHERS)

export interface ExchangeSpec {
  type: string
  durable: boolean
  autoDelete: boolean
  internal: boolean
  arguments: Arguments
}

export class Exchange implements ExchangeView {
  readonly kind = 'exchange'
  readonly type: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: Arguments
  publishIn = 0
  publishOut = 0
  /** Outgoing bindings by Binding.key. */
  readonly bindings = new Map<string, Binding>()
  /** Bindings of other exchanges to this one. */
  readonly incoming = new Set<Binding>()
  /** Routes through it depend on more than exchange and routing key, so nothing may be remembered. */
  readonly looksAtHeaders: boolean
  private readonly matcher: Matcher

  constructor(
    readonly name: string,
    spec: ExchangeSpec,
  ) {
    this.type = spec.type
    this.durable = spec.durable
    this.autoDelete = spec.autoDelete
    this.internal = spec.internal
    this.arguments = spec.arguments
    this.looksAtHeaders = spec.type === 'headers'
    this.matcher = new (matcherOf(spec.type))()
  }

  add(binding: Binding): void {
    this.bindings.set(binding.key, binding)
    this.matcher.add(binding)
    binding.to.incoming.add(binding)
  }

  remove(binding: Binding): void {
    this.bindings.delete(binding.key)
    this.matcher.remove(binding)
    binding.to.incoming.delete(binding)
  }

  match(routingKey: string, headers: () => FieldTable, visit: (binding: Binding) => void): void {
    this.matcher.match(routingKey, headers, visit)
  }
}

function matcherOf(type: string): new () => Matcher {
  if (Object.hasOwn(MATCHERS, type)) return MATCHERS[type]
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `unknown exchange type '${type}'`)
}
