// What must be true of the broker between any two actions, when everything has come to rest, and when nothing is left in it.
import type { SimulatedChannel } from './channel'
import type { SimulatedDisk } from './disk'
import type { Life } from './life'
import { type Model, Violation } from './model'

/** Its counters agree with the model, and the store holds just the messages that some queue holds. */
export function checkCounts(model: Model, life: Life): void {
  for (const queue of model.queues.values()) {
    if (queue.deletedIn !== null) continue
    const actual = life.queue(queue.id)
    same(`ready of ${queue.name}`, actual?.readyCount, queue.ready)
    same(`unacked of ${queue.name}`, actual?.unackedCount, queue.unacked)
    same(`ready bytes of ${queue.name}`, actual?.readyBytes, queue.readyBytes)
    same(`unacked bytes of ${queue.name}`, actual?.unackedBytes, queue.unackedBytes)
  }
  let stored = 0
  let slabBytes = 0
  for (const { live, slab } of life.core.journal.store.segments.values()) {
    stored += live
    slabBytes += slab?.length ?? 0
  }
  same('messages in the store', stored, model.messages)
  const { store } = life.core.journal
  if (!store.isSpilling) same('bytes of slabs', store.slabBytes, slabBytes)
}

/** No message waits beside a consumer that would take it, and the journal has nothing left to write. */
export function checkNobodyWaits(model: Model, life: Life): void {
  const { journal } = life.core
  same('journal at rest', journal.isIdle && journal.error === null, true)
  same('committed batch', model.committed, journal.gathering - 1)
  for (const queue of life.vhost.queues.values()) {
    if (queue.readyCount === 0) continue
    const idle = queue.consumers.find((consumer) => consumer.isReady)
    if (idle !== undefined) throw new Violation(`${queue.name} has messages, and consumer ${idle.tag} gets none`)
  }
}

/** Every message was taken and settled: nothing of any is left anywhere. */
export async function checkNothingLeft(model: Model, life: Life, disk: SimulatedDisk): Promise<void> {
  for (const queue of model.queues.values()) {
    if (queue.held.size > 0) throw new Violation(`${queue.held.size} messages stay in ${queue.name}`)
  }
  const { store, rows } = life.core.journal
  same('segments', store.segments.size, 1)
  same('bytes of slabs', store.slabBytes, [...store.segments.values()][0].slab?.length)
  same('bytes in the scratch file', life.spill.usedBytes, 0)
  same('rows', rows.count, 0)
  same('bytes of rows', rows.bytes, 0)
  same('live bytes of rows', Math.round(rows.liveBytes), 0)
  checkCollections('the core', life.core, ['dirty', 'dispatching'])
  checkCollections('what is being loaded', life.core.loads, ['waiting', 'requested'])
  checkCollections('the journal', life.core.journal, ['waiters', 'idleWaiters', 'unsavedSettles', 'definitions'])
  checkCollections('the rows', rows, ['building', 'copies', 'copiesInFlight'])
  for (const queue of life.vhost.queues.values())
    for (const { sink } of queue.consumers) checkChannel(sink as SimulatedChannel)
  await disk.forget(Number.POSITIVE_INFINITY)
  same('log entries', (await disk.stats()).entries, 0)
}

function checkChannel({ channelNumber, credit, unacked }: SimulatedChannel): void {
  same(`unacked of channel ${channelNumber}`, unacked.length, 0)
  same(`used credit of channel ${channelNumber}`, credit.used, 0)
}

/** By name, since nobody but us has any business with them. */
function checkCollections(owner: string, object: object, names: readonly string[]): void {
  for (const name of names) {
    const collection = (object as Record<string, { length?: number; size?: number }>)[name]
    same(`${name} of ${owner}`, collection.length ?? collection.size, 0)
  }
}

function same(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Violation(`${what}: ${actual}, expected ${expected}`)
}
