import { describe, expect, it } from '@jest/globals'
import { RecoveryProgress } from './recovery-progress'

describe('progress of a recovery', () => {
  /** Each entry takes `ms`. */
  function run(entries: number, ms: number): string[] {
    const lines: string[] = []
    let now = 0
    const first = 1001
    const progress = new RecoveryProgress(
      first + entries - 1,
      () => now,
      (line) => lines.push(line),
    )
    for (let pass = 1; pass <= 2; pass++) {
      if (pass === 2) progress.onSecondPass()
      for (let i = 0; i < entries; i++) {
        now += ms
        progress.onEntry(first + i)
      }
    }
    return lines
  }

  it('is not worth a line when it is quick', () => {
    expect(run(10_000, 0.04)).toEqual([])
  })

  it('is told after a second, then every five', () => {
    expect(run(10_240, 1)).toEqual([
      'Recovering: 1,024 of 10,240 log entries (10 %), first of two readings',
      'Recovering: 6,144 of 10,240 log entries (60 %), first of two readings',
      'Recovering: 1,024 of 10,240 log entries (10 %), second of two readings',
      'Recovering: 6,144 of 10,240 log entries (60 %), second of two readings',
    ])
  })
})
