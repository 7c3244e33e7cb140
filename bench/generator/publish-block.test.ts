import { describe, expect, it } from '@jest/globals'
import { type PublishArgs, readPublish } from '../../protocol/basic-codec'
import { FrameParser, type FrameSink } from '../../protocol/frame-parser'
import { decodeProperties } from '../../protocol/properties'
import { M } from '../../protocol/spec'
import { readNumber, readSentAt, readStream } from './body-stamp'
import { type BlockMessage, PublishBlock } from './publish-block'

interface Published {
  exchange: string
  routingKey: string
  deliveryMode: number | undefined
  announcedSize: number
  bodyFrames: Buffer[]
}

/** What a broker would read. */
class Reader implements FrameSink {
  readonly messages: Published[] = []

  onMethod(channel: number, methodId: number, buf: Buffer, start: number, end: number): void {
    expect([channel, methodId]).toEqual([1, M.basicPublish])
    const args = {} as PublishArgs
    readPublish(buf, start, end, args)
    this.messages.push({
      exchange: buf.toString('utf8', args.exchangeStart, args.exchangeEnd),
      routingKey: buf.toString('utf8', args.routingKeyStart, args.routingKeyEnd),
      deliveryMode: undefined,
      announcedSize: -1,
      bodyFrames: [],
    })
  }

  onHeader(_channel: number, buf: Buffer, start: number, end: number): void {
    const message = this.messages[this.messages.length - 1]
    message.announcedSize = Number(buf.readBigUInt64BE(start + 4))
    message.deliveryMode = decodeProperties(buf, start + propertiesOffset, end).deliveryMode
  }

  onBody(_channel: number, buf: Buffer, start: number, end: number): void {
    this.messages[this.messages.length - 1].bodyFrames.push(Buffer.from(buf.subarray(start, end)))
  }

  onHeartbeat(): void {}
}

const frameMax = 4096
const propertiesOffset = 12 // behind class, weight and body size
const message: BlockMessage = { exchange: 'x', routingKey: 'key', stream: 3, bodyBytes: 16, persistent: false }

function read(bytes: Buffer): Published[] {
  const reader = new Reader()
  new FrameParser(reader, frameMax).push(bytes)
  return reader.messages
}

describe('PublishBlock', () => {
  it('is what protocol/ reads as publishes, numbered one after the other', () => {
    const block = new PublishBlock(message, frameMax, 1000)
    const messages = read(block.fill(70_000, block.capacity, 12.5))
    expect(messages).toHaveLength(block.capacity)
    messages.forEach((published, i) => {
      expect(published).toMatchObject({ exchange: 'x', routingKey: 'key', deliveryMode: 1, announcedSize: 16 })
      const [body] = published.bodyFrames
      expect([readStream(body, 0), readNumber(body, 0), readSentAt(body, 0)]).toEqual([3, 70_000 + i, 12.5])
    })
  })

  it('gives as many as asked, and is numbered anew when used again', () => {
    const block = new PublishBlock(message, frameMax, 1000)
    block.fill(0, block.capacity, 0)
    const messages = read(block.fill(5, 2, 0))
    expect(messages.map(({ bodyFrames: [body] }) => readNumber(body, 0))).toEqual([5, 6])
  })

  it.each([0, 1, 7, 8, 15])('carries no more of the stamp than fits in %d bytes', (bodyBytes) => {
    const block = new PublishBlock({ ...message, bodyBytes }, frameMax, 500)
    for (const published of read(block.fill(1, block.capacity, 1))) {
      expect(published.announcedSize).toBe(bodyBytes)
      expect(Buffer.concat(published.bodyFrames)).toHaveLength(bodyBytes)
    }
  })

  it('spreads a large body over frames and holds at least one message', () => {
    const block = new PublishBlock({ ...message, bodyBytes: 10_000, persistent: true }, frameMax, 100)
    expect(block.capacity).toBe(1)
    const [published] = read(block.fill(9, 1, 0))
    expect(published.deliveryMode).toBe(2)
    expect(published.bodyFrames.map((frame) => frame.length)).toEqual([4088, 4088, 1824])
    expect(readNumber(published.bodyFrames[0], 0)).toBe(9)
  })
})
