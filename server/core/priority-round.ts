// The consumers of a queue of which some have a priority: the highest that can take a message does, by turns among equals. RabbitMQ
// docs "Consumer Priorities". Used by queue.ts from the first such consumer on.
import type { Consumer } from './consumer'
import type { ConsumerRound } from './consumer-round'
import { ReadyRound } from './ready-round'

export class PriorityRound implements ConsumerRound {
  readonly active = null
  isHeld = false
  /** Those with somebody in the round, the highest first. */
  private readonly levels: ReadyRound[] = []
  private readonly priorities: number[] = []
  private readonly spares: ReadyRound[] = []
  /** Parked for no other reason than that its connection has had enough in this turn: it keeps its precedence. */
  private sated: Consumer | null = null

  constructor(consumers: Iterable<Consumer>) {
    for (const consumer of consumers) this.add(consumer)
  }

  add(consumer: Consumer): void {
    const at = this.levelAt(consumer.priority)
    if (this.priorities[at] !== consumer.priority) {
      this.priorities.splice(at, 0, consumer.priority)
      this.levels.splice(at, 0, this.spares.pop() ?? new ReadyRound())
    }
    this.levels[at].add(consumer)
  }

  next(): Consumer | null {
    let floor = this.floor()
    this.isHeld = false
    while (this.levels.length > 0) {
      if (this.priorities[0] <= floor) {
        this.isHeld = true
        return null
      }
      const consumer = this.levels[0].next()
      if (consumer !== null) return consumer
      this.dropLevel()
      floor = this.floor()
    }
    return null
  }

  /** The highest: nobody of it can take a message. */
  private dropLevel(): void {
    const level = this.levels.shift() as ReadyRound
    this.priorities.shift()
    this.sated = level.sated ?? this.sated
    level.sated = null
    this.spares.push(level)
  }

  /** Nobody of this priority or below may be served. */
  private floor(): number {
    const { sated } = this
    if (sated?.isParked && sated.isSated) return sated.priority
    this.sated = null
    return Number.NEGATIVE_INFINITY
  }

  remove(consumer: Consumer): boolean {
    const at = this.levelAt(consumer.priority)
    if (this.priorities[at] === consumer.priority) this.levels[at].remove(consumer)
    if (this.sated !== consumer) return false
    this.sated = null
    return true
  }

  /** The place of the level, or where it would stand. Binary search. */
  private levelAt(priority: number): number {
    let [low, high] = [0, this.priorities.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.priorities[middle] > priority) low = middle + 1
      else high = middle
    }
    return low
  }
}
