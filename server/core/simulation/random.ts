// Random numbers from a seed, so that a failing run can be had again.

export class Random {
  constructor(private state: number) {}

  /** 0 to below `n`. (mulberry32) */
  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x100000000) * n)
  }

  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]
  }

  some<T>(items: readonly T[]): T[] {
    return items.filter(() => this.chance(50))
  }
}
