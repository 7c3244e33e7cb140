// Writes the acknowledgements of a consumer whose delivery tags count 1, 2, 3 …: one basic.ack for every `every`
// deliveries, `multiple` when that is more than one; all that fell due leave in one socket write.
import type { Writable } from 'node:stream'
import { writeAck } from '../../protocol/basic-codec'

const ackFrameSize = 21

export class AckWriter {
  private acked = 0

  /** `every` 0: never acknowledges, as a no-ack consumer must not. */
  constructor(
    private readonly out: Writable,
    private readonly channel: number,
    private readonly every: number,
  ) {}

  writeUpTo(delivered: number): void {
    const { every } = this
    if (every === 0 || delivered - this.acked < every) return
    const count = Math.floor((delivered - this.acked) / every)
    const frames = Buffer.allocUnsafe(count * ackFrameSize)
    for (let at = 0; at < frames.length; ) {
      this.acked += every
      at = writeAck(frames, at, this.channel, this.acked, every > 1)
    }
    this.out.write(frames)
  }

  /** What is left below a full `every`, at the end. */
  writeRest(delivered: number): void {
    if (this.every === 0 || delivered === this.acked) return
    this.acked = delivered
    const frame = Buffer.allocUnsafe(ackFrameSize)
    writeAck(frame, 0, this.channel, delivered, true)
    this.out.write(frame)
  }
}
