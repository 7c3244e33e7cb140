// An exchange: its properties, its bindings, and a matcher of its type that finds the bindings a message takes. Routing
// through several exchanges, and remembering the outcome, is router.ts; the types are exchange-types.ts.
import { alternateExchangeOf } from './arguments'
import type { Binding } from './binding'
import type { Arguments, ExchangeView } from './core-api'
import { Delay } from './delay'
import { exchangeType } from './exchange-types'
import type { Gate } from './gate'
import type { Matcher } from './matcher'
import { NO_POLICY } from './policies'
import type { RoutedMessage } from './routed-message'

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
  policy = NO_POLICY
  isDeleted = false
  /** What else it does with messages, see gate.ts. */
  readonly gates: readonly Gate[]
  /** Routes through it depend on exchange and routing key alone, so they may be remembered. */
  readonly isRepeatable: boolean
  private readonly matcher: Matcher

  constructor(
    readonly name: string,
    spec: ExchangeSpec,
    gates: readonly Gate[] = [],
  ) {
    this.type = spec.type
    this.durable = spec.durable
    this.autoDelete = spec.autoDelete
    this.internal = spec.internal
    this.arguments = spec.arguments
    this.matcher = exchangeType(spec.type).matcher(spec.arguments)
    this.gates = gates
    this.isRepeatable = this.matcher.isRepeatable && gates.length === 0
  }

  /** Where messages go that no binding takes; null: nowhere. The argument counts before the policy. */
  get alternate(): string | null {
    const byPolicy = this.policy.definition['alternate-exchange']
    return alternateExchangeOf(this.arguments) ?? (typeof byPolicy === 'string' ? byPolicy : null)
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

  get delay(): Delay | null {
    for (const gate of this.gates) if (gate instanceof Delay) return gate
    return null
  }

  get delayedCount(): number | null {
    return this.delay?.count ?? null
  }

  match(message: RoutedMessage, visit: (binding: Binding) => void): void {
    this.matcher.match(message, visit)
  }
}
