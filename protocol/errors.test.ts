// Texts of refusals: the name in front, never over what a short string holds, never half a character.
import { describe, expect, it } from '@jest/globals'
import { ReplyCode, replyName } from './constants'
import { ChannelError, ConnectionError, ProtocolError } from './errors'
import { M } from './spec'

describe('protocol errors', () => {
  it('carry code, text and method', () => {
    const error = new ChannelError(ReplyCode.NOT_FOUND, "no queue 'q' in vhost '/'", M.queueDeclare)
    expect(error).toMatchObject({ replyCode: 404, text: "NOT_FOUND - no queue 'q' in vhost '/'", methodId: 0x32000a })
    expect(error).toBeInstanceOf(ProtocolError)
    expect(error).not.toBeInstanceOf(ConnectionError)
    expect(new ConnectionError(ReplyCode.FRAME_ERROR, 'x').methodId).toBe(0)
  })

  it.each([
    { detail: 'x'.repeat(300), bytes: 255 },
    { detail: `${'x'.repeat(240)}é`, bytes: 254 }, // NOT_FOUND and its dash are 12 bytes
    { detail: `${'x'.repeat(242)}é`, bytes: 254 },
    { detail: `${'x'.repeat(241)}é`, bytes: 255 },
    { detail: `${'x'.repeat(241)}€`, bytes: 253 },
    { detail: `${'x'.repeat(240)}😀`, bytes: 252 },
    { detail: `${'x'.repeat(239)}😀`, bytes: 255 },
  ])('a text that would end at an odd place is $bytes bytes', ({ detail, bytes }) => {
    const { text } = new ChannelError(ReplyCode.NOT_FOUND, detail)
    expect(Buffer.byteLength(text)).toBe(bytes)
    expect(text).not.toContain('\ufffd')
  })

  it.each(Object.entries(ReplyCode))('%s', (name, code) => expect(replyName(code)).toBe(name))
})
