// Message bytes on their way back to memory for queues that wait for them: which segment is read next, and whose turn comes when it is
// there. One per core.
import type { Journal } from '../../storage/journal'
import { SEGMENT_TICKETS } from '../../storage/segment'
import type { Clock } from './clock'
import type { Ticket } from './core-api'
import type { Dispatchable } from './vhost'

/** Segments brought back at a time. Many queues that each wait for another one must not fill memory. */
const LOADS_MAX = 8
/** With more segments asked for than this, those that follow are not read ahead: they are others'. */
const READ_AHEAD_WAITERS_MAX = 4

/** From a failed read to the next attempt. */
const RETRY_MS = 1000

export class Loads {
  private readonly waiting = new Map<number, Set<Dispatchable>>() // by segment
  private readonly requested = new Set<number>()
  private isLowestDue = false

  constructor(
    private readonly journal: Journal,
    private readonly options: { clock: Clock; log(message: string): void },
    private readonly onAny: () => void,
  ) {}

  /** Brings the ticket's bytes back; the queue is dispatched again when they are there. */
  await(queue: Dispatchable, ticket: Ticket): void {
    const segment = Math.floor(ticket / SEGMENT_TICKETS)
    const waiting = this.waiting.get(segment)
    if (waiting === undefined) this.waiting.set(segment, new Set([queue]))
    else waiting.add(queue)
    this.loadMore()
  }

  /** By turns the lowest segment, so that queues whose messages lie side by side go through them together and each segment is
   *  read once, and the one that was asked for first, so that nobody starves. */
  private loadMore(): void {
    while (this.requested.size < LOADS_MAX) {
      let picked = -1
      this.isLowestDue = !this.isLowestDue
      for (const segment of this.waiting.keys()) {
        if (this.requested.has(segment)) continue
        if (picked === -1 || segment < picked) picked = segment
        if (!this.isLowestDue) break
      }
      if (picked === -1) return
      this.requested.add(picked)
      this.journal.load(picked * SEGMENT_TICKETS, this.waiting.size <= READ_AHEAD_WAITERS_MAX)
    }
  }

  onLoaded(number: number, error: Error | null): void {
    const segment = this.journal.store.segments.get(number)
    if (segment === undefined) return this.wake(number) // nothing in it is wanted any more
    if (error !== null && !segment.isUnreadable) {
      this.options.log(`Reading messages back failed, trying again every ${RETRY_MS} ms: ${error.message}`)
    }
    segment.isUnreadable = error !== null
    if (error === null) this.wake(number)
    else this.options.clock.after(RETRY_MS, () => this.wake(number))
  }

  private wake(segment: number): void {
    const waiting = this.waiting.get(segment)
    this.requested.delete(segment)
    this.waiting.delete(segment)
    this.loadMore()
    for (const queue of waiting ?? []) if (!queue.isDeleted) queue.markDirty()
    this.onAny()
  }
}
