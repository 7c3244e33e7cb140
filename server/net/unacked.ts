// The unacknowledged deliveries of a channel: from delivery tag to ticket and owner. Tags are consecutive, so a ring
// indexed by tag; settled ones leave holes that close when the oldest goes. A few that stay while thousands of newer ones
// come and go are put aside, so that memory follows the number of unacknowledged messages and not the span of their tags.
import type { UnackedOwner } from '../core/consumer'
import type { Return, Ticket } from '../core/core-api'

const CAPACITY_MIN = 16
/** A ring that is at most this part full is not made larger. */
const SPARSE_SHARE = 4

/** acknowledged, rejected for good, or given back */
export type Settlement = 'ack' | 'reject' | Return

interface Straggler {
  ticket: Ticket
  bodyBytes: number
  owner: UnackedOwner
}

export class Unacked {
  /** Deliveries not settled. */
  count = 0
  /** Older than all in the ring; in order of tag. */
  private readonly stragglers = new Map<number, Straggler>()
  private tickets = new Float64Array(CAPACITY_MIN)
  private sizes = new Float64Array(CAPACITY_MIN) // body bytes
  private owners: (UnackedOwner | null)[] = new Array(CAPACITY_MIN).fill(null)
  private firstTag = 1 // the oldest that may be unsettled
  private endTag = 1 // one past the newest

  push(tag: number, ticket: Ticket, owner: UnackedOwner, bodyBytes: number): void {
    if (this.count === this.stragglers.size) this.firstTag = tag
    if (tag - this.firstTag >= this.owners.length) this.makeRoom(tag)
    // Deliveries without acknowledgement take tags too: they leave holes.
    for (let hole = Math.max(this.endTag, this.firstTag); hole < tag; hole++) this.owners[this.slot(hole)] = null
    const slot = this.slot(tag)
    this.tickets[slot] = ticket
    this.sizes[slot] = bodyBytes
    this.owners[slot] = owner
    this.endTag = tag + 1
    this.count++
  }

  has(tag: number): boolean {
    return this.isInRing(tag) || this.stragglers.has(tag)
  }

  private isInRing(tag: number): boolean {
    return tag >= this.firstTag && tag < this.endTag && this.owners[this.slot(tag)] !== null
  }

  /** Of an unsettled delivery; undefined: there is none. */
  ownerOf(tag: number): UnackedOwner | undefined {
    return this.isInRing(tag) ? (this.owners[this.slot(tag)] as UnackedOwner) : this.stragglers.get(tag)?.owner
  }

  requeueAll(how: Return): void {
    this.settleUpTo(this.endTag - 1, how)
  }

  /** Tags not settled, up to and including `tag`. */
  tagsUpTo(tag: number): number[] {
    const tags: number[] = []
    for (const t of this.stragglers.keys()) if (t <= tag) tags.push(t)
    for (let t = this.firstTag; t < this.endTag && t <= tag; t++) if (this.isInRing(t)) tags.push(t)
    return tags
  }

  get newestTag(): number {
    return this.endTag - 1
  }

  /** false: there is no such delivery. */
  settle(tag: number, how: Settlement): boolean {
    if (!this.isInRing(tag)) return this.settleStraggler(tag, how)
    const slot = this.slot(tag)
    const owner = this.owners[slot] as UnackedOwner
    this.owners[slot] = null
    this.count--
    if (tag === this.firstTag) this.closeHoles()
    settleWith(owner, this.tickets[slot], this.sizes[slot], how)
    return true
  }

  private settleStraggler(tag: number, how: Settlement): boolean {
    const straggler = this.stragglers.get(tag)
    if (straggler === undefined) return false
    this.stragglers.delete(tag)
    this.count--
    settleWith(straggler.owner, straggler.ticket, straggler.bodyBytes, how)
    return true
  }

  /** Up to and including `tag`; returns how many. */
  settleUpTo(tag: number, how: Settlement): number {
    const before = this.count
    for (const t of this.stragglers.keys()) if (t <= tag) this.settleStraggler(t, how)
    const last = Math.min(tag, this.endTag - 1)
    for (let t = this.firstTag; t <= last && this.count > 0; t++) this.settle(t, how)
    return before - this.count
  }

  private closeHoles(): void {
    while (this.firstTag < this.endTag && this.owners[this.slot(this.firstTag)] === null) this.firstTag++
  }

  private slot(tag: number): number {
    return tag % this.owners.length
  }

  /** So that the ring can take `tag`: its oldest few are put aside, or it grows. */
  private makeRoom(tag: number): void {
    const inRing = this.count - this.stragglers.size
    const capacity = this.owners.length
    if (inRing * SPARSE_SHARE > capacity) {
      this.grow(capacity * 2)
      if (tag - this.firstTag >= this.owners.length) this.makeRoom(tag)
      return
    }
    const firstKept = tag - capacity + 1
    for (let t = this.firstTag; t < this.endTag && t < firstKept; t++) this.putAside(t)
    this.firstTag = firstKept
    if (firstKept < this.endTag) this.closeHoles()
  }

  private putAside(tag: number): void {
    const slot = this.slot(tag)
    const owner = this.owners[slot]
    if (owner === null) return
    this.stragglers.set(tag, { ticket: this.tickets[slot], bodyBytes: this.sizes[slot], owner })
    this.owners[slot] = null
  }

  private grow(capacity: number): void {
    const tickets = new Float64Array(capacity)
    const sizes = new Float64Array(capacity)
    const owners = new Array(capacity).fill(null)
    for (let tag = this.firstTag; tag < this.endTag; tag++) {
      tickets[tag % capacity] = this.tickets[this.slot(tag)]
      sizes[tag % capacity] = this.sizes[this.slot(tag)]
      owners[tag % capacity] = this.owners[this.slot(tag)]
    }
    this.tickets = tickets
    this.sizes = sizes
    this.owners = owners
  }
}

function settleWith(owner: UnackedOwner, ticket: Ticket, bodyBytes: number, how: Settlement): void {
  if (how === 'ack') owner.ack(ticket, bodyBytes)
  else if (how === 'reject') owner.reject(ticket, bodyBytes)
  else owner.requeue(ticket, bodyBytes, how)
}
