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
  onHeartbeat(channel: number): void
}

const HEAD_BYTES = 7
const EMPTY = Buffer.alloc(0)

export class FrameParser {
  /** Set by the sink when it wants no more frames, ever: what is left of the chunk, and what comes later, is dropped. */
  stopped = false
  /** Of a frame that a chunk's end has cut: the bytes so far, in a buffer of the frame's size. */
  private carry: Buffer = EMPTY
  private carried = 0
  private readonly head = Buffer.alloc(HEAD_BYTES)
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
    let at = this.carried > 0 ? this.completeCarry(chunk) : 0
    if (this.carried > 0 || this.isHalted) return at
    at = this.parse(chunk, at)
    if (at === chunk.length || this.isHalted) return at
    this.startCarry(chunk, at)
    return chunk.length
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
  private startCarry(chunk: Buffer, at: number): void {
    const available = chunk.length - at
    checkType(chunk[at])
    if (available < HEAD_BYTES) {
      chunk.copy(this.head, 0, at)
      this.carry = this.head
    } else {
      this.carry = Buffer.allocUnsafeSlow(HEAD_BYTES + chunk.readUInt32BE(at + 3) + 1)
      chunk.copy(this.carry, 0, at)
    }
    this.carried = available
  }

  /** Feeds the kept frame; emits it when whole. Returns how much of the chunk it took. */
  private completeCarry(chunk: Buffer): number {
    let at = 0
    if (this.carry === this.head) {
      at = Math.min(HEAD_BYTES - this.carried, chunk.length)
      chunk.copy(this.head, this.carried, 0, at)
      this.carried += at
      if (this.carried < HEAD_BYTES) return at
      const size = this.head.readUInt32BE(3)
      if (size > this.frameMax) this.refuseSize(this.head[0], size)
      this.carry = Buffer.allocUnsafeSlow(HEAD_BYTES + size + 1)
      this.head.copy(this.carry)
    }
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
