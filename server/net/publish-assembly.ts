// Gathers a message from its frames: basic.publish, content header, bodies. A message whole in one chunk, the common case,
// is described by ranges of that chunk and copied by nobody before the store; what the chunk's end cuts is kept here.
// Checks the order of frames; knows the size limit. One per channel.
// Straight from their modules: what index.ts passes on costs a getter a call, 3 % of the per-message lane.
import { type PublishArgs, readPublish } from '../../protocol/basic-codec'
import { ReplyCode } from '../../protocol/constants'
import { ChannelError, ConnectionError, NO_METHOD } from '../../protocol/errors'
import { validateProperties } from '../../protocol/properties'
import { M } from '../../protocol/spec'
import type { BufferPool } from '../../storage/buffer-pool'
import { readWord } from '../../storage/bytes'
import type { IncomingMessage } from '../../storage/message-store'

const BASIC_CLASS = 60
/** Content header: class 2, weight 2, body size 8, then the properties. */
const PROPERTIES_AT = 12
const BODY_START_BYTES = 64 * 1024
const EMPTY = Buffer.alloc(0)

/** Counts for all connections together, see Core.gathered. */
export interface Gathered {
  bytes: number
}

enum Expecting {
  Method,
  Header,
  Body,
}

export class PublishAssembly implements IncomingMessage {
  namesBuf: Buffer = EMPTY
  namesStart = 0
  namesEnd = 0
  headerBuf: Buffer = EMPTY
  headerStart = 0
  headerEnd = 0
  bodyBuf: Buffer = EMPTY
  bodyStart = 0
  bodyEnd = 0
  mandatory = false
  private immediate = false
  private expecting = Expecting.Method
  private bodySize = 0
  /** The ranges point into the chunk being parsed; `keep` copies them before it goes. */
  private isBorrowed = false
  private readonly args = {} as PublishArgs

  /** What `bodyBuf` takes, if it is ours. */
  private heldBytes = 0

  constructor(
    private readonly bodySizeMax: number,
    private readonly gathered: Gathered,
    private readonly buffers: BufferPool,
  ) {}

  /** A message has begun and is not whole yet. */
  get isOpen(): boolean {
    return this.expecting !== Expecting.Method
  }

  onMethod(buf: Buffer, start: number, end: number): void {
    const { args } = this
    readPublish(buf, start, end, args)
    this.namesBuf = buf
    this.namesStart = args.exchangeStart - 1
    this.namesEnd = args.routingKeyEnd
    this.mandatory = args.mandatory
    this.immediate = args.immediate
    this.expecting = Expecting.Header
    this.isBorrowed = true
  }

  /** true: the message is complete (it has no body). */
  onHeader(buf: Buffer, start: number, end: number): boolean {
    if (this.expecting !== Expecting.Header) throw unexpected(this.expecting, 'header')
    if (end - start < PROPERTIES_AT + 2)
      throw new ConnectionError(ReplyCode.SYNTAX_ERROR, 'content header too short', M.basicPublish)
    const classId = (buf[start] << 8) | buf[start + 1]
    if (classId !== BASIC_CLASS) {
      throw new ConnectionError(
        ReplyCode.UNEXPECTED_FRAME,
        `expected content header for class 60, got one for class ${classId} instead`,
        M.basicPublish,
      )
    }
    validateProperties(buf, start + PROPERTIES_AT, end)
    this.headerBuf = buf
    this.headerStart = start
    this.headerEnd = end
    this.isBorrowed = true // anew, when the names came with an earlier chunk
    this.bodySize = readWord(buf, start + 4) * 0x100000000 + readWord(buf, start + 8)
    if (this.heldBytes > 0) this.release()
    this.bodyBuf = EMPTY
    this.bodyStart = 0
    this.bodyEnd = 0
    if (this.bodySize > this.bodySizeMax) throw this.tooLarge()
    if (this.immediate) {
      this.expecting = Expecting.Method
      throw new ConnectionError(ReplyCode.NOT_IMPLEMENTED, 'immediate=true', M.basicPublish)
    }
    this.expecting = this.bodySize === 0 ? Expecting.Method : Expecting.Body
    return this.bodySize === 0
  }

  /** `left`: what is still to come of the same frame. true: the message is complete. */
  onBody(buf: Buffer, start: number, end: number, left = 0): boolean {
    if (this.expecting !== Expecting.Body) throw unexpected(this.expecting, 'body')
    const length = end - start
    const gathered = this.bodyEnd - this.bodyStart
    if (gathered + length + left > this.bodySize) {
      this.expecting = Expecting.Method
      throw new ConnectionError(
        ReplyCode.FRAME_ERROR,
        `body of ${gathered + length + left} bytes is longer than the announced ${this.bodySize}`,
        M.basicPublish,
      )
    }
    if (gathered === 0 && length === this.bodySize) {
      this.bodyBuf = buf
      this.bodyStart = start
      this.bodyEnd = end
    } else this.gather(buf, start, end)
    if (gathered + length < this.bodySize) return false
    this.expecting = Expecting.Method
    return true
  }

  /** A method where content was due. */
  refuseMethod(): never {
    throw unexpected(this.expecting, 'method')
  }

  /** The chunk is about to go: keep what was borrowed from it. */
  keep(): void {
    if (!this.isBorrowed || !this.isOpen) return
    this.isBorrowed = false
    const names = Buffer.from(this.namesBuf.subarray(this.namesStart, this.namesEnd))
    this.namesBuf = names
    this.namesStart = 0
    this.namesEnd = names.length
    if (this.expecting === Expecting.Header) return
    const header = Buffer.from(this.headerBuf.subarray(this.headerStart, this.headerEnd))
    this.headerBuf = header
    this.headerStart = 0
    this.headerEnd = header.length
  }

  /** Lets go of a body that was gathered. */
  release(): void {
    if (this.heldBytes === 0) return
    this.gathered.bytes -= this.heldBytes
    this.heldBytes = 0
    this.buffers.give(this.bodyBuf)
    this.bodyBuf = EMPTY
  }

  /** Bytes of a body that is not whole yet. */
  get openBytes(): number {
    return this.isOpen ? this.heldBytes : 0
  }

  /** Room grows with what really arrives: an announced size costs nothing. */
  private gather(buf: Buffer, start: number, end: number): void {
    const needed = this.bodyEnd + end - start
    if (needed > this.heldBytes) this.grow(needed)
    buf.copy(this.bodyBuf, this.bodyEnd, start, end)
    this.bodyEnd = needed
  }

  private grow(needed: number): void {
    const size = Math.min(this.bodySize, Math.max(needed, this.heldBytes * 2, BODY_START_BYTES))
    const larger = this.buffers.take(size)
    this.bodyBuf.copy(larger, 0, 0, this.bodyEnd)
    if (this.heldBytes > 0) this.buffers.give(this.bodyBuf)
    this.bodyBuf = larger
    this.gathered.bytes += larger.length - this.heldBytes
    this.heldBytes = larger.length
  }

  private tooLarge(): ChannelError {
    this.expecting = Expecting.Method
    return new ChannelError(
      ReplyCode.PRECONDITION_FAILED,
      `message size ${this.bodySize} is larger than configured max size ${this.bodySizeMax}`,
      M.basicPublish,
    )
  }
}

function unexpected(expecting: Expecting, got: 'method' | 'header' | 'body'): ConnectionError {
  const shown = got === 'header' ? 'content header' : got === 'body' ? 'content body' : 'method'
  const texts: Record<Expecting, string> = {
    [Expecting.Method]: `expected method frame, got ${shown === 'method' ? 'method' : 'non method'} frame instead`,
    [Expecting.Header]: 'expected content header for class 60, got non content header frame instead',
    [Expecting.Body]: 'expected content body, got non content body frame instead',
  }
  const methodId = expecting === Expecting.Method ? NO_METHOD : M.basicPublish
  return new ConnectionError(ReplyCode.UNEXPECTED_FRAME, texts[expecting], methodId)
}
