// Buffers that are used again, and let go when nobody wants them.
import { describe, expect, it } from '@jest/globals'
import { BufferPool } from './buffer-pool'

const KiB = 1024
const MiB = 1024 * KiB

describe('a pool of buffers', () => {
  it.each([
    [0, 32],
    [1, 32],
    [32, 32],
    [33, 34],
    [1000, 1024],
    [1024, 1024],
    [1025, 1024 + 64],
    [64 * KiB, 64 * KiB],
    [64 * KiB + 1, 68 * KiB],
    [100_000, 100 * KiB],
    [256 * KiB, 256 * KiB],
    [MiB + 60, 1088 * KiB],
    [16 * MiB - 1, 16 * MiB],
    [16 * MiB + 1, 17 * MiB],
    [512 * MiB, 512 * MiB],
  ])('gives for %i bytes %i', (bytes, size) => expect(new BufferPool().take(bytes)).toHaveLength(size))

  it('gives the same again', () => {
    const pool = new BufferPool()
    const one = pool.take(100_000)
    const other = pool.take(100_000)
    expect(other).not.toBe(one)
    pool.give(one)
    expect(pool.keptBytes).toBe(one.length)
    expect(pool.take(101_000)).toBe(one)
    expect(pool.keptBytes).toBe(0)
    expect(pool.take(100_000)).not.toBe(one)
  })

  it('keeps 16 MiB at most', () => {
    const pool = new BufferPool()
    const buffers = Array.from({ length: 5 }, () => pool.take(8 * MiB))
    for (const buffer of buffers) pool.give(buffer)
    expect(pool.keptBytes).toBe(16 * MiB)
  })

  it('lets go of what nobody wanted since the last trim', () => {
    const pool = new BufferPool()
    const [one, two, three] = [pool.take(MiB), pool.take(MiB), pool.take(MiB)]
    for (const buffer of [one, two, three]) pool.give(buffer)
    pool.trim() // from now on
    expect(pool.keptBytes).toBe(3 * MiB)
    pool.give(pool.take(MiB))
    pool.trim()
    expect(pool.keptBytes).toBe(MiB)
    pool.trim()
    expect(pool.keptBytes).toBe(0)
    expect(pool.take(MiB)).toHaveLength(MiB)
  })
})
