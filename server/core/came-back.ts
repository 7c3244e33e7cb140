// Tells a table that is too small from one whose keys come but once: of the keys for which it had no room, how many come again? By
// a bit for each of 131,072 hashes, so about. Used by router.ts.

const BITS = 131_072
/** Keys that are looked at before there is an answer: so many distinct ones would set less than half of the bits. */
const WINDOW = 65_536

export class CameBack {
  private readonly seen = new Uint8Array(BITS / 8)
  private count = 0
  private again = 0

  /** A key pushed another one out. true, once in a while: most of those that do so came before. */
  onPushedOut(hash: number): boolean {
    const bit = hash & (BITS - 1)
    const mask = 1 << (bit & 7)
    if ((this.seen[bit >> 3] & mask) !== 0) this.again++
    this.seen[bit >> 3] |= mask
    if (++this.count < WINDOW) return false
    const isMost = this.again > this.count / 2
    this.seen.fill(0)
    this.count = this.again = 0
    return isMost
  }
}
