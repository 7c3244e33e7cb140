// The life of a queue with x-expires: it is deleted when for so long nobody has consumed from it, got from it or declared it again.
// RabbitMQ docs "Time-To-Live and Expiration", "Queue TTL".
import type { Clock, Timer } from './clock'

/** A timer bears no more than 2^31 ms. */
const TIMER_MS_MAX = 86_400_000

export class Lease {
  private usedAt: number
  private timer: Timer | null = null

  constructor(
    private readonly ms: number,
    private readonly clock: Clock,
    private readonly isInUse: () => boolean,
    private readonly onExpired: () => void,
  ) {
    this.usedAt = clock.now()
    this.arm(ms)
  }

  renew(): void {
    this.usedAt = this.clock.now()
  }

  stop(): void {
    this.timer?.cancel()
  }

  private arm(ms: number): void {
    this.timer = this.clock.after(Math.min(ms, TIMER_MS_MAX), () => this.look())
  }

  private look(): void {
    if (this.isInUse()) this.renew()
    const left = this.usedAt + this.ms - this.clock.now()
    if (left > 0) this.arm(left)
    else this.onExpired()
  }
}
