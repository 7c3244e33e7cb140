// Dead letters that nobody could take just now: their queue keeps them and tries again, where its settings ask for delivery at least
// once. RabbitMQ docs "Quorum Queues", "At-Least-Once Dead Lettering". Owned by discards.ts.
import { Alarm } from './alarm'
import type { Clock } from './clock'
import type { Ticket } from './core-api'
import type { DeathReason } from './dead-letter'

/** From one attempt to the next. */
const RETRY_MS = 1000
/** About, of one. */
const HELD_BYTES = 80

export interface Untaken {
  ticket: Ticket
  reason: DeathReason
  bodyBytes: number
}

export class UntakenLetters {
  bodyBytes = 0
  private letters: Untaken[] = []
  private readonly alarm: Alarm

  constructor(
    private readonly clock: Clock,
    onRetry: () => void,
  ) {
    this.alarm = new Alarm(clock, onRetry)
  }

  get count(): number {
    return this.letters.length
  }

  add(letter: Untaken): void {
    this.letters.push(letter)
    this.bodyBytes += letter.bodyBytes
    this.retryLater()
  }

  retryLater(): void {
    if (this.letters.length > 0) this.alarm.set(this.clock.now() + RETRY_MS)
  }

  /** The oldest, out of here. */
  take(most: number): Untaken[] {
    const taken = this.letters.splice(0, most)
    for (const { bodyBytes } of taken) this.bodyBytes -= bodyBytes
    return taken
  }

  get heldBytes(): number {
    return this.letters.length * HELD_BYTES
  }

  stop(): void {
    this.alarm.stop()
  }
}
