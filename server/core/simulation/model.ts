// What the queue machine must do, in its simplest form: queues of numbered messages as plain maps, no bytes, no log. The
// driver tells it what it asked of the broker and what the broker did; it throws Violation for what must not be.
//
// Of what a crash may take or leave it knows the batch: work of a batch up to `committed` is on disk, later work may be.

export class Violation extends Error {
  override readonly name = 'Violation'
}

export interface Held {
  readonly n: number // messages are numbered in the order of their publishing
  readonly bytes: number
  readonly publishedIn: number // batch; 0 where this queue does not log it
  isUnacked: boolean
  wasDelivered: boolean // ever, in this queue
  sawCrash: boolean // then `redelivered` may be said in doubt
}

export class ModelQueue {
  readonly held = new Map<number, Held>()
  /** Gone for good, and the batch that says so. */
  readonly settled = new Map<number, { message: Held; batch: number }>()
  /** Of its binding to the fan-out exchange. */
  bindings: { bound: boolean; batch: number }[] = [{ bound: false, batch: 0 }]
  deletedIn: number | null = null

  constructor(
    readonly id: number,
    readonly name: string,
    readonly durable: boolean,
    readonly declaredIn: number,
  ) {}

  get isBound(): boolean {
    return this.bindings[this.bindings.length - 1].bound
  }

  all(isUnacked: boolean): Held[] {
    return [...this.held.values()].filter((m) => m.isUnacked === isUnacked)
  }
}

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
  private published = 0

  // -- what the driver does -------------------------------------------------------------------------------------------

  declared(id: number, name: string, durable: boolean, batch: number): void {
    this.queues.set(id, new ModelQueue(id, name, durable, batch))
  }

  deleted(queue: ModelQueue, batch: number): void {
    queue.deletedIn = batch
    this.purged(queue, batch)
  }

  purged(queue: ModelQueue, batch: number): number {
    const ready = queue.all(false)
    for (const { n } of ready) this.settled(queue, n, batch)
    return ready.length
  }

  nextMessage(): number {
    return ++this.published
  }

  publishedTo(queues: readonly ModelQueue[], n: number, bytes: number, isPersistent: boolean, batch: number): void {
    for (const queue of queues) {
      const publishedIn = isPersistent && queue.durable ? batch : 0
      queue.held.set(n, { n, bytes, publishedIn, isUnacked: false, wasDelivered: false, sawCrash: false })
    }
  }

  settled(queue: ModelQueue, n: number, batch: number): void {
    const message = this.find(queue, n)
    queue.held.delete(n)
    if (message.publishedIn !== 0) queue.settled.set(n, { message, batch })
  }

  requeued(queue: ModelQueue, n: number, batch: number): void {
    if (queue.deletedIn !== null) this.settled(queue, n, batch)
    else this.find(queue, n).isUnacked = false
  }

  // -- what the broker does -------------------------------------------------------------------------------------------

  delivered(queueId: number, n: number, redelivered: boolean): ModelQueue {
    const queue = this.queues.get(queueId)
    if (queue === undefined) throw new Violation(`message ${n} came from unknown queue ${queueId}`)
    const message = this.find(queue, n)
    if (message.isUnacked) throw new Violation(`message ${n} was delivered twice at a time by ${queue.name}`)
    for (const other of queue.held.values()) {
      if (!other.isUnacked && other.n < n) throw new Violation(`${queue.name} delivered ${n} before ${other.n}`)
    }
    if (message.wasDelivered && !redelivered)
      throw new Violation(`message ${n} was delivered before, and nobody said so`)
    if (!message.wasDelivered && redelivered && !message.sawCrash) {
      throw new Violation(`message ${n} was called redelivered and is new`)
    }
    message.wasDelivered = true
    message.isUnacked = true
    return queue
  }

  private find(queue: ModelQueue, n: number): Held {
    const message = queue.held.get(n)
    if (message !== undefined) return message
    const gone = queue.settled.has(n) ? 'is settled' : 'was never there'
    throw new Violation(`message ${n} of ${queue.name} ${gone}`)
  }

  // -- a new life -----------------------------------------------------------------------------------------------------

  /** Checks what a crash left, and goes on from there. */
  recovered(found: readonly Found[]): void {
    for (const queue of this.queues.values()) {
      const isSure = queue.durable && queue.declaredIn <= this.committed && queue.deletedIn === null
      if (isSure && !found.some((f) => f.id === queue.id)) throw new Violation(`queue ${queue.name} is lost`)
    }
    const kept = found.map((f) => this.recoveredQueue(f))
    this.queues.clear()
    for (const queue of kept) this.queues.set(queue.id, queue)
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
    const next = new ModelQueue(queue.id, queue.name, true, 0)
    next.bindings = [{ bound: found.isBound, batch: 0 }]
    for (const n of found.messages) {
      const message = (queue.held.get(n) ?? queue.settled.get(n)?.message) as Held
      next.held.set(n, { ...message, publishedIn: -1, isUnacked: false, sawCrash: true })
    }
    return next
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
    for (const { n, publishedIn } of queue.held.values()) {
      if (publishedIn !== 0 && publishedIn <= this.committed && !found.includes(n)) {
        throw new Violation(`message ${n} of ${queue.name} was confirmed and is lost`)
      }
    }
  }

  /** After a clean stop nothing is in doubt: what is durable is there, as it was. */
  stoppedCleanly(): void {
    for (const queue of [...this.queues.values()]) {
      queue.settled.clear()
      if (!queue.durable || queue.deletedIn !== null) this.queues.delete(queue.id)
      for (const message of [...queue.held.values()]) {
        if (message.isUnacked) throw new Violation(`message ${message.n} is unacked after a stop`)
        if (message.publishedIn === 0) queue.held.delete(message.n)
      }
    }
  }
}
