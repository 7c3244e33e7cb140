import { describe, expect, it } from '@jest/globals'
import { availableMemoryBytes } from './memory-size'

const version2 = '/sys/fs/cgroup/memory.max'
const version1 = '/sys/fs/cgroup/memory/memory.limit_in_bytes'

function available(files: Record<string, string>): number {
  return availableMemoryBytes((path) => files[path] ?? '', 1000)
}

describe('the memory this process may use', () => {
  it.each([
    ['the machine without control groups', {}, 1000],
    ['a limit of version 2', { [version2]: '600\n' }, 600],
    ['a limit of version 1', { [version1]: '500\n' }, 500],
    ['no limit in version 2', { [version2]: 'max\n' }, 1000],
    ['no limit in version 1', { [version1]: '9223372036854771712\n' }, 1000],
    ['a file that says something else', { [version2]: 'unknown' }, 1000],
  ])('is that of %s', (_, files, bytes) => {
    expect(available(files)).toBe(bytes)
  })

  it('is found on this machine', () => {
    expect(availableMemoryBytes()).toBeGreaterThan(1_000_000)
  })
})
