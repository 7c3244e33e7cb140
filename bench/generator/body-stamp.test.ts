import { describe, expect, it } from '@jest/globals'
import * as stamp from './body-stamp'

describe('body stamp', () => {
  it.each([0, 1, 255, 65_536, 2 ** 31, 2 ** 32 - 1])('carries %d as stream and as number', (value) => {
    const body = Buffer.alloc(3 + stamp.stampedSize)
    stamp.writeStream(body, 3, value)
    stamp.writeNumber(body, 3, value)
    stamp.writeSentAt(body, 3, 1234567.875)
    expect(stamp.readStream(body, 3)).toBe(value)
    expect(stamp.readNumber(body, 3)).toBe(value)
    expect(stamp.readSentAt(body, 3)).toBe(1234567.875)
  })
})
