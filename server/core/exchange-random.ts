// x-random and x-local-random: each message to one binding, drawn anew. On one machine all queues are local, so the two differ
// in what they let be bound. RabbitMQ docs "Random Exchange", "Local Random Exchange".
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import type { Binding, Destination } from './binding'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

export class RandomMatcher implements Matcher {
  readonly isRepeatable = false
  private readonly bindings: Binding[] = []
  private readonly places = new Map<Binding, number>()

  /** `random`: from 0 up to, not including, 1. */
  constructor(private readonly random: () => number = Math.random) {}

  add(binding: Binding): void {
    this.places.set(binding, this.bindings.length)
    this.bindings.push(binding)
  }

  /** The last one takes its place. */
  remove(binding: Binding): void {
    const place = this.places.get(binding)
    if (place === undefined) return
    this.places.delete(binding)
    const last = this.bindings.pop() as Binding
    if (last === binding) return
    this.places.set(last, place)
    this.bindings[place] = last
  }

  match(_message: RoutedMessage, visit: (binding: Binding) => void): void {
    const { length } = this.bindings
    if (length > 0) visit(this.bindings[Math.floor(this.random() * length)])
  }
}

/** Throws 406: x-local-random takes queues only, and no binding key. */
export function checkLocalRandomBinding(routingKey: string, to: Destination): void {
  if (to.kind !== 'queue') throw new ChannelError(ReplyCode.PRECONDITION_FAILED, 'Destination not found')
  if (routingKey === '') return
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, `Non empty binding '${routingKey}' key not permitted`)
}
