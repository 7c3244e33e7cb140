// The two exchanges that spread messages by a hash, each message to one binding: x-consistent-hash, where the binding key is a
// weight, and x-modulus-hash, where it means nothing. RabbitMQ's consistent hash exchange plugin, its docs "Modulus Hash
// Exchange", LavinMQ's docs "Consistent Hash Exchange".
//
// Consistent hashing is weighted rendezvous: each binding draws a number from the message's hash and its own, and the best one
// wins. Neither a ring nor a table of buckets need be kept, weights are exact, the outcome does not depend on the order of
// binding, so it survives a restart, and a binding that comes or goes moves its own share of messages only. It costs a step for
// each binding where nothing is remembered, some 15 ns.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type FieldValue, fieldTypeName, fieldValueText } from '../../protocol/field-table'
import type { Properties } from '../../protocol/properties'
import { argument, binaryText } from './arguments'
import type { Binding } from './binding'
import type { Arguments } from './core-api'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

const WEIGHT_MAX = 10_000

const PROPERTIES: Record<string, keyof Properties> = {
  message_id: 'messageId',
  correlation_id: 'correlationId',
  timestamp: 'timestamp',
}

/** What is hashed, by RabbitMQ's names and by LavinMQ's; the routing key when none is there. */
const HASH_ON = ['hash-header', 'x-hash-on', 'hash-property']
/** LavinMQ's choice of how. Both promise what this does. */
const ALGORITHMS = ['ring', 'jump']

export class ConsistentHashMatcher implements Matcher {
  readonly isRepeatable: boolean
  private readonly bindings: Binding[] = []
  private readonly hashes: number[] = []
  private readonly weights: number[] = []
  private readonly places = new Map<Binding, number>()
  private readonly textOf: (message: RoutedMessage) => string

  constructor(args: Arguments) {
    const header = argument(args, 'hash-header') ?? argument(args, 'x-hash-on')
    const property = argument(args, 'hash-property')
    this.isRepeatable = header === undefined && property === undefined
    if (header !== undefined) this.textOf = ({ headers }) => textOf(argument(headers, header as string))
    else if (property !== undefined)
      this.textOf = ({ properties }) => textOf(properties[PROPERTIES[property as string]])
    else this.textOf = ({ routingKeys }) => routingKeys[0]
  }

  add(binding: Binding): void {
    this.places.set(binding, this.bindings.length)
    this.bindings.push(binding)
    this.hashes.push(hashOf(`${binding.destinationType} ${binding.destination}`))
    this.weights.push(Number(binding.routingKey))
  }

  /** The last one takes its place. */
  remove(binding: Binding): void {
    const place = this.places.get(binding)
    if (place === undefined) return
    this.places.delete(binding)
    const last = this.bindings.pop() as Binding
    const [hash, weight] = [this.hashes.pop() as number, this.weights.pop() as number]
    if (last === binding) return
    this.places.set(last, place)
    this.bindings[place] = last
    this.hashes[place] = hash
    this.weights[place] = weight
  }

  match(message: RoutedMessage, visit: (binding: Binding) => void): void {
    if (this.bindings.length === 0) return
    const hash = hashOf(this.textOf(message))
    let best = 0
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.bindings.length; i++) {
      // Exponentially distributed, at a rate of the weight: the first to fire is i with a probability of its share.
      const time = -Math.log((mixed(hash ^ this.hashes[i]) + 0.5) / 2 ** 32) / this.weights[i]
      if (time >= least) continue
      least = time
      best = i
    }
    visit(this.bindings[best])
  }
}

/** The hash of the routing key, modulo the number of bindings, in the order of their names: the same after a restart. */
export class ModulusHashMatcher implements Matcher {
  readonly isRepeatable = true
  private readonly sorted: { key: string; binding: Binding }[] = []

  add(binding: Binding): void {
    const { key } = binding
    this.sorted.splice(this.placeOf(key), 0, { key, binding })
  }

  remove(binding: Binding): void {
    const place = this.placeOf(binding.key)
    if (this.sorted[place]?.binding === binding) this.sorted.splice(place, 1)
  }

  match({ routingKeys }: RoutedMessage, visit: (binding: Binding) => void): void {
    const { length } = this.sorted
    if (length > 0) visit(this.sorted[hashOf(routingKeys[0]) % length].binding)
  }

  private placeOf(key: string): number {
    let [from, to] = [0, this.sorted.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      if (this.sorted[middle].key < key) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** Throws 406. */
export function checkHashArguments(args: Arguments, subject: string): void {
  const given = HASH_ON.filter((name) => argument(args, name) !== undefined)
  for (const name of [...given, 'x-algorithm']) checkString(args, name, subject)
  if (given.length > 1) throw refused(`${given.join(' and ')} are mutually exclusive`)
  const property = argument(args, 'hash-property') as string | undefined
  if (property !== undefined && !Object.hasOwn(PROPERTIES, property)) throw refused(`Unsupported property: ${property}`)
  const algorithm = argument(args, 'x-algorithm') as string | undefined
  if (algorithm !== undefined && !ALGORITHMS.includes(algorithm)) {
    throw refused(`invalid arg 'x-algorithm' for ${subject}: "unsupported algorithm '${algorithm}'"`)
  }
}

function checkString(args: Arguments, name: string, subject: string): void {
  const value = argument(args, name)
  if (value === undefined || typeof value === 'string') return
  throw refused(`invalid type '${fieldTypeName(value)}' for arg '${name}' in ${subject}`)
}

/** Throws 406 for a binding key that is no weight. */
export function checkWeight(routingKey: string): void {
  if (!/^[+-]?\d+$/.test(routingKey)) throw refused(`The binding key must be an integer: ${binaryText(routingKey)}`)
  const weight = Number(routingKey)
  if (weight < 1) throw refused('The binding key must be greater than 0')
  if (weight > WEIGHT_MAX) throw refused(`The binding key must not exceed ${WEIGHT_MAX}`)
}

function textOf(value: FieldValue | undefined): string {
  return value === undefined ? '' : fieldValueText(value)
}

/** FNV-1a, then mixed, since names and keys often differ in their last letter only. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** The finalizer of MurmurHash3: each bit of the input turns half of those of the output. */
function mixed(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function refused(text: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}
