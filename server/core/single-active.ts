// The consumers of a queue with x-single-active-consumer: one alone gets messages until it leaves; then the one with the highest
// priority takes its place, the oldest among equals. RabbitMQ docs "Single Active Consumer". Used by queue.ts.
import type { Consumer } from './consumer'
import type { ConsumerRound } from './consumer-round'

export class SingleActive implements ConsumerRound {
  readonly isHeld = false
  active: Consumer | null = null
  /** In the order in which they will take over. */
  private readonly waiting: Consumer[] = []

  add(consumer: Consumer): void {
    if (consumer === this.active) return // unparked
    if (this.active === null) this.active = consumer
    else this.wait(consumer)
  }

  private wait(consumer: Consumer): void {
    let at = this.waiting.length
    while (at > 0 && this.waiting[at - 1].priority < consumer.priority) at--
    this.waiting.splice(at, 0, consumer)
  }

  next(): Consumer | null {
    const { active } = this
    if (active === null || active.isParked) return null
    if (active.isReady) return active
    active.park()
    return null
  }

  remove(consumer: Consumer): boolean {
    if (consumer === this.active) {
      this.active = this.waiting.shift() ?? null
      return this.active !== null
    }
    const at = this.waiting.indexOf(consumer)
    if (at !== -1) this.waiting.splice(at, 1)
    return false
  }
}
