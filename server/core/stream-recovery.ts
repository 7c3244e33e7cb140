// Puts a stream together again from the messages that recovery finds. They come in the order of the log: nearly that of the stream,
// but what was copied to the log's end comes behind newer ones. Owned by stream.ts.
import type { Ticket } from './core-api'
import { type StreamLog, ticketsOf } from './stream-log'
import { TicketRing } from './ticket-ring'

export class StreamRecovery {
  /** What came behind newer messages: each in order by itself, so that there are few. */
  private late: TicketRing[] = []
  private lastOf: Ticket[] = []
  private lateBytes = 0
  private last: Ticket = -1

  constructor(private readonly log: StreamLog) {}

  add(ticket: Ticket, bodyBytes: number): void {
    if (ticket > this.last) {
      this.last = ticket
      this.log.append(ticket, bodyBytes, Number.NaN)
      return
    }
    this.lateBytes += bodyBytes
    let at = this.lastOf.findIndex((last) => last < ticket)
    if (at === -1) at = this.late.push(new TicketRing()) - 1
    this.late[at].push(ticket)
    this.lastOf[at] = ticket
  }

  /** Everything recovered has been told. */
  finish(): void {
    if (this.late.length > 0) this.merge()
    this.log.seal()
  }

  /** The sizes of single messages are not known any more: each counts as their average. */
  private merge(): void {
    const { log, late } = this
    const inOrder = new TicketRing()
    let bytes = this.lateBytes + log.bytes
    while (log.count > 0) for (const ticket of ticketsOf(log.dropFirst())) inOrder.push(ticket)
    late.push(inOrder)
    let count = late.reduce((sum, ring) => sum + ring.length, 0)
    log.nextOffset = 0
    for (; count > 0; count--) {
      const ring = lowest(late)
      const share = Math.round(bytes / count)
      bytes -= share
      log.append(ring.shift(), share, Number.NaN)
    }
    this.late = []
    this.lastOf = []
  }

  /** The newest message of each chunk, the newest chunk first, and how many messages stand behind it. */
  *newestFirst(): Iterable<{ ticket: Ticket; behind: number }> {
    let behind = 0
    for (const chunk of [...this.log].reverse()) {
      yield { ticket: chunk.lastTicket, behind }
      behind += chunk.count
    }
  }
}

/** That with the lowest ticket; one of them has some. */
function lowest(rings: readonly TicketRing[]): TicketRing {
  let found: TicketRing | null = null
  for (const ring of rings) {
    if (ring.length > 0 && (found === null || ring.peek() < found.peek())) found = ring
  }
  return found as TicketRing
}
