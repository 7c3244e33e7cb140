// What the router found, remembered by the bytes of the two names, exchange and routing key. A key has eight places where it may
// stand: with a single one a fifth of a thousand keys would push each other out of 4,096, and each of these be found anew.
import { CameBack } from './came-back'
import type { Route } from './router'

const WAYS = 8
/** So many slots at first, and so many when keys that come again push each other out. */
const SLOTS = 4096
const SLOTS_MAX = 65_536
/** All remembered routes together: a fanout to many thousands of queues must not be kept once for each routing key. */
const REMEMBERED_QUEUES_MAX = 500_000

export class RouteCache {
  private epoch = 0
  private routes: (Route | null)[] = new Array(SLOTS).fill(null)
  /** Of the names in each slot: a key is compared with one route only. */
  private hashes = new Int32Array(SLOTS)
  /** The one that was asked for last: publishers tend to stay with theirs. */
  private last: Route | null = null
  private lastHash = 0
  private nextVictim = 0
  private cameBack: CameBack | null = null
  /** In all remembered routes, each counted as often as it is there. */
  rememberedQueues = 0

  get slots(): number {
    return this.routes.length
  }

  forget(): void {
    this.epoch++
    this.last = null
  }

  /** The route of the names at buf[start, end); null: it is not remembered, and `remember` is for these names next. */
  find(buf: Buffer, start: number, end: number): Route | null {
    const { last, epoch, hashes } = this
    if (last !== null && isSame(last.names, buf, start, end)) return last
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buf[i], 0x01000193)
    hash ^= hash >>> 15
    this.lastHash = hash
    const first = this.firstSlotOf(hash)
    for (let slot = first; slot < first + WAYS; slot++) {
      if (hashes[slot] !== hash) continue
      const route = this.routes[slot]
      if (route === null || route.epoch !== epoch || !isSame(route.names, buf, start, end)) continue
      this.last = route
      return route
    }
    return null
  }

  /** What `find` was asked for and did not know. */
  remember(route: Route, names: Buffer): void {
    const slot = this.slotFor(this.lastHash)
    route.names = names
    route.epoch = this.epoch
    this.rememberedQueues += sizeOf(route) - sizeOf(this.routes[slot])
    this.routes[slot] = route
    this.hashes[slot] = this.lastHash
    if (this.rememberedQueues > REMEMBERED_QUEUES_MAX) this.empty(this.slots)
  }

  private firstSlotOf(hash: number): number {
    return hash & (this.routes.length - WAYS)
  }

  private slotFor(hash: number): number {
    const first = this.firstSlotOf(hash)
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.routes[slot]?.epoch !== this.epoch) return slot
    }
    if (this.slots < SLOTS_MAX && this.isTooSmall(hash)) return this.firstSlotOf(hash)
    this.nextVictim = (this.nextVictim + 1) % WAYS
    return this.firstSlotOf(hash) + this.nextVictim
  }

  /** Somebody's keys push each other out: made larger then, and empty. */
  private isTooSmall(hash: number): boolean {
    this.cameBack ??= new CameBack()
    if (!this.cameBack.onPushedOut(hash)) return false
    this.cameBack = null
    this.empty(SLOTS_MAX)
    return true
  }

  private empty(slots: number): void {
    this.routes = new Array(slots).fill(null)
    this.hashes = new Int32Array(slots)
    this.rememberedQueues = 0
  }
}

function sizeOf(route: Route | null): number {
  return route === null ? 0 : route.queues.length + (route.gated?.streams.length ?? 0)
}

function isSame(names: Buffer, buf: Buffer, start: number, end: number): boolean {
  if (names.length !== end - start) return false
  // From the end: keys that differ mostly do so there.
  for (let i = names.length - 1; i >= 0; i--) if (names[i] !== buf[start + i]) return false
  return true
}
