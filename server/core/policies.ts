// Policies and operator policies of a virtual host: settings for queues and exchanges by a pattern on their names, applied to
// what exists and to what comes. RabbitMQ docs "Policies". One per vhost; kept by vhost.ts, changed by management.ts.

import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { parseAge } from './age'
import { isName } from './made-message'

export type PolicyKind = 'policy' | 'operator_policy'

export const APPLY_TO = ['all', 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges'] as const
export type ApplyTo = (typeof APPLY_TO)[number]

export interface Policy {
  name: string
  pattern: string
  applyTo: ApplyTo
  priority: number
  definition: PolicyDefinition
}

export type PolicyDefinition = Record<string, unknown>

/** What holds for one queue or exchange. */
export interface EffectivePolicy {
  policy: string | null
  operatorPolicy: string | null
  definition: PolicyDefinition
}

export const NO_POLICY: EffectivePolicy = { policy: null, operatorPolicy: null, definition: {} }

type Check = (value: unknown) => boolean
const isText: Check = (value) => typeof value === 'string'
const isNameText: Check = (value) => typeof value === 'string' && isName(value)
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isPositive: Check = (value) => isCount(value) && value !== 0
const isAnything: Check = () => true
const oneOf =
  (...values: unknown[]): Check =>
  (value) =>
    values.includes(value)

/** The keys that mean something on one node, and what each may be; then those that are kept for the sake of definitions that
 *  come from elsewhere, and do nothing. */
const KEYS: Record<string, Check> = {
  'alternate-exchange': isText,
  'dead-letter-exchange': isNameText,
  'dead-letter-routing-key': isNameText,
  'dead-letter-strategy': oneOf('at-most-once', 'at-least-once'),
  'delivery-limit': (value) => Number.isSafeInteger(value),
  'consumer-timeout': isPositive,
  expires: isPositive,
  'max-length': isCount,
  'max-length-bytes': isCount,
  'message-ttl': isCount,
  overflow: oneOf('drop-head', 'reject-publish', 'reject-publish-dlx'),
  'delayed-retry-type': oneOf('all', 'failed', 'returned', 'disabled'),
  'delayed-retry-min': isCount,
  'delayed-retry-max': isCount,
  'delayed-retry-curve': oneOf('linear', 'exponential'),
  'delayed-retry-jitter': (value) => isCount(value) && (value as number) <= 100,
  'max-age': (value) => typeof value === 'string' && parseAge(value) !== null,
  'federation-upstream': isText,
  'federation-upstream-set': isText,
  'ha-mode': isAnything,
  'ha-params': isAnything,
  'ha-promote-on-failure': isAnything,
  'ha-promote-on-shutdown': isAnything,
  'ha-sync-batch-size': isAnything,
  'ha-sync-mode': isAnything,
  'initial-cluster-size': isAnything,
  'max-in-memory-bytes': isAnything,
  'max-in-memory-length': isAnything,
  'queue-leader-locator': isAnything,
  'queue-master-locator': isAnything,
  'queue-mode': oneOf('default', 'lazy'),
  'queue-version': oneOf(1, 2),
  'stream-filter-size-bytes': isAnything,
  'stream-max-segment-size-bytes': isAnything,
  'target-group-size': isAnything,
  'unclean-leader-election': isAnything,
}

const OPERATOR_KEYS = [
  'consumer-timeout',
  'delivery-limit',
  'expires',
  'max-in-memory-bytes',
  'max-in-memory-length',
  'max-length',
  'max-length-bytes',
  'message-ttl',
  'overflow',
  'target-group-size',
]

/** Throws 406 for what is no policy. */
export function checkPolicy(kind: PolicyKind, { pattern, applyTo, definition }: Policy): void {
  try {
    new RegExp(pattern)
  } catch (error) {
    throw refused(`"${pattern}" is not a regular expression: ${(error as Error).message}`)
  }
  if (!APPLY_TO.includes(applyTo))
    throw refused(`apply-to is "${applyTo}", and should be one of ${APPLY_TO.join(', ')}`)
  const keys = Object.keys(definition)
  if (keys.length === 0) throw refused('no policy provided')
  const known = kind === 'policy' ? Object.keys(KEYS) : OPERATOR_KEYS
  const unknown = keys.filter((key) => !known.includes(key))
  if (unknown.length > 0) throw refused(`${JSON.stringify(unknown)} are not recognised policy settings`)
  for (const key of keys) {
    if (!KEYS[key](definition[key])) throw refused(`${JSON.stringify(definition[key])} is not a valid value of ${key}`)
  }
}

const refused = (reason: string): ChannelError =>
  new ChannelError(ReplyCode.PRECONDITION_FAILED, `Validation failed: ${reason}`)

/** A policy with its pattern compiled. */
interface Entry {
  policy: Policy
  pattern: RegExp
}

export class Policies {
  private readonly entries: Record<PolicyKind, Map<string, Entry>> = { policy: new Map(), operator_policy: new Map() }

  get isEmpty(): boolean {
    return this.entries.policy.size + this.entries.operator_policy.size === 0
  }

  /** The policy must have passed checkPolicy. */
  set(kind: PolicyKind, policy: Policy): void {
    this.entries[kind].set(policy.name, { policy, pattern: new RegExp(policy.pattern) })
  }

  /** false: there was none. */
  delete(kind: PolicyKind, name: string): boolean {
    return this.entries[kind].delete(name)
  }

  get(kind: PolicyKind, name: string): Policy | undefined {
    return this.entries[kind].get(name)?.policy
  }

  all(kind: PolicyKind): Policy[] {
    return [...this.entries[kind].values()].map(({ policy }) => policy)
  }

  effective(what: 'queue' | 'exchange', name: string, queueType = 'classic'): EffectivePolicy {
    if (this.isEmpty) return NO_POLICY
    const policy = this.best('policy', what, name, queueType)
    const operator = this.best('operator_policy', what, name, queueType)
    if (policy === null && operator === null) return NO_POLICY
    return {
      policy: policy?.name ?? null,
      operatorPolicy: operator?.name ?? null,
      definition: merged(policy?.definition ?? {}, operator?.definition ?? {}),
    }
  }

  /** One wins: that of the highest priority; among equals, the first by name, so that the choice is always the same. */
  private best(kind: PolicyKind, what: 'queue' | 'exchange', name: string, queueType: string): Policy | null {
    let best: Policy | null = null
    for (const { policy, pattern } of this.entries[kind].values()) {
      if (!appliesTo(policy.applyTo, what, queueType) || !pattern.test(name)) continue
      const isBetter =
        best === null ||
        policy.priority > best.priority ||
        (policy.priority === best.priority && policy.name < best.name)
      if (isBetter) best = policy
    }
    return best
  }
}

function appliesTo(applyTo: ApplyTo, what: 'queue' | 'exchange', queueType: string): boolean {
  if (applyTo === 'all') return true
  if (what === 'exchange') return applyTo === 'exchanges'
  return applyTo === 'queues' || applyTo === (queueType === 'stream' ? 'streams' : `${queueType}_queues`)
}

/** An operator's limits hold beside the users': the lower counts. RabbitMQ docs "Operator Policies". */
function merged(policy: PolicyDefinition, operator: PolicyDefinition): PolicyDefinition {
  const both = { ...policy, ...operator }
  for (const [key, value] of Object.entries(operator)) {
    const other = policy[key]
    if (typeof value === 'number' && typeof other === 'number') both[key] = Math.min(value, other)
  }
  return both
}
