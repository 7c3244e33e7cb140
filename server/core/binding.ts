// A binding: messages of `source` that match go to `destination`. Bindings are equal when source, destination, routing key
// and arguments are.
import type { AnyQueue } from './any-queue'
import type { Arguments, BindingView } from './core-api'
import type { Exchange } from './exchange'

export type Destination = AnyQueue | Exchange

export class Binding implements BindingView {
  readonly arguments: Arguments

  constructor(
    readonly from: Exchange,
    readonly to: Destination,
    readonly destinationType: 'queue' | 'exchange',
    readonly routingKey: string,
    args: Arguments,
    readonly argumentsJson: string,
  ) {
    this.arguments = args
  }

  get source(): string {
    return this.from.name
  }

  get destination(): string {
    return this.to.name
  }

  /** Survives a restart: both ends do. */
  get durable(): boolean {
    return this.from.durable && this.to.durable
  }

  /** Identifies the binding among those of its source. */
  get key(): string {
    return bindingKey(this.destinationType, this.destination, this.routingKey, this.argumentsJson)
  }
}

export function bindingKey(type: string, destination: string, routingKey: string, argumentsJson: string): string {
  return JSON.stringify([type, destination, routingKey, argumentsJson])
}
