// What a client knows of its messages, and what a broker may therefore show after a crash. Told by load.ts what was sent,
// confirmed, delivered and settled; asked by harness.ts whether what a queue holds can be true. No sockets, no clock.

/** A broken promise, in words. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

/** A message may be gone so long before its time by our clock: the broker reads its own once a turn. */
const EARLY_MS = 50
/** And may come so long after it: it was on its way to us, and this process is busy too. */
const LATE_MS = 2000

interface Message {
  publisher: string
  sequence: number
  isConfirmed: boolean
  sentAt: number
  /** Not published later than this. Infinity: may be under way. */
  takenBy: number
}

/** A message in one queue. `maybeGone`: settled, purged or its queue deleted, and nobody knows whether that is on disk. */
interface Copy {
  message: Message
  state: 'there' | 'maybeGone' | 'gone'
  wasDelivered: boolean
  /** Milliseconds, from publishing. */
  ttl: number
  /** A dead letter, and nobody knows whether its coming here is on disk. */
  isFresh: boolean
}

export interface Found {
  id: string
  redelivered: boolean
}

export class Ledger {
  private readonly messages = new Map<string, Message>()
  private readonly queues = new Map<string, Map<string, Copy>>()
  confirmed = 0
  found = 0
  expired = 0

  /** `deadLetters`: queue to the queue of what expires or is rejected there. */
  constructor(
    private readonly now: () => number,
    private readonly deadLetters: ReadonlyMap<string, string> = new Map(),
  ) {}

  /** `id` is `publisher:sequence`; sequences of a publisher ascend. `ttl` of a queue: of the message in it. */
  sent(id: string, queues: readonly string[], ttl: (queue: string) => number = () => Number.POSITIVE_INFINITY): void {
    const [publisher, sequence] = id.split(':')
    const sentAt = this.now()
    const takenBy = Number.POSITIVE_INFINITY
    const message = { publisher, sequence: Number(sequence), isConfirmed: false, sentAt, takenBy }
    this.messages.set(id, message)
    for (const queue of queues) {
      this.copies(queue).set(id, { message, state: 'there', wasDelivered: false, ttl: ttl(queue), isFresh: false })
    }
  }

  onConfirmed(id: string): void {
    const message = this.message(id)
    message.isConfirmed = true
    this.onTaken(id)
    this.confirmed++
  }

  /** Confirmed, and not promised to outlive a crash. */
  onTaken(id: string): void {
    const message = this.message(id)
    message.takenBy = Math.min(message.takenBy, this.now())
  }

  onCrash(): void {
    for (const copies of this.queues.values()) {
      for (const copy of copies.values()) {
        copy.message.takenBy = Math.min(copy.message.takenBy, this.now())
        if (copy.isFresh) copy.wasDelivered = false // it may come here anew, as another
      }
    }
  }

  onDelivered(queue: string, { id, redelivered }: Found): void {
    const copy = this.queues.get(queue)?.get(id) ?? this.deadLettered(queue, id)
    if (copy === undefined) throw new Violation(`${queue} delivers ${id}, which was never sent there`)
    if (copy.state === 'gone') throw new Violation(`${queue} delivers ${id} again, which was settled for good`)
    if (copy.wasDelivered && !redelivered) throw new Violation(`${queue} delivers ${id} again and does not say so`)
    const late = this.now() - copy.message.takenBy - copy.ttl
    if (late > LATE_MS) throw new Violation(`${queue} delivers ${id}, which expired ${late} ms ago`)
    copy.wasDelivered = true
  }

  /** Settled, not known to be on disk. */
  onSettling(queue: string, ids: Iterable<string>): void {
    for (const id of ids) {
      const copy = this.queues.get(queue)?.get(id)
      if (copy !== undefined && copy.state === 'there') copy.state = 'maybeGone'
    }
  }

  /** Rejected: settled here, and from then on where its dead letters go. */
  onRejecting(queue: string, id: string): void {
    const copy = this.queues.get(queue)?.get(id)
    if (copy !== undefined) this.moveOn(queue, id, copy)
    this.onSettling(queue, [id])
  }

  /** Settled, and on disk. */
  onSettled(queue: string, ids: Iterable<string>): void {
    for (const id of ids) {
      const copy = this.queues.get(queue)?.get(id)
      if (copy !== undefined) copy.state = 'gone'
    }
  }

  /** All that may be in the queue. */
  idsIn(queue: string): string[] {
    return [...this.copies(queue)].filter(([, copy]) => copy.state !== 'gone').map(([id]) => id)
  }

  /** What must be in the queue. */
  countIn(queue: string): number {
    return [...this.copies(queue).values()].filter(({ message, state }) => state === 'there' && message.isConfirmed)
      .length
  }

  /** How many of the queue may have expired, or expire right now. */
  expiringIn(queue: string): number {
    return [...this.copies(queue).values()].filter((copy) => this.mayHaveExpired(copy)).length
  }

  /** Everything that the queue holds, as a client got it: in its order, where `isOrdered`. */
  check(queue: string, found: readonly Found[], isOrdered = true): void {
    const seen = new Set<string>()
    const last = new Map<string, number>()
    for (const delivery of found) {
      if (seen.has(delivery.id)) throw new Violation(`${queue} holds ${delivery.id} twice`)
      seen.add(delivery.id)
      this.onDelivered(queue, delivery)
      const message = this.messages.get(delivery.id) as Message
      message.isConfirmed = true // recovered, so it is on disk
      const { publisher, sequence } = message
      if (isOrdered && sequence < (last.get(publisher) ?? -1)) {
        throw new Violation(`${queue} has ${delivery.id} behind a later one`)
      }
      last.set(publisher, sequence)
    }
    this.found += found.length
    const copies = this.copies(queue)
    for (const [id, copy] of copies) {
      if (seen.has(id)) this.isThere(queue, id, copy)
      else this.isNotThere(queue, id, copy)
    }
  }

  private isThere(queue: string, id: string, copy: Copy): void {
    copy.state = 'there' // it was not settled
    copy.isFresh = false
    const target = this.deadLetters.get(queue)
    const moved = target === undefined ? undefined : this.copies(target).get(id)
    if (target === undefined || moved === undefined) return
    if (moved.state === 'gone') throw new Violation(`${queue} holds ${id}, whose dead letter was settled for good`)
    this.copies(target).delete(id) // its move was undone
  }

  /** What is not there now will never be. */
  private isNotThere(queue: string, id: string, copy: Copy): void {
    const mayBeGone = copy.state !== 'there' || !copy.message.isConfirmed
    if (this.mayHaveExpired(copy)) {
      if (!mayBeGone) this.expired++
      if (copy.state !== 'gone') this.moveOn(queue, id, copy)
    } else if (!mayBeGone) throw new Violation(`${queue} has lost ${id}`)
    this.copies(queue).delete(id)
  }

  private moveOn(queue: string, id: string, { message, state }: Copy): Copy | undefined {
    const target = this.deadLetters.get(queue)
    if (target === undefined) return undefined
    const known = this.copies(target).get(id)
    if (known !== undefined) return known
    const copy = { message, state, wasDelivered: false, ttl: Number.POSITIVE_INFINITY, isFresh: true }
    this.copies(target).set(id, copy)
    return copy
  }

  /** It has come to a queue of dead letters before we looked where it was. */
  private deadLettered(target: string, id: string): Copy | undefined {
    for (const [queue, to] of this.deadLetters) {
      const copy = this.queues.get(queue)?.get(id)
      if (to !== target || copy === undefined || copy.state === 'gone' || !this.mayHaveExpired(copy)) continue
      const moved = this.moveOn(queue, id, copy)
      this.onSettling(queue, [id])
      return moved
    }
    return undefined
  }

  private mayHaveExpired({ message, ttl }: Copy): boolean {
    return this.now() >= message.sentAt + ttl - EARLY_MS
  }

  private message(id: string): Message {
    const message = this.messages.get(id)
    if (message === undefined) throw new Violation(`confirm of ${id}, which was never sent`)
    return message
  }

  private copies(queue: string): Map<string, Copy> {
    let copies = this.queues.get(queue)
    if (copies === undefined) {
      copies = new Map()
      this.queues.set(queue, copies)
    }
    return copies
  }
}
