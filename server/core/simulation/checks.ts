// What must be true of the broker between any two actions, and when everything has come to rest.
import type { Life } from './life'
import { type Held, type Model, Violation } from './model'

/** Its counters agree with the model, and the store holds just the messages that some queue holds. */
export function checkCounts(model: Model, life: Life): void {
  const numbers = new Set<number>()
  for (const queue of model.queues.values()) {
    for (const n of queue.held.keys()) numbers.add(n)
    if (queue.deletedIn !== null) continue
    const actual = life.queue(queue.id)
    const [ready, unacked] = [queue.all(false), queue.all(true)]
    same(`ready of ${queue.name}`, actual?.readyCount, ready.length)
    same(`unacked of ${queue.name}`, actual?.unackedCount, unacked.length)
    same(`ready bytes of ${queue.name}`, actual?.readyBytes, bytes(ready))
    same(`unacked bytes of ${queue.name}`, actual?.unackedBytes, bytes(unacked))
  }
  let stored = 0
  for (const segment of life.core.journal.store.segments.values()) stored += segment.live
  same('messages in the store', stored, numbers.size)
}

/** No message waits beside a consumer that would take it, and the journal has nothing left to write. */
export function checkNobodyWaits(model: Model, life: Life): void {
  same('journal at rest', life.core.journal.isIdle && life.core.journal.error === null, true)
  same('committed batch', model.committed, life.core.journal.gathering - 1)
  for (const queue of life.vhost.queues.values()) {
    if (queue.readyCount === 0) continue
    const idle = queue.consumers.find((consumer) => consumer.isReady)
    if (idle !== undefined) throw new Violation(`${queue.name} has messages, and consumer ${idle.tag} gets none`)
  }
}

function bytes(messages: readonly Held[]): number {
  return messages.reduce((sum, m) => sum + m.bytes, 0)
}

function same(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Violation(`${what}: ${actual}, expected ${expected}`)
}
