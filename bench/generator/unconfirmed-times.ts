// When each unconfirmed message left, by delivery tag (1, 2, 3 … per channel), in a ring; turns confirms into latencies.
import type { LatencyHistogram } from '../histogram'

export class UnconfirmedTimes {
  private readonly sentUs: Float64Array // 0: settled
  private readonly mask: number
  private lowest = 1 // tag; all below are settled
  private next = 1

  /** `window`: how many tags may lie between the lowest unsettled and the newest. */
  constructor(window: number) {
    const size = 2 ** Math.ceil(Math.log2(window + 1))
    this.sentUs = new Float64Array(size)
    this.mask = size - 1
  }

  /** From the lowest unsettled tag to the newest: the room that the ring needs, and the window that is in use. */
  get span(): number {
    return this.next - this.lowest
  }

  add(count: number, nowUs: number): void {
    for (let i = 0; i < count; i++) this.sentUs[this.next++ & this.mask] = nowUs
  }

  /** How many were settled by this: 0 when it was already. */
  settle(tag: number, nowUs: number, latency: LatencyHistogram): number {
    const settled = this.settleOne(tag, nowUs, latency)
    while (this.lowest < this.next && this.sentUs[this.lowest & this.mask] === 0) this.lowest++
    return settled
  }

  settleUpTo(tag: number, nowUs: number, latency: LatencyHistogram): number {
    let settled = 0
    while (this.lowest < this.next && this.lowest <= tag) {
      settled += this.settleOne(this.lowest, nowUs, latency)
      this.lowest++
    }
    return settled
  }

  private settleOne(tag: number, nowUs: number, latency: LatencyHistogram): number {
    const slot = tag & this.mask
    if (tag < this.lowest || tag >= this.next || this.sentUs[slot] === 0) return 0
    latency.record(nowUs - this.sentUs[slot])
    this.sentUs[slot] = 0
    return 1
  }
}
