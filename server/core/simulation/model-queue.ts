// A queue of the model: numbered messages in a map, in order, and counts of them. Owned by model.ts.

export class Violation extends Error {
  override readonly name = 'Violation'
}

export interface Held {
  readonly n: number // messages are numbered in the order of their publishing
  readonly bytes: number
  readonly publishedIn: number // batch; 0 where this queue does not log it, -1 where it was recovered
  isUnacked: boolean
  wasDelivered: boolean // ever, in this queue
  sawCrash: boolean // then `redelivered` may be said in doubt
  /** How often it failed: what the broker may say. More than one number after a crash, until it says. */
  leastFailures: number
  mostFailures: number
  /** The batch that says so, for each failure in this life. */
  failures: number[]
}

export interface QueueKind {
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  /** How often messages fail. */
  readonly counts: boolean
}

export class ModelQueue implements QueueKind {
  readonly name: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly counts: boolean
  readonly held = new Map<number, Held>()
  /** Gone for good, and the batch that says so. */
  readonly settled = new Map<number, { message: Held; batch: number }>()
  /** Of its binding to the fan-out exchange. */
  bindings: { bound: boolean; batch: number }[] = [{ bound: false, batch: 0 }]
  deletedIn: number | null = null
  unacked = 0
  readyBytes = 0
  unackedBytes = 0

  constructor(
    readonly id: number,
    kind: QueueKind,
    readonly declaredIn: number,
  ) {
    this.name = kind.name
    this.durable = kind.durable
    this.autoDelete = kind.autoDelete
    this.counts = kind.counts
  }

  get isBound(): boolean {
    return this.bindings[this.bindings.length - 1].bound
  }

  get ready(): number {
    return this.held.size - this.unacked
  }

  /** The next to be delivered. */
  get firstReady(): Held | undefined {
    for (const message of this.held.values()) if (!message.isUnacked) return message
    return undefined
  }

  add(message: Held): void {
    this.held.set(message.n, message)
    this.readyBytes += message.bytes
  }

  take(message: Held): void {
    message.isUnacked = true
    message.wasDelivered = true
    this.unacked++
    this.move(message, -1)
  }

  putBack(message: Held): void {
    message.isUnacked = false
    this.unacked--
    this.move(message, 1)
  }

  fail(message: Held, batch: number): void {
    this.putBack(message)
    if (!this.counts) return
    message.leastFailures++
    message.mostFailures++
    message.failures.push(batch)
  }

  drop(message: Held): void {
    if (message.isUnacked) this.putBack(message)
    this.held.delete(message.n)
    this.readyBytes -= message.bytes
  }

  find(n: number): Held {
    const message = this.held.get(n)
    if (message !== undefined) return message
    const gone = this.settled.has(n) ? 'is settled' : 'was never there'
    throw new Violation(`message ${n} of ${this.name} ${gone}`)
  }

  /** Takes the broker's word for it, where it may be true. */
  sayFailures(message: Held, said: number): void {
    const { n, leastFailures, mostFailures } = message
    if (said < leastFailures || said > mostFailures) {
      throw new Violation(`message ${n} of ${this.name} failed ${said} times, not ${leastFailures} to ${mostFailures}`)
    }
    message.leastFailures = message.mostFailures = said
  }

  private move({ bytes }: Held, toReady: 1 | -1): void {
    this.readyBytes += toReady * bytes
    this.unackedBytes -= toReady * bytes
  }
}
