// Messages that come back to a queue unacked: how often, how often is too often, and how long each waits before it goes out again.
// Exists only in queues that are told to count, by a limit, a delay or their type. The counts stand beside the messages (see
// storage/segment.ts), and in the log where the messages are; this holds those that wait. RabbitMQ docs "Quorum Queues", "Poison
// Message Handling" and "Delayed Retries".
import { type FieldTable, Typed } from '../../protocol/field-table'
import type { ReturnCounts } from '../../storage/batch-codec'
import { type ByteRange, storeApart } from '../../storage/message-store'
import { Alarm } from './alarm'
import type { Return, Ticket } from './core-api'
import { DueHeap } from './due-heap'
import { copyOf, editHeaders } from './header-edit'
import type { Queue } from './queue'
import type { QueueSettings } from './queue-settings'
import { asIncoming } from './shelf'
import type { VhostContext } from './vhost'

/** As settings name it: which messages wait before they go out again. */
export type RetryType = 'disabled' | 'all' | 'failed' | 'returned'
/** How the wait grows with each failure. */
export type RetryCurve = 'linear' | 'exponential'

/** How often it came back, and how often of these as a failure. */
const [ACQUIRED, FAILURES] = ['x-acquired-count', 'x-delivery-count']
const NEVER: ReturnCounts = { failures: 0, acquired: 0, due: 0 }
/** About, of one that waits. */
const DELAYED_BYTES = 150

export class Returns {
  /** Body bytes of those that wait. */
  private readonly delayed = new Map<Ticket, number>()
  private readonly heap = new DueHeap()
  private readonly alarm: Alarm

  constructor(
    private readonly queue: Queue,
    private readonly context: VhostContext,
  ) {
    this.alarm = new Alarm(context.clock, () => queue.markDirty())
  }

  /** An unacked message comes back: what becomes of it. One that is 'delayed' is ours until takeDue. */
  onReturn(ticket: Ticket, bodyBytes: number, how: Return): 'ready' | 'delayed' | 'exhausted' {
    const { queue } = this
    const { settings } = queue
    if (how === 'undone' || !settings.countsReturns) return 'ready'
    const { failures, acquired } = this.countsOf(ticket) ?? NEVER
    const counts = { failures: failures + (how === 'failed' ? 1 : 0), acquired: acquired + 1, due: 0 }
    if (counts.failures > settings.deliveryLimit) return 'exhausted'
    const delay = retryDelayOf(settings, how, counts.failures, ticket)
    if (delay > 0) counts.due = this.context.clock.now() + delay
    this.context.journal.countReturn(queue.id, ticket, counts, queue.logId !== 0)
    if (delay <= 0) return 'ready'
    this.delay(ticket, bodyBytes, counts.due)
    return 'delayed'
  }

  private countsOf(ticket: Ticket): ReturnCounts | undefined {
    return this.context.journal.store.returnsOf(this.queue.id, ticket)
  }

  private delay(ticket: Ticket, bodyBytes: number, due: number): void {
    this.delayed.set(ticket, bodyBytes)
    this.heap.push(due, ticket)
    this.alarm.set(due)
  }

  /** Those that have waited long enough, through `giveBack`. */
  takeDue(now: number, giveBack: (ticket: Ticket, bodyBytes: number) => void): void {
    const { heap } = this
    while (heap.length > 0 && heap.firstDue <= now) {
      const ticket = heap.firstTicket
      heap.pop()
      giveBack(ticket, this.delayed.get(ticket) as number)
      this.delayed.delete(ticket)
    }
    if (heap.length > 0) this.alarm.set(heap.firstDue)
  }

  /** A message that recovery found. true: it waits. */
  recover(ticket: Ticket, bodyBytes: number): boolean {
    const due = this.countsOf(ticket)?.due ?? 0
    if (due <= this.context.clock.now()) return false
    this.delay(ticket, bodyBytes, due)
    return true
  }

  /** Of a message that came back: puts into its headers how often it did. `range` is then a copy. */
  stamp(ticket: Ticket, range: ByteRange): void {
    const counts = this.countsOf(ticket)
    if (counts === undefined) return
    const message = copyOf(asIncoming(range))
    const added: FieldTable = { [ACQUIRED]: new Typed('l', counts.acquired) }
    if (counts.failures > 0) added[FAILURES] = new Typed('l', counts.failures)
    editHeaders(message, [ACQUIRED, FAILURES], added)
    storeApart(message, range)
  }

  get count(): number {
    return this.delayed.size
  }

  /** Takes all that wait, in no order. */
  drain(): Ticket[] {
    const tickets = [...this.delayed.keys()]
    this.delayed.clear()
    this.heap.length = 0
    return tickets
  }

  get heldBytes(): number {
    return this.heap.heldBytes + this.delayed.size * DELAYED_BYTES
  }

  stop(): void {
    this.alarm.stop()
  }
}

type RetrySettings = Pick<QueueSettings, 'retryType' | 'retryMin' | 'retryMax' | 'retryCurve' | 'retryJitter'>

/** ms; 0: none. As RabbitMQ counts, it grows with failures only; a message that was merely given back waits the shortest time. */
export function retryDelayOf(settings: RetrySettings, how: Return, failures: number, ticket: Ticket): number {
  const { retryType, retryMin, retryMax, retryCurve, retryJitter } = settings
  if (retryType !== 'all' && retryType !== how) return 0
  const count = Math.max(1, failures)
  const growth = retryCurve === 'exponential' ? 2 ** (count - 1) : count
  const delay = Math.min(retryMin * growth, retryMax)
  return Math.round(delay * (1 - (retryJitter / 100) * scatter(ticket * 31 + count)))
}

/** From 0 up to 1, another one for each number, and always the same: a run can be repeated. */
function scatter(number: number): number {
  const hash = Math.imul((number % 2 ** 32) ^ 0x5bd1e995, 0x9e3779b1) >>> 0
  return (Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) >>> 0) / 2 ** 32
}
