// The frame parser where it is asked to end, to wait, or to hold what a peer announces: at every frame, however cut.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { FrameParser, type FrameSink } from './frame-parser'
import { frame } from './method-codec'

const FRAME_MAX = 4096
const FRAMES = [
  frame(1, 1, Buffer.from([0, 60, 0, 40, 1, 2])),
  frame(2, 1, Buffer.from('header')),
  frame(3, 1, Buffer.from('body')),
  frame(3, 1, Buffer.alloc(0)),
  frame(8, 0, Buffer.alloc(0)),
  frame(3, 2, Buffer.alloc(300, 'x')),
]
const STREAM = Buffer.concat(FRAMES)

/** Counts frames, keeps their bytes, and does as told at each. */
class Counter implements FrameSink {
  readonly told: string[] = []
  atFrame: (count: number) => void = () => {}

  onMethod(channel: number, id: number, buf: Buffer, start: number, end: number): void {
    this.tell(`method ${channel} ${id} ${buf.toString('hex', start, end)}`)
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
    this.atFrame(this.told.length)
  }
}

function parserFor(frameMax = FRAME_MAX) {
  const sink = new Counter()
  return { sink, parser: new FrameParser(sink, frameMax) }
}

function toldOf(bytes: Buffer): string[] {
  const { sink, parser } = parserFor()
  parser.push(bytes)
  return sink.told
}

const ALL = toldOf(STREAM)

function pushCut(parser: FrameParser, bytes: Buffer, at: number): void {
  parser.push(bytes.subarray(0, at))
  parser.push(bytes.subarray(at))
}

describe('a sink that ends it', () => {
  const ends: [how: string, end: (parser: FrameParser) => void][] = [
    ['stop()', (parser) => parser.stop()],
    ['stopped', (parser) => Object.assign(parser, { stopped: true })],
    [
      'pause(), then stop()',
      (parser) => {
        parser.pause()
        parser.stop()
      },
    ],
  ]

  it.each(ends)('by %s at any frame, cut anywhere, gets no frame more', (_how, end) => {
    for (let last = 1; last <= FRAMES.length; last++) {
      for (let at = 0; at <= STREAM.length; at++) {
        const { sink, parser } = parserFor()
        sink.atFrame = (count) => {
          if (count === last) end(parser)
        }
        pushCut(parser, STREAM, at)
        parser.push(STREAM)
        parser.resume()
        if (sink.told.join() !== ALL.slice(0, last).join()) throw new Error(`frame ${last}, cut at ${at}`)
      }
    }
  })

  it('has a parser as new after reset, wherever it ended', () => {
    for (let at = 0; at <= STREAM.length; at++) {
      const { sink, parser } = parserFor()
      parser.push(STREAM.subarray(0, at))
      parser.pause()
      parser.push(STREAM.subarray(at))
      parser.stop()
      parser.reset()
      sink.told.length = 0
      parser.push(STREAM)
      expect(sink.told).toEqual(ALL)
    }
  })

  it('by an error leaves the parser able to stop', () => {
    const { sink, parser } = parserFor()
    sink.atFrame = () => {
      throw new Error('the sink has had enough')
    }
    expect(() => parser.push(STREAM)).toThrow('the sink has had enough')
    parser.stop()
    parser.push(STREAM)
    expect(sink.told).toHaveLength(1)
  })
})

describe('a sink that pauses now and then', () => {
  it('gets every frame once, in order, whenever it pauses and however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(STREAM.length), { maxLength: 8 }),
        fc.uniqueArray(fc.integer({ min: 1, max: FRAMES.length }), { maxLength: FRAMES.length }),
        fc.array(fc.boolean(), { maxLength: 9 }),
        (cuts, pauses, resumesAfterChunk) => {
          const { sink, parser } = parserFor()
          sink.atFrame = (count) => {
            if (pauses.includes(count)) parser.pause()
          }
          const ends = [...cuts.sort((a, b) => a - b), STREAM.length]
          ends.forEach((end, i) => {
            parser.push(Buffer.from(STREAM.subarray(ends[i - 1] ?? 0, end)))
            if (resumesAfterChunk[i]) parser.resume()
          })
          for (let i = 0; i <= FRAMES.length; i++) parser.resume()
          expect(sink.told).toEqual(ALL)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('frame-max that sinks', () => {
  const small = frame(3, 1, Buffer.alloc(10))
  const large = frame(3, 1, Buffer.alloc(100))

  it('holds from the next frame on, in one chunk or cut anywhere', () => {
    const bytes = Buffer.concat([small, large])
    for (let at = 0; at <= bytes.length; at++) {
      const { sink, parser } = parserFor()
      sink.atFrame = () => {
        parser.frameMax = 64
      }
      expect(() => pushCut(parser, bytes, at)).toThrow('{frame_too_large,100,56}')
      expect(sink.told).toHaveLength(1)
    }
  })

  it('does not take back a frame whose size was allowed', () => {
    const { sink, parser } = parserFor()
    parser.push(large.subarray(0, 50))
    parser.frameMax = 64
    parser.push(large.subarray(50))
    expect(sink.told).toHaveLength(1)
  })

  it('is looked at when the size is known, not before', () => {
    const { parser } = parserFor()
    parser.push(large.subarray(0, 6))
    parser.frameMax = 64
    expect(() => parser.push(large.subarray(6))).toThrow('{frame_too_large,100,56}')
  })
})

describe('what a peer announces and does not send', () => {
  const MIB = 1024 * 1024
  const COUNT = 20
  const announced = frame(3, 1, Buffer.alloc(MIB - 8))
  const heldBy = (push: (parser: FrameParser) => void) => {
    const parsers = Array.from({ length: COUNT }, () => parserFor(MIB).parser)
    const before = process.memoryUsage().arrayBuffers
    for (const parser of parsers) push(parser)
    const held = process.memoryUsage().arrayBuffers - before
    for (const parser of parsers) parser.stop() // until here they are held
    return held
  }

  it('holds at most frame-max when its head and one byte are there', () => {
    expect(heldBy((parser) => parser.push(announced.subarray(0, 8)))).toBeLessThan((COUNT + 2) * MIB)
  })

  it('holds at most frame-max when the bytes come one by one', () => {
    const push = (parser: FrameParser) => {
      for (let at = 0; at < 200; at++) parser.push(announced.subarray(at, at + 1))
    }
    expect(heldBy(push)).toBeLessThan((COUNT + 2) * MIB)
  })

  it('holds next to nothing before its size is there', () => {
    expect(heldBy((parser) => parser.push(announced.subarray(0, 6)))).toBeLessThan(MIB)
  })

  it('is let go by stop, though the sink paused with more to come', () => {
    const { sink, parser } = parserFor(MIB)
    sink.atFrame = () => {
      parser.pause()
      parser.stop()
    }
    parser.push(Buffer.concat([FRAMES[0], announced]))
    expect(parser).toMatchObject({ waiting: [], carried: 0 }) // seen from outside, a stopped parser is silent either way
  })

  it('holds nothing when the size is over frame-max', () => {
    const push = (parser: FrameParser) => {
      const over = Buffer.from([3, 0, 1, 0xff, 0xff, 0xff, 0xff, 0])
      expect(() => parser.push(over)).toThrow('frame_too_large')
    }
    expect(heldBy(push)).toBeLessThan(MIB)
  })
})
