import { PassThrough } from 'node:stream'
import { describe, expect, it } from '@jest/globals'
import { FrameParser } from '../../protocol/frame-parser'
import { decodeMethod } from '../../protocol/method-codec'
import { AckWriter } from './ack-writer'

type Ack = [tag: number, multiple: boolean]

/** The acks that were written, per write. */
function written(use: (out: PassThrough) => void): Ack[][] {
  const out = new PassThrough({ objectMode: true })
  use(out)
  const writes: Ack[][] = []
  for (let chunk = out.read(); chunk !== null; chunk = out.read()) writes.push(acksIn(chunk))
  return writes
}

function acksIn(chunk: Buffer): Ack[] {
  const acks: Ack[] = []
  const ignore = (): void => {}
  const onMethod = (_channel: number, id: number, buf: Buffer, start: number, end: number): void => {
    const { args } = decodeMethod(id, buf, start, end) as { args: { deliveryTag: number; multiple: boolean } }
    acks.push([args.deliveryTag, args.multiple])
  }
  new FrameParser({ onMethod, onHeader: ignore, onBody: ignore, onHeartbeat: ignore }, 4096).push(chunk)
  return acks
}

describe('AckWriter', () => {
  it('acknowledges single deliveries one by one, in one write', () => {
    const writes = written((out) => {
      const acks = new AckWriter(out, 1, 1)
      acks.writeUpTo(3)
      acks.writeUpTo(3)
      acks.writeUpTo(4)
    })
    expect(writes).toEqual([
      [
        [1, false],
        [2, false],
        [3, false],
      ],
      [[4, false]],
    ])
  })

  it('acknowledges several at once, and the rest at the end', () => {
    const writes = written((out) => {
      const acks = new AckWriter(out, 1, 50)
      acks.writeUpTo(49)
      acks.writeUpTo(120)
      acks.writeRest(120)
      acks.writeRest(120)
    })
    expect(writes).toEqual([
      [
        [50, true],
        [100, true],
      ],
      [[120, true]],
    ])
  })

  it('never acknowledges for a no-ack consumer', () => {
    const writes = written((out) => {
      const acks = new AckWriter(out, 1, 0)
      acks.writeUpTo(1000)
      acks.writeRest(1000)
    })
    expect(writes).toEqual([])
  })
})
