// Whether a connection is read from: not as long as there is any reason against it.
import type { Socket } from 'node:net'

export enum Hold {
  /** The parser has paused: a reply waits for the disk, or for the peer to take what was written. */
  Parked = 1,
  /** It publishes faster than the disk or the consumers take it. */
  NoRoom = 2,
  /** Publishers are blocked, memory or disk being short. */
  Blocked = 4,
}

export class Intake {
  private holds = 0

  constructor(private readonly socket: Socket) {}

  get isHeld(): boolean {
    return this.holds !== 0
  }

  isHeldBy(reason: Hold): boolean {
    return (this.holds & reason) !== 0
  }

  hold(reason: Hold): void {
    if (this.holds === 0) this.socket.pause()
    this.holds |= reason
  }

  free(reason: Hold): void {
    if (this.holds === 0) return
    this.holds &= ~reason
    if (this.holds === 0) this.socket.resume()
  }
}
