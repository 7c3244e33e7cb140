// Turns a byte stream into calls on a FrameSink. Knows frame boundaries and frame-max; knows nothing of methods or
// channels. Called by net/connection with each socket chunk. 0-9-1 §4.2.3.
//
//   type:u8 channel:u16 size:u32 payload[size] 0xCE
import {
  FRAME_BODY,
  FRAME_END,
  FRAME_HEADER,
  FRAME_HEARTBEAT,
  FRAME_METHOD,
  FRAME_OVERHEAD,
  ReplyCode,
} from './constants'
import { ConnectionError } from './errors'

export interface FrameSink {
  /** `start..end` are the arguments behind the ids; methodId = class id << 16 | method id. Ranges are valid during the call. */
  onMethod(channel: number, methodId: number, buf: Buffer, start: number, end: number): void
  /** The whole payload: class, weight, body size, property flags, properties. */
  onHeader(channel: number, buf: Buffer, start: number, end: number): void
  onBody(channel: number, buf: Buffer, start: number, end: number): void
  /** What came so far of a large body frame; `left` bytes more of it follow, the last of them by onBody. A sink without this gets whole frames. */
  onBodyPart?(channel: number, buf: Buffer, start: number, end: number, left: number): void
  onHeartbeat(channel: number): void
}

const HEAD_BYTES = 7
/** Body frames up to so many bytes are kept until they are whole; of larger ones, what a chunk has of them is handed out. */
const WHOLE_BODY_BYTES_MAX = 4 * 1024
const EMPTY = Buffer.alloc(0)

export class FrameParser {
  /** Set by the sink when it wants no more frames, ever: what is left of the chunk, and what comes later, is dropped. */
  stopped = false
  /** Of a frame that a chunk's end has cut: the bytes so far, in a buffer of the frame's size. */
  private carry: Buffer = EMPTY
  private carried = 0
  private readonly head = Buffer.alloc(HEAD_BYTES)
  /** Of the payload of a body frame that is handed out in parts: what is still to come. 0: there is none. */
  private bodyLeft = 0
  private bodyChannel = 0
  /** What has not been parsed yet because the sink paused. As much as the caller pushes: it should stop reading meanwhile. */
  private readonly waiting: Buffer[] = []
  private isPaused = false
  private isResuming = false

  /** `frameMax` in bytes, checked before anything of a frame is kept: of its payload, since some clients leave its 8 bytes of
   *  head and end out of account, and RabbitMQ lets them. May change between frames. */
  constructor(
    private readonly sink: FrameSink,
    public frameMax: number,
  ) {}

  /** Hands out every whole frame. Throws ConnectionError 501 for what is none, and what the sink throws. */
  push(chunk: Buffer): void {
    if (this.stopped) return
    const at = this.isPaused ? 0 : this.feed(chunk)
    if (this.isPaused && !this.stopped && at < chunk.length) this.waiting.push(Buffer.from(chunk.subarray(at)))
  }

  /** The sink gets no more frames until resume. Frames that arrive meanwhile wait. */
  pause(): void {
    this.isPaused = true
  }

  /** Hands out the frames that waited, until the sink pauses again. */
  resume(): void {
    this.isPaused = false
    if (this.isResuming) return // the sink resumed out of a frame that waited: the loop below goes on
    this.isResuming = true
    try {
      this.feedWaiting()
    } finally {
      this.isResuming = false
    }
  }

  /** As `stopped`, and lets go of what is kept. */
  stop(): void {
    this.stopped = true
    this.forget()
  }

  /** Ready for another stream. */
  reset(): void {
    this.stopped = false
    this.isPaused = false
    this.forget()
  }

  private forget(): void {
    this.bodyLeft = 0
    this.carry = EMPTY
    this.carried = 0
    this.waiting.length = 0
  }

  private feedWaiting(): void {
    while (!this.isHalted && this.waiting.length > 0) {
      const chunk = this.waiting.shift() as Buffer
      const at = this.feed(chunk)
      if (this.isPaused && !this.stopped && at < chunk.length) this.waiting.unshift(chunk.subarray(at))
    }
  }

  private get isHalted(): boolean {
    return this.isPaused || this.stopped
  }

  /** Returns how much of the chunk it took: all, unless the sink paused or stopped. */
  private feed(chunk: Buffer): number {
    let at = 0
    if (this.bodyLeft > 0) at = this.goOnWithBody(chunk, 0)
    else if (this.carried > 0) at = this.completeCarry(chunk)
    if (this.bodyLeft > 0 || this.carried > 0 || this.isHalted) return at
    at = this.parse(chunk, at)
    if (at === chunk.length || this.isHalted) return at
    return this.startCarry(chunk, at)
  }

  /** Whole frames of the chunk, in place. Returns where it stopped. */
  private parse(chunk: Buffer, at: number): number {
    const length = chunk.length
    while (length - at >= HEAD_BYTES) {
      const size = ((chunk[at + 3] << 24) | (chunk[at + 4] << 16) | (chunk[at + 5] << 8) | chunk[at + 6]) >>> 0
      if (size > this.frameMax) this.refuseSize(chunk[at], size)
      const end = at + HEAD_BYTES + size
      if (end >= length) {
        checkType(chunk[at])
        return at
      }
      this.emit(chunk, at, end)
      at = end + 1
      if (this.isHalted) return at
    }
    return at
  }

  private emit(buf: Buffer, at: number, end: number): void {
    if (buf[end] !== FRAME_END) throw frameError(buf[at], `{invalid_frame_end_marker,${buf[end]}}`)
    const channel = (buf[at + 1] << 8) | buf[at + 2]
    const start = at + HEAD_BYTES
    switch (buf[at]) {
      case FRAME_METHOD:
        if (end - start < 4) throw frameError(FRAME_METHOD, 'unknown_frame')
        this.sink.onMethod(
          channel,
          (buf[start] << 24) | (buf[start + 1] << 16) | (buf[start + 2] << 8) | buf[start + 3],
          buf,
          start + 4,
          end,
        )
        return
      case FRAME_HEADER:
        this.sink.onHeader(channel, buf, start, end)
        return
      case FRAME_BODY:
        this.sink.onBody(channel, buf, start, end)
        return
      case FRAME_HEARTBEAT:
        this.sink.onHeartbeat(channel)
        return
      default:
        checkType(buf[at])
    }
  }

  /** Keeps the beginning of a frame whose size, when there, is checked. Until its head is whole, 7 bytes are kept; then the
   *  buffer has the frame's size at once, so that however finely the rest is cut, each byte is copied once. */
  private startCarry(chunk: Buffer, at: number): number {
    const available = chunk.length - at
    checkType(chunk[at])
    if (available >= HEAD_BYTES) return this.startFrame(chunk, at, chunk, at + HEAD_BYTES)
    chunk.copy(this.head, 0, at)
    this.carry = this.head
    this.carried = available
    return chunk.length
  }

  /** Feeds the kept frame; emits it when whole. Returns how much of the chunk it took. */
  private completeCarry(chunk: Buffer): number {
    if (this.carry !== this.head) return this.fillCarry(chunk, 0)
    const at = Math.min(HEAD_BYTES - this.carried, chunk.length)
    chunk.copy(this.head, this.carried, 0, at)
    this.carried += at
    if (this.carried < HEAD_BYTES) return at
    const size = this.head.readUInt32BE(3)
    if (size > this.frameMax) this.refuseSize(this.head[0], size)
    return this.startFrame(this.head, 0, chunk, at)
  }

  /** The frame with this head does not end in the chunk, or its head has only just become whole. */
  private startFrame(head: Buffer, headAt: number, chunk: Buffer, at: number): number {
    const size = head.readUInt32BE(headAt + 3)
    if (head[headAt] === FRAME_BODY && size > WHOLE_BODY_BYTES_MAX && this.sink.onBodyPart !== undefined) {
      this.carried = 0
      this.bodyChannel = head.readUInt16BE(headAt + 1)
      this.bodyLeft = size
      return this.goOnWithBody(chunk, at)
    }
    // Small ones share a page of memory: a chunk's end cuts a frame every 64 KiB.
    this.carry = Buffer.allocUnsafe(HEAD_BYTES + size + 1)
    head.copy(this.carry, 0, headAt, headAt + HEAD_BYTES)
    this.carried = HEAD_BYTES
    return this.fillCarry(chunk, at)
  }

  private fillCarry(chunk: Buffer, at: number): number {
    const take = Math.min(this.carry.length - this.carried, chunk.length - at)
    chunk.copy(this.carry, this.carried, at, at + take)
    this.carried += take
    at += take
    if (this.carried < this.carry.length) return at
    const frame = this.carry
    this.carry = EMPTY
    this.carried = 0
    this.emit(frame, 0, frame.length - 1)
    return at
  }

  /** Hands out what the chunk has of the body frame; the last of it only together with the frame's end. */
  private goOnWithBody(chunk: Buffer, at: number): number {
    const { bodyChannel, bodyLeft } = this
    const left = bodyLeft - (chunk.length - at)
    if (left < 0) {
      const end = at + bodyLeft
      this.bodyLeft = 0
      if (chunk[end] !== FRAME_END) throw frameError(FRAME_BODY, `{invalid_frame_end_marker,${chunk[end]}}`)
      this.sink.onBody(bodyChannel, chunk, at, end)
      return end + 1
    }
    this.bodyLeft = left
    let end = chunk.length
    if (left === 0) this.carryLastOfBody(chunk[--end])
    if (end > at) this.sink.onBodyPart?.(bodyChannel, chunk, at, end, bodyLeft - (end - at))
    return chunk.length
  }

  /** As a frame of its own, whose end is yet to come. */
  private carryLastOfBody(octet: number): void {
    this.carry = Buffer.from([FRAME_BODY, this.bodyChannel >> 8, this.bodyChannel & 0xff, 0, 0, 0, 1, octet, 0])
    this.carried = HEAD_BYTES + 1
  }

  private refuseSize(type: number, size: number): never {
    checkType(type)
    throw frameError(type, `{frame_too_large,${size},${this.frameMax - FRAME_OVERHEAD}}`)
  }
}

function checkType(type: number): void {
  if (type >= FRAME_METHOD && type <= FRAME_BODY) return
  if (type === FRAME_HEARTBEAT) return
  throw frameError(type, 'unknown_frame')
}

/** RabbitMQ's words, but for the frame's first octets, which it quotes: they may be a password, and the text is logged. */
function frameError(type: number, reason: string): ConnectionError {
  return new ConnectionError(ReplyCode.FRAME_ERROR, `type ${type}, all octets = <<>>: ${reason}`)
}
