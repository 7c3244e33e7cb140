// When a peer was heard and spoken to last. Heartbeats go out when nothing else did for half the interval; a peer that is silent for two
// intervals is gone. RabbitMQ docs "Heartbeats".
import { BEAT_MS } from './hub'

export class Heartbeat {
  /** As negotiated; 0: none. */
  seconds = 0
  private sentMs: number
  /** Sent by the time of the last check. */
  private sentBytes = 0

  constructor(
    /** May be the time of the last check, which costs nothing to know. */
    public heardMs: number,
  ) {
    this.sentMs = heardMs
  }

  /** `canBeHeard`: it is read from. */
  check(now: number, sentBytes: number, canBeHeard: boolean): 'fine' | 'due' | 'missed' {
    if (sentBytes !== this.sentBytes) this.sentMs = now // up to a beat late
    this.sentBytes = sentBytes
    if (this.seconds === 0) return 'fine'
    // What was heard is up to a beat younger than `heardMs` says.
    if (!canBeHeard) this.heardMs = now
    const intervalMs = this.seconds * 1000
    if (now - this.heardMs > intervalMs * 2 + BEAT_MS) return 'missed'
    return now - this.sentMs >= intervalMs / 2 - BEAT_MS ? 'due' : 'fine'
  }
}
