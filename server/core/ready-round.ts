// The consumers of a queue that can take a message now, in turn. Round robin in constant time, however many of a
// queue's consumers are waiting for credit.
import type { Consumer } from './consumer'
import type { ConsumerRound } from './consumer-round'

export class ReadyRound implements ConsumerRound {
  readonly isHeld = false
  readonly active = null
  /** One that was parked for no other reason than the end of its connection's turn. See priority-round.ts. */
  sated: Consumer | null = null
  private ring: (Consumer | null)[] = new Array(4).fill(null)
  private head = 0
  private count = 0

  add(consumer: Consumer): void {
    if (this.count === this.ring.length) this.grow()
    this.ring[(this.head + this.count++) & (this.ring.length - 1)] = consumer
  }

  /** The next consumer that is ready; it moves to the end. Those that are not leave the round, parked. null: none is left. */
  next(): Consumer | null {
    while (this.count > 0) {
      const consumer = this.ring[this.head] as Consumer
      if (this.count === 1 && consumer.isReady) return consumer
      this.ring[this.head] = null
      this.head = (this.head + 1) & (this.ring.length - 1)
      this.count--
      if (consumer.isReady) {
        this.add(consumer)
        return consumer
      }
      consumer.park()
      if (consumer.isSated) this.sated = consumer
    }
    return null
  }

  remove(consumer: Consumer): boolean {
    const kept: Consumer[] = []
    for (let i = 0; i < this.count; i++) {
      const other = this.ring[(this.head + i) & (this.ring.length - 1)] as Consumer
      if (other !== consumer) kept.push(other)
    }
    this.ring = new Array(Math.max(4, this.ring.length)).fill(null)
    this.head = 0
    this.count = 0
    for (const other of kept) this.add(other)
    if (this.sated === consumer) this.sated = null
    return false
  }

  *[Symbol.iterator](): Iterator<Consumer> {
    for (let i = 0; i < this.count; i++) yield this.ring[(this.head + i) & (this.ring.length - 1)] as Consumer
  }

  private grow(): void {
    const larger: (Consumer | null)[] = new Array(this.ring.length * 2).fill(null)
    for (let i = 0; i < this.count; i++) larger[i] = this.ring[(this.head + i) & (this.ring.length - 1)]
    this.ring = larger
    this.head = 0
  }
}
