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
  /** Of a frame that a chunk's end has cut: the bytes so far, in a buffer of the frame's size. */
  private carry: Buffer = EMPTY
  private carried = 0
  private readonly head = Buffer.alloc(HEAD_BYTES)
  /** What was not parsed yet when the sink paused. */
  private rest: Buffer = EMPTY
  private isPaused = false
  private isStopped = false

  /** `frameMax` is the largest whole frame in bytes, checked before anything of it is kept. May change between frames. */
  constructor(
    private readonly sink: FrameSink,
    public frameMax: number,
  ) {}

  /** Hands out every whole frame. Throws ConnectionError 501 for what is none, and what the sink throws. */
  push(chunk: Buffer): void {
    if (this.isPaused) {
      this.rest = this.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.rest, chunk])
      return
    }
    let at = 0
    if (this.carried > 0) at = this.completeCarry(chunk)
    if (!this.isStopped && !this.isPaused && this.carried === 0) at = this.parse(chunk, at)
    if (this.isStopped || at >= chunk.length) return
    if (this.isPaused) this.rest = Buffer.from(chunk.subarray(at))
    else if (this.carried === 0) this.startCarry(chunk, at)
  }

  /** The sink gets no more frames until resume. Frames that arrive meanwhile wait. */
  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    const rest = this.rest
    this.rest = EMPTY
    if (rest.length > 0) this.push(rest)
  }

  /** The sink gets no more frames, ever. */
  stop(): void {
    this.isStopped = true
    this.carry = EMPTY
    this.carried = 0
    this.rest = EMPTY
  }

  /** Whole frames of the chunk, in place. Returns where it stopped. */
  private parse(chunk: Buffer, at: number): number {
    const length = chunk.length
    while (length - at >= HEAD_BYTES) {
      const size = ((chunk[at + 3] << 24) | (chunk[at + 4] << 16) | (chunk[at + 5] << 8) | chunk[at + 6]) >>> 0
      if (size > this.frameMax - FRAME_OVERHEAD) this.refuseSize(chunk[at], size)
      const end = at + HEAD_BYTES + size
      if (end >= length) {
        checkType(chunk[at])
        return at
      }
      this.emit(chunk, at, end)
      at = end + 1
      if (this.isPaused || this.isStopped) return at
    }
    return at
  }

  private emit(buf: Buffer, at: number, end: number): void {
    if (buf[end] !== FRAME_END) {
      throw new ConnectionError(
        ReplyCode.FRAME_ERROR,
        `invalid frame end marker, expected ${FRAME_END}, got ${buf[end]}`,
      )
    }
    const channel = (buf[at + 1] << 8) | buf[at + 2]
    const start = at + HEAD_BYTES
    switch (buf[at]) {
      case FRAME_METHOD:
        if (end - start < 4) throw new ConnectionError(ReplyCode.FRAME_ERROR, 'method frame too short')
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

  /** Keeps the beginning of a frame. The buffer grows with the first bytes of the payload, not with what the size claims. */
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
      if (size > this.frameMax - FRAME_OVERHEAD) this.refuseSize(this.head[0], size)
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
    throw new ConnectionError(
      ReplyCode.FRAME_ERROR,
      `type ${type}, all octets = <<>>: {frame_too_large,${size},${this.frameMax - FRAME_OVERHEAD}}`,
    )
  }
}

function checkType(type: number): void {
  if (type >= FRAME_METHOD && type <= FRAME_BODY) return
  if (type === FRAME_HEARTBEAT) return
  throw new ConnectionError(ReplyCode.FRAME_ERROR, `unknown frame type ${type}`)
}
