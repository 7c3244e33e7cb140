import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { crc32, crc32ByTable } from './crc'

describe('crc32', () => {
  it('knows the check value of the algorithm', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926)
    expect(crc32ByTable(Buffer.from('123456789'))).toBe(0xcbf43926)
    expect(crc32(new Uint8Array(0))).toBe(0)
  })

  it('is the same with and without the native one', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => crc32(bytes) === crc32ByTable(bytes)))
  })
})
