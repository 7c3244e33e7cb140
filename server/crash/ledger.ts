// What a client knows of its messages, and what a broker may therefore show after a crash. Told by load.ts what was sent,
// confirmed, delivered and settled; asked by harness.ts whether what a queue holds can be true. No sockets.

/** A broken promise, in words. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

interface Message {
  publisher: string
  sequence: number
  isConfirmed: boolean
}

/** A message in one queue. `maybeGone`: settled, purged or its queue deleted, and nobody knows whether that is on disk. */
interface Copy {
  message: Message
  state: 'there' | 'maybeGone' | 'gone'
  wasDelivered: boolean
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

  /** `id` is `publisher:sequence`; sequences of a publisher ascend. */
  sent(id: string, queues: readonly string[]): void {
    const [publisher, sequence] = id.split(':')
    const message = { publisher, sequence: Number(sequence), isConfirmed: false }
    this.messages.set(id, message)
    for (const queue of queues) this.copies(queue).set(id, { message, state: 'there', wasDelivered: false })
  }

  onConfirmed(id: string): void {
    const message = this.messages.get(id)
    if (message === undefined) throw new Violation(`confirm of ${id}, which was never sent`)
    message.isConfirmed = true
    this.confirmed++
  }

  onDelivered(queue: string, { id, redelivered }: Found): void {
    const copy = this.queues.get(queue)?.get(id)
    if (copy === undefined) throw new Violation(`${queue} delivers ${id}, which was never sent there`)
    if (copy.state === 'gone') throw new Violation(`${queue} delivers ${id} again, which was settled for good`)
    if (copy.wasDelivered && !redelivered) throw new Violation(`${queue} delivers ${id} again and does not say so`)
    copy.wasDelivered = true
  }

  /** Settled, not known to be on disk. */
  onSettling(queue: string, ids: Iterable<string>): void {
    for (const id of ids) {
      const copy = this.queues.get(queue)?.get(id)
      if (copy !== undefined && copy.state === 'there') copy.state = 'maybeGone'
    }
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

  /** Everything that the queue holds, in its order, as a client got it. */
  check(queue: string, found: readonly Found[]): void {
    const seen = new Set<string>()
    const last = new Map<string, number>()
    for (const delivery of found) {
      if (seen.has(delivery.id)) throw new Violation(`${queue} holds ${delivery.id} twice`)
      seen.add(delivery.id)
      this.onDelivered(queue, delivery)
      const message = this.messages.get(delivery.id) as Message
      message.isConfirmed = true // recovered, so it is on disk
      const { publisher, sequence } = message
      if (sequence < (last.get(publisher) ?? -1)) throw new Violation(`${queue} has ${delivery.id} behind a later one`)
      last.set(publisher, sequence)
    }
    this.found += found.length
    const copies = this.copies(queue)
    for (const [id, copy] of copies) {
      if (!seen.has(id) && copy.state === 'there' && copy.message.isConfirmed) {
        throw new Violation(`${queue} has lost ${id}`)
      }
      // What is not there now will never be; what is there was not settled.
      if (!seen.has(id)) copies.delete(id)
      else copy.state = 'there'
    }
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
