// Frames out of a byte stream, however it is cut; and what is no frame.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { ConnectionError } from './errors'
import { FrameParser, type FrameSink } from './frame-parser'
import { frame } from './method-codec'

const FRAME_MAX = 4096

/** Keeps what it is told as text: ranges are valid only during the call. */
class Recorder implements FrameSink {
  readonly told: string[] = []
  onTold: () => void = () => {}

  onMethod(channel: number, methodId: number, buf: Buffer, start: number, end: number): void {
    this.tell(`method ${channel} ${methodId >>> 16}.${methodId & 0xffff} ${buf.toString('hex', start, end)}`)
  }
  onHeader(channel: number, buf: Buffer, start: number, end: number): void {
    this.tell(`header ${channel} ${buf.toString('hex', start, end)}`)
  }
  onBody(channel: number, buf: Buffer, start: number, end: number): void {
    this.tell(`body ${channel} ${buf.toString('hex', start, end)}`)
  }
  onHeartbeat(channel: number): void {
    this.tell(`heartbeat ${channel}`)
  }
  private tell(what: string): void {
    this.told.push(what)
    this.onTold()
  }
}

function parserFor(frameMax = FRAME_MAX) {
  const sink = new Recorder()
  return { sink, parser: new FrameParser(sink, frameMax) }
}

function parsed(chunks: Buffer[]): string[] {
  const { sink, parser } = parserFor()
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk)
    parser.push(lent)
    lent.fill(0xee) // the chunk is the caller's again
  }
  return sink.told
}

function refusal(act: () => void): ConnectionError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(ConnectionError)
    return error as ConnectionError
  }
  throw new Error('not refused')
}

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')

const whole: { bytes: string; told: string }[] = [
  { bytes: '01 0001 00000004 003c000a ce', told: 'method 1 60.10 ' },
  { bytes: '01 0001 00000006 003c000a abcd ce', told: 'method 1 60.10 abcd' },
  { bytes: '01 ffff 00000004 ffffffff ce', told: 'method 65535 65535.65535 ' },
  { bytes: '02 0102 00000003 010203 ce', told: 'header 258 010203' },
  { bytes: '03 0001 00000001 ce ce', told: 'body 1 ce' },
  { bytes: '03 0001 00000000 ce', told: 'body 1 ' },
  { bytes: '08 0000 00000000 ce', told: 'heartbeat 0' },
  { bytes: '08 0007 00000002 0000 ce', told: 'heartbeat 7' },
]
const stream = Buffer.concat(whole.map(({ bytes }) => hex(bytes)))
const streamTold = whole.map(({ told }) => told)

describe('whole frames', () => {
  it.each(whole)('$bytes', ({ bytes, told }) => expect(parsed([hex(bytes)])).toEqual([told]))
  it('many in one chunk', () => expect(parsed([stream])).toEqual(streamTold))
  it('an empty chunk is nothing', () => expect(parsed([Buffer.alloc(0), stream, Buffer.alloc(0)])).toEqual(streamTold))

  it('are handed out in place', () => {
    const chunk = frame(3, 1, Buffer.from('abc'))
    const seen: unknown[] = []
    const nothing = () => {}
    const onBody: FrameSink['onBody'] = (_channel, buf, start, end) => seen.push(buf === chunk, start, end)
    new FrameParser({ onMethod: nothing, onHeader: nothing, onBody, onHeartbeat: nothing }, FRAME_MAX).push(chunk)
    expect(seen).toEqual([true, 7, 10])
  })
})

describe('frames cut anywhere', () => {
  it('into two chunks', () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(parsed([stream.subarray(0, at), stream.subarray(at)])).toEqual(streamTold)
    }
  })

  it('into three chunks', () => {
    for (let a = 0; a <= stream.length; a++) {
      for (let b = a; b <= stream.length; b++) {
        const told = parsed([stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)])
        if (told.join() !== streamTold.join()) throw new Error(`cut at ${a} and ${b}: ${told.join()}`)
      }
    }
  })

  it('into single bytes', () => {
    expect(parsed(Array.from(stream, (byte) => Buffer.from([byte])))).toEqual(streamTold)
  })

  it('any frames, any cuts', () => {
    const anyFrame = fc
      .record({ type: fc.constantFrom(2, 3), channel: fc.nat(65535), payload: fc.uint8Array({ maxLength: 300 }) })
      .map(({ type, channel, payload }) => frame(type, channel, Buffer.from(payload)))
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(3000)), (frames, cuts) => {
        const bytes = Buffer.concat(frames)
        expect(parsed(cutAt(bytes, cuts))).toEqual(frames.flatMap((one) => parsed([one])))
      }),
    )
  })
})

describe('a large body frame, for a sink that takes parts', () => {
  const payload = Buffer.from(Array.from({ length: 6000 }, (_, i) => i % 251))
  const bytes = Buffer.concat([frame(3, 0x0102, payload), hex('08 0000 00000000 ce')])
  const endAt = bytes.length - 9

  /** Parts are told as what they bring together; `whole` once the frame was. */
  class PartRecorder extends Recorder {
    parts: Buffer[] = []
    onPart: () => void = () => {}
    onBodyPart(_channel: number, buf: Buffer, start: number, end: number, left: number): void {
      this.parts.push(Buffer.from(buf.subarray(start, end)))
      expect(this.parts.reduce((sum, part) => sum + part.length, left)).toBe(payload.length)
      this.onPart()
    }
    override onBody(channel: number, buf: Buffer, start: number, end: number): void {
      const isSame = Buffer.concat([...this.parts, buf.subarray(start, end)]).equals(payload)
      this.told.push(`body ${channel} ${isSame ? 'as sent' : 'changed'}`)
    }
  }
  const told = ['body 258 as sent', 'heartbeat 0']

  function partsParser() {
    const sink = new PartRecorder()
    return { sink, parser: new FrameParser(sink, 8192) }
  }

  it('is the same however it is cut in three', () => {
    const places = [0, 1, 6, 7, 8, 9, 4102, 4103, 4104, endAt - 2, endAt - 1, endAt, endAt + 1, endAt + 2, bytes.length]
    for (const a of places) {
      for (const b of places.filter((place) => place >= a)) {
        const { sink, parser } = partsParser()
        for (const chunk of [bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)]) {
          const lent = Buffer.from(chunk)
          parser.push(lent)
          lent.fill(0xee)
        }
        if (sink.told.join() !== told.join()) throw new Error(`cut at ${a} and ${b}: ${sink.told.join()}`)
      }
    }
  })

  it('is the same in single bytes, and whole only with its end', () => {
    const { sink, parser } = partsParser()
    for (const [i, byte] of bytes.entries()) {
      parser.push(Buffer.from([byte]))
      expect(sink.told).toHaveLength(i < endAt ? 0 : i < bytes.length - 1 ? 1 : 2)
    }
    expect(sink.told).toEqual(told)
  })

  it.each([10, 5000, endAt - 1, endAt])('with a wrong end is refused and never whole, cut at %d', (at) => {
    const broken = Buffer.from(bytes)
    broken[endAt] = 0xcd
    const { sink, parser } = partsParser()
    const error = refusal(() => {
      parser.push(broken.subarray(0, at))
      parser.push(broken.subarray(at))
    })
    expect(error.text).toBe('FRAME_ERROR - type 3, all octets = <<>>: {invalid_frame_end_marker,205}')
    expect(sink.told).toEqual([])
  })

  it('may pause the parser in between', () => {
    const { sink, parser } = partsParser()
    sink.onPart = () => parser.pause()
    parser.push(bytes.subarray(0, 3000))
    parser.push(bytes.subarray(3000, 5000))
    parser.push(bytes.subarray(5000))
    expect(sink.parts).toHaveLength(1)
    for (let i = 0; i < 2; i++) parser.resume()
    expect(sink.told).toEqual(told)
  })

  it('of which a part was too much is forgotten', () => {
    const { sink, parser } = partsParser()
    sink.onPart = () => parser.stop()
    parser.push(bytes.subarray(0, 3000))
    parser.push(bytes.subarray(3000))
    expect(sink.told).toEqual([])
    parser.reset()
    sink.onPart = () => {}
    sink.parts = []
    parser.push(bytes)
    expect(sink.told).toEqual(told)
  })
})

function cutAt(bytes: Buffer, cuts: number[]): Buffer[] {
  const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end))
}

const broken: { what: string; bytes: string; text: string }[] = [
  { what: 'type 0', bytes: '00 0001 00000000 ce', text: 'type 0, all octets = <<>>: unknown_frame' },
  { what: 'type 4', bytes: '04 0001 00000000 ce', text: 'type 4, all octets = <<>>: unknown_frame' },
  { what: 'type 7', bytes: '07 0001 00000000 ce', text: 'type 7, all octets = <<>>: unknown_frame' },
  { what: 'type 255', bytes: 'ff 0001 00000000 ce', text: 'type 255, all octets = <<>>: unknown_frame' },
  { what: 'HTTP', bytes: '474554202f20485454502f312e310d0a', text: 'type 71, all octets = <<>>: unknown_frame' },
  {
    what: 'a wrong end',
    bytes: '03 0001 00000001 41 cd',
    text: 'type 3, all octets = <<>>: {invalid_frame_end_marker,205}',
  },
  {
    what: 'a size one too large',
    bytes: '03 0001 00001001',
    text: 'type 3, all octets = <<>>: {frame_too_large,4097,4088}',
  },
  {
    what: 'the largest size',
    bytes: '02 0001 ffffffff',
    text: 'type 2, all octets = <<>>: {frame_too_large,4294967295,4088}',
  },
  { what: 'a method without ids', bytes: '01 0001 00000000 ce', text: 'type 1, all octets = <<>>: unknown_frame' },
  {
    what: 'a method with half its ids',
    bytes: '01 0001 00000003 003c00 ce',
    text: 'type 1, all octets = <<>>: unknown_frame',
  },
]

describe('what is no frame', () => {
  it.each(broken)('$what is refused, however it is cut', ({ bytes, text }) => {
    const all = hex(bytes)
    for (let at = 0; at <= all.length; at++) {
      const { sink, parser } = parserFor()
      const error = refusal(() => {
        parser.push(all.subarray(0, at))
        parser.push(all.subarray(at))
      })
      expect(error).toMatchObject({ replyCode: 501, text: `FRAME_ERROR - ${text}` })
      expect(sink.told).toEqual([])
    }
  })

  it('does not take back the frames before it', () => {
    const { sink, parser } = parserFor()
    refusal(() => parser.push(Buffer.concat([stream, hex('00')])))
    expect(sink.told).toEqual(streamTold)
  })

  it('an unknown type is known by its first byte', () => {
    expect(refusal(() => parserFor().parser.push(hex('47'))).text).toMatch(/type 71/)
  })

  it('never gets past 501 with any bytes at all', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (chunks) => {
        const { parser } = parserFor()
        try {
          for (const chunk of chunks) parser.push(Buffer.from(chunk))
        } catch (error) {
          expect(error).toMatchObject({ replyCode: 501 })
        }
      }),
    )
  })
})

describe('frame-max', () => {
  it('a frame of exactly that size is taken', () => {
    const bytes = frame(3, 1, Buffer.alloc(FRAME_MAX - 8, 'x'))
    expect(bytes.length).toBe(FRAME_MAX)
    expect(parsed([bytes])).toHaveLength(1)
    expect(parsed([bytes.subarray(0, 9), bytes.subarray(9)])).toHaveLength(1)
  })

  it('may change between frames', () => {
    const { sink, parser } = parserFor()
    sink.onTold = () => {
      parser.frameMax = 8192
    }
    parser.push(Buffer.concat([frame(3, 1, Buffer.alloc(10)), frame(3, 1, Buffer.alloc(8000))]))
    expect(sink.told).toHaveLength(2)
  })

  it('bounds what an unfinished frame holds', () => {
    const { parser } = parserFor(128 * 1024)
    const unfinished = frame(3, 1, Buffer.alloc(128 * 1024 - 8)).subarray(0, -1)
    const before = process.memoryUsage().arrayBuffers
    for (let at = 0; at < unfinished.length; at += 10) parser.push(unfinished.subarray(at, at + 10))
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 128 * 1024)
  })

  it('a large frame in single bytes copies each byte once', () => {
    const { sink, parser } = parserFor(8 * 1024 * 1024)
    const bytes = frame(3, 1, Buffer.alloc(2 * 1024 * 1024))
    let copied = 0
    const counted = (chunk: Buffer) => {
      chunk.copy = (...args: Parameters<Buffer['copy']>) => {
        const count = Buffer.prototype.copy.apply(chunk, args)
        copied += count
        return count
      }
      return chunk
    }
    for (let at = 0; at < bytes.length; at += 1021) parser.push(counted(bytes.subarray(at, at + 1021)))
    expect(sink.told).toHaveLength(1)
    expect(copied).toBe(bytes.length)
  })
})

describe('a sink that pauses', () => {
  const chunkings = [
    [stream],
    Array.from(stream, (byte) => Buffer.from([byte])),
    cutAt(
      stream,
      Array.from({ length: 20 }, (_, i) => i * 5),
    ),
  ]

  it.each(chunkings)('after every frame gets each once, in order', (...chunks) => {
    const { sink, parser } = parserFor()
    sink.onTold = () => parser.pause()
    for (const chunk of chunks) {
      const lent = Buffer.from(chunk)
      parser.push(lent)
      lent.fill(0xee)
    }
    expect(sink.told).toHaveLength(1)
    for (let count = 1; count <= streamTold.length; count++) {
      expect(sink.told).toEqual(streamTold.slice(0, count))
      parser.resume()
    }
    expect(sink.told).toEqual(streamTold)
  })

  it('and resumes within the same frame keeps the order', () => {
    const { sink, parser } = parserFor()
    parser.pause()
    parser.push(stream.subarray(0, 30))
    parser.push(stream.subarray(30))
    sink.onTold = () => {
      parser.pause()
      parser.resume()
    }
    parser.resume()
    expect(sink.told).toEqual(streamTold)
  })

  it('from outside, in the middle of a frame, loses nothing', () => {
    const { sink, parser } = parserFor()
    parser.push(stream.subarray(0, 20))
    const before = sink.told.length
    parser.pause()
    parser.push(stream.subarray(20))
    expect(sink.told).toHaveLength(before)
    parser.resume()
    expect(sink.told).toEqual(streamTold)
  })
})

describe('a sink that stops', () => {
  it('gets nothing more, not even of the same chunk', () => {
    const { sink, parser } = parserFor()
    sink.onTold = () => {
      parser.stopped = true
    }
    parser.push(stream)
    parser.push(stream)
    parser.resume()
    expect(sink.told).toEqual(streamTold.slice(0, 1))
  })

  it('is not told of bytes that are no frames', () => {
    const { sink, parser } = parserFor()
    parser.stop()
    parser.push(hex('474554202f'))
    expect(sink.told).toEqual([])
  })

  it('while frames wait gets none of them', () => {
    const { sink, parser } = parserFor()
    parser.pause()
    parser.push(stream)
    parser.stop()
    parser.resume()
    expect(sink.told).toEqual([])
  })

  it('takes a new stream after reset, from its first byte', () => {
    const { sink, parser } = parserFor()
    parser.push(stream.subarray(0, 5))
    parser.stopped = true
    parser.reset()
    parser.push(stream)
    expect(sink.told).toEqual(streamTold)
  })
})
