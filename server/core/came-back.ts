// Tells a table that is too small from one whose keys come but once: of the keys for which it had no room, how many come again? By
// a bit for each of 131,072 hashes, so about. Used by route-cache.ts.

const BITS = 131_072
/** Keys that are looked at before all are forgotten: so many distinct ones set less than half of the bits, and a fifth of them seem to
 *  have come before. */
const WINDOW = 65_536
/** Of the keys that pushed others out, so many came before: they would be remembered, were there room. */
const SHARE = 1 / 3
/** The least that says anything. */
const AGAIN_MIN = 4096

export class CameBack {
  private readonly seen = new Uint8Array(BITS / 8)
  private count = 0
  private again = 0

  /** A key pushed another one out. true: too many of those that do so came before. */
  onPushedOut(hash: number): boolean {
    const bit = hash & (BITS - 1)
    const mask = 1 << (bit & 7)
    if ((this.seen[bit >> 3] & mask) !== 0) this.again++
    this.seen[bit >> 3] |= mask
    this.count++
    if (this.again >= AGAIN_MIN && this.again > this.count * SHARE) return true
    if (this.count === WINDOW) {
      this.seen.fill(0)
      this.count = this.again = 0
    }
    return false
  }
}
