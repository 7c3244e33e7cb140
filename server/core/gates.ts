// Which gates an exchange or a queue has, by its type and arguments. Called by the vhost when it makes them.
import type { Arguments } from './core-api'
import { Deduplication, isDeduplicating } from './deduplication'
import { IdLog } from './deduplication-log'
import { Delay, isDelaying } from './delay'
import type { ExchangeSpec } from './exchange'
import type { Gate } from './gate'
import { RecentHistory } from './recent-history'
import { Shelf } from './shelf'
import type { VhostContext } from './vhost'

export interface GateSurroundings extends VhostContext {
  nextQueueId(): number
}

export function gatesOf(name: string, spec: ExchangeSpec, around: GateSurroundings): Gate[] {
  const gates: Gate[] = []
  const shelf = () => new Shelf(name, spec.durable, around.nextQueueId(), around)
  if (isDeduplicating(spec.arguments)) {
    const log = spec.durable ? new IdLog('exchange', name, around.name, around.journal) : null
    gates.push(new Deduplication(spec.arguments, around, log))
  }
  if (isDelaying(spec.type, spec.arguments)) {
    gates.push(new Delay(shelf(), (m, furtherKeys) => around.publishing.release(m, name, furtherKeys)))
  }
  if (spec.type === 'x-recent-history') {
    gates.push(new RecentHistory(spec.arguments, shelf(), (m, to) => around.publishing.deliver(m, to)))
  }
  return gates
}

/** What a queue does with messages before it takes them. `isLogged`: its messages survive a restart. */
export function gateOfQueue(
  name: string,
  args: Arguments,
  isLogged: boolean,
  around: VhostContext,
): Deduplication | null {
  if (!isDeduplicating(args)) return null
  const log = isLogged ? new IdLog('queue', name, around.name, around.journal) : null
  return new Deduplication(args, around, log)
}
