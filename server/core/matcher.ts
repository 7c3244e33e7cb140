// What the exchange types have in common: each finds, among the bindings of one exchange, those that a message takes.
import type { Binding } from './binding'
import type { RoutedMessage } from './routed-message'

/** One per exchange; the types differ in nothing else. */
export interface Matcher {
  /** What it finds depends on exchange and routing key alone, so the router may remember it. */
  readonly isRepeatable: boolean
  add(binding: Binding): void
  remove(binding: Binding): void
  /** May visit a binding more than once, for a message with several routing keys. */
  match(message: RoutedMessage, visit: (binding: Binding) => void): void
}
