// Direct matching: the very key. And fanout: whatever the key. 0-9-1 §3.1.3.1, §3.1.3.2.
import type { Binding } from './binding'
import type { Matcher } from './matcher'
import type { RoutedMessage } from './routed-message'

export class DirectMatcher implements Matcher {
  readonly isRepeatable = true
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

  match({ routingKeys }: RoutedMessage, visit: (binding: Binding) => void): void {
    for (const key of routingKeys) this.byKey.get(key)?.forEach(visit)
  }
}

export class FanoutMatcher implements Matcher {
  readonly isRepeatable = true
  private readonly bindings = new Set<Binding>()

  add(binding: Binding): void {
    this.bindings.add(binding)
  }

  remove(binding: Binding): void {
    this.bindings.delete(binding)
  }

  match(_message: RoutedMessage, visit: (binding: Binding) => void): void {
    this.bindings.forEach(visit)
  }
}
