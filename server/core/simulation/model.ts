// What the queue machine must do, in its simplest form: queues of numbered messages as plain maps, no bytes, no log. The
// driver tells it what it asked of the broker and what the broker did; it throws Violation for what must not be.
//
// Of what a crash may take or leave it knows the batch. Work of a batch up to `committed` is on disk; of later ones some may
// be, from the first on, each whole: so a transaction is never torn apart, and what is found tells up to where.
import { type Held, ModelQueue, type QueueKind, Violation } from './model-queue'

export { type Held, ModelQueue, type QueueKind, Violation } from './model-queue'

/** What was found on disk after a crash. */
export interface Found {
  id: number
  name: string
  isBound: boolean
  messages: number[] // in order of delivery
}

export class Model {
  /** Every queue that may still matter, by id; deleted ones until their deletion is on disk. */
  readonly queues = new Map<number, ModelQueue>()
  committed = 0
  published = 0
  deliveries = 0
  /** By message, how many queues hold it. */
  private readonly holders = new Map<number, number>()

  // -- what the driver does -------------------------------------------------------------------------------------------

  declared(id: number, kind: QueueKind, batch: number): void {
    this.queues.set(id, new ModelQueue(id, kind, batch))
  }

  deleted(queue: ModelQueue, batch: number): void {
    queue.deletedIn = batch
    this.purged(queue, batch)
  }

  purged(queue: ModelQueue, batch: number): void {
    for (const { n, isUnacked } of [...queue.held.values()]) if (!isUnacked) this.settled(queue, n, batch)
  }

  nextMessage(): number {
    return ++this.published
  }

  publishedTo(queues: readonly ModelQueue[], n: number, bytes: number, isPersistent: boolean, batch: number): void {
    for (const queue of queues) {
      const publishedIn = isPersistent && queue.durable ? batch : 0
      const never = { leastFailures: 0, mostFailures: 0, failures: [] as number[] }
      this.add(queue, { n, bytes, publishedIn, isUnacked: false, wasDelivered: false, sawCrash: false, ...never })
    }
  }

  settled(queue: ModelQueue, n: number, batch: number): void {
    const message = queue.find(n)
    this.drop(queue, message)
    if (message.publishedIn !== 0) queue.settled.set(n, { message, batch })
  }

  requeued(queue: ModelQueue, n: number, batch: number): void {
    if (queue.deletedIn !== null) this.settled(queue, n, batch)
    else queue.fail(queue.find(n), batch)
  }

  /** Different messages that some queue holds. */
  get messages(): number {
    return this.holders.size
  }

  private add(queue: ModelQueue, message: Held): void {
    queue.add(message)
    this.holders.set(message.n, (this.holders.get(message.n) ?? 0) + 1)
  }

  private drop(queue: ModelQueue, message: Held): void {
    queue.drop(message)
    const left = (this.holders.get(message.n) as number) - 1
    if (left > 0) this.holders.set(message.n, left)
    else this.holders.delete(message.n)
  }

  // -- what the broker does -------------------------------------------------------------------------------------------

  delivered(queueId: number, n: number, redelivered: boolean, failures: number): ModelQueue {
    const queue = this.queues.get(queueId)
    if (queue === undefined) throw new Violation(`message ${n} came from unknown queue ${queueId}`)
    const message = queue.find(n)
    if (message.isUnacked) throw new Violation(`message ${n} was delivered twice at a time by ${queue.name}`)
    const first = queue.firstReady as Held
    if (first.n < n) throw new Violation(`${queue.name} delivered ${n} before ${first.n}`)
    if (message.wasDelivered && !redelivered) {
      throw new Violation(`message ${n} was delivered before, and nobody said so`)
    }
    if (!message.wasDelivered && redelivered && !message.sawCrash) {
      throw new Violation(`message ${n} was called redelivered and is new`)
    }
    queue.sayFailures(message, failures)
    queue.take(message)
    this.deliveries++
    return queue
  }

  // -- a new life -----------------------------------------------------------------------------------------------------

  /** Checks what a crash left, and goes on from there. */
  recovered(found: readonly Found[]): void {
    this.committed = this.foundUpTo(found)
    for (const queue of this.queues.values()) {
      const isSure = queue.durable && queue.declaredIn <= this.committed && queue.deletedIn === null
      if (isSure && !found.some((f) => f.id === queue.id)) throw new Violation(`queue ${queue.name} is lost`)
    }
    const kept = found.map((f) => this.recoveredQueue(f))
    this.startOver(kept)
  }

  /** The last batch of which something is there: then so is the rest of it, and every one before it. */
  private foundUpTo(found: readonly Found[]): number {
    let last = this.committed
    for (const { id, messages } of found) {
      const queue = this.queues.get(id)
      last = Math.max(last, queue?.declaredIn ?? 0)
      for (const n of messages) {
        const message = queue?.held.get(n) ?? queue?.settled.get(n)?.message
        last = Math.max(last, message?.publishedIn ?? 0)
      }
    }
    return last
  }

  private recoveredQueue(found: Found): ModelQueue {
    const queue = this.queues.get(found.id)
    if (queue === undefined || !queue.durable || queue.name !== found.name) {
      throw new Violation(`queue ${found.name} came back and must not`)
    }
    if (queue.deletedIn !== null && queue.deletedIn <= this.committed) {
      throw new Violation(`queue ${found.name} was deleted and came back`)
    }
    this.checkBinding(queue, found.isBound)
    this.checkMessages(queue, found.messages)
    const next = new ModelQueue(queue.id, queue, 0)
    next.bindings = [{ bound: found.isBound, batch: 0 }]
    for (const n of found.messages) {
      const message = (queue.held.get(n) ?? queue.settled.get(n)?.message) as Held
      next.add({ ...message, publishedIn: -1, isUnacked: false, sawCrash: true, ...this.failuresOnDisk(message) })
    }
    return next
  }

  /** At least what was said by what is on disk. */
  private failuresOnDisk({ leastFailures, failures }: Held): Partial<Held> {
    const inDoubt = failures.filter((batch) => batch > this.committed).length
    return { leastFailures: leastFailures - inDoubt, failures: [] }
  }

  private checkBinding(queue: ModelQueue, isBound: boolean): void {
    const known = queue.bindings.filter((b) => b.batch <= this.committed)
    const later = queue.bindings.filter((b) => b.batch > this.committed)
    const allowed = [known[known.length - 1], ...later].map((b) => b?.bound ?? false)
    if (!allowed.includes(isBound)) throw new Violation(`the binding of ${queue.name} is wrong: ${isBound}`)
  }

  private checkMessages(queue: ModelQueue, found: readonly number[]): void {
    found.forEach((n, i) => {
      if (i > 0 && n <= found[i - 1]) throw new Violation(`${queue.name} has ${found[i - 1]} before ${n} after a crash`)
      const held = queue.held.get(n)
      const settled = queue.settled.get(n)
      if (held === undefined && settled === undefined) throw new Violation(`message ${n} was never in ${queue.name}`)
      if (held?.publishedIn === 0) throw new Violation(`transient message ${n} came back in ${queue.name}`)
      if (settled !== undefined && settled.batch <= this.committed) {
        throw new Violation(`message ${n} of ${queue.name} was settled for good and came back`)
      }
    })
    if (queue.deletedIn !== null) return
    const there = new Set(found)
    for (const { n, publishedIn } of queue.held.values()) {
      if (publishedIn !== 0 && publishedIn <= this.committed && !there.has(n)) {
        throw new Violation(`message ${n} of ${queue.name} was confirmed and is lost`)
      }
    }
  }

  /** After a clean stop nothing is in doubt: what is durable is there, as it was. */
  stoppedCleanly(): void {
    const kept: ModelQueue[] = []
    for (const queue of this.queues.values()) {
      if (!queue.durable || queue.deletedIn !== null) continue
      const next = new ModelQueue(queue.id, queue, 0)
      next.bindings = [{ bound: queue.isBound, batch: 0 }]
      for (const message of queue.held.values()) {
        if (message.isUnacked) throw new Violation(`message ${message.n} is unacked after a stop`)
        if (message.publishedIn !== 0) next.add({ ...message, publishedIn: -1, failures: [] })
      }
      kept.push(next)
    }
    this.startOver(kept)
  }

  /** The broker died before anybody could ask it for anything. */
  sawCrash(): void {
    for (const queue of this.queues.values()) for (const message of queue.held.values()) message.sawCrash = true
  }

  private startOver(kept: readonly ModelQueue[]): void {
    this.queues.clear()
    this.holders.clear()
    this.committed = 0
    for (const queue of kept) {
      this.queues.set(queue.id, queue)
      for (const n of queue.held.keys()) this.holders.set(n, (this.holders.get(n) ?? 0) + 1)
    }
  }
}
