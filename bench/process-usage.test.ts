import { describe, expect, it } from '@jest/globals'
import { cpuSecondsOf, memoryOf, readUsage } from './process-usage'

describe('process usage', () => {
  it('finds user and system time behind a command name with spaces and brackets', () => {
    const stat = '42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 11 0 12345 1000 200'
    expect(cpuSecondsOf(stat)).toBe(3)
  })

  it('reads resident memory and its peak', () => {
    const status = 'Name:\tnode\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n'
    expect(memoryOf(status)).toEqual({ rssBytes: 1024 * 1024, rssPeakBytes: 2 * 1024 * 1024 })
  })

  it('has nothing to say of no process, or one that is gone', () => {
    expect(readUsage(null)).toBeNull()
    expect(readUsage(2 ** 30)).toBeNull()
  })
})
