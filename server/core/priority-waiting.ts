// What waits in a queue with priorities: one line for each level that has messages, the highest goes out first. The priority of a
// message stands beside it in its segment, so that a level is found again when the message comes back or is taken out. RabbitMQ
// docs "Classic Queues Support Priorities", "Quorum Queues".
import { fieldValueText } from '../../protocol/field-table'
import { FLAG_PRIORITY, priorityOf, propertyFlags } from '../../protocol/properties'
import type { ByteRange, MessageStore } from '../../storage/message-store'
import { storedHeaderStart } from '../../storage/segment'
import { argument } from './arguments'
import type { Arguments, Ticket } from './core-api'
import { isQuorum } from './queue-arguments'
import { PROPERTIES_AT } from './routed-message'
import { Waiting, type WaitingMessages } from './waiting'

const FRAME_HEAD_BYTES = 7
/** Of a quorum queue, which has priorities without being asked. */
const QUORUM = { highest: 31, standard: 4 }

/** As the arguments of the queue say. */
export function waitingOf(args: Arguments, store: MessageStore): WaitingMessages {
  const value = argument(args, 'x-max-priority')
  const highest = value === undefined ? 0 : Number(fieldValueText(value))
  if (highest > 0) return new PriorityWaiting(store, { highest, standard: 0 })
  return isQuorum(args) ? new PriorityWaiting(store, QUORUM) : new Waiting()
}

export interface Levels {
  /** Messages with a higher priority count as having this one. */
  highest: number
  /** Of messages that name none. */
  standard: number
}

export class PriorityWaiting implements WaitingMessages {
  length = 0
  private readonly lines: (Waiting | undefined)[] = []
  /** No higher level has messages. */
  private top = 0
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(
    private readonly store: MessageStore,
    private readonly levels: Levels,
  ) {}

  /** Its bytes are in memory. */
  push(ticket: Ticket): void {
    this.notePriority(ticket)
    this.lineFor(ticket).push(ticket)
  }

  giveBack(ticket: Ticket): void {
    this.lineFor(ticket).giveBack(ticket)
  }

  get head(): Ticket {
    return this.first.head
  }

  shift(): boolean {
    this.length--
    return this.first.shift()
  }

  get least(): Ticket {
    return this.last.least
  }

  shiftLeast(): void {
    this.length--
    this.last.shiftLeast()
  }

  has(ticket: Ticket): boolean {
    if (this.store.segmentOf(ticket) === undefined) return false // gone long ago, and its priority with it
    return this.lines[this.levelOf(ticket)]?.has(ticket) ?? false
  }

  remove(ticket: Ticket): void {
    this.length--
    this.lines[this.levelOf(ticket)]?.remove(ticket)
  }

  *drain(): Iterable<Ticket> {
    for (const line of this.lines) if (line !== undefined) yield* line.drain()
    this.length = 0
  }

  *deliveredBefore(): Iterable<Ticket> {
    for (const line of this.lines) if (line !== undefined) yield* line.deliveredBefore()
  }

  get firstNew(): Ticket {
    return this.lines.reduce((first, line) => Math.min(first, line?.firstNew ?? first), Number.POSITIVE_INFINITY)
  }

  get heldBytes(): number {
    return this.lines.reduce((bytes, line) => bytes + (line?.heldBytes ?? 0), 0)
  }

  recover(ticket: Ticket): void {
    this.lineFor(ticket).recover(ticket)
  }

  finishRecovery(returned: ReadonlySet<Ticket>): void {
    for (const line of this.lines) line?.finishRecovery(returned)
  }

  private notePriority(ticket: Ticket): void {
    const { range } = this
    this.store.locate(ticket, range)
    const at = storedHeaderStart(range.buf, range.start) + FRAME_HEAD_BYTES + PROPERTIES_AT
    if ((propertyFlags(range.buf, at) & FLAG_PRIORITY) === 0) return
    this.store.setPriority(ticket, priorityOf(range.buf, at, range.end))
  }

  private levelOf(ticket: Ticket): number {
    const priority = this.store.priorityOf(ticket)
    return priority === -1 ? this.levels.standard : Math.min(priority, this.levels.highest)
  }

  /** The line of one that is just coming. */
  private lineFor(ticket: Ticket): Waiting {
    const level = this.levelOf(ticket)
    this.length++
    if (level > this.top) this.top = level
    this.lines[level] ??= new Waiting()
    return this.lines[level]
  }

  /** The highest that has messages. */
  private get first(): Waiting {
    while (this.top > 0 && !this.lines[this.top]?.length) this.top--
    return this.lines[this.top] as Waiting
  }

  /** The lowest that has messages. */
  private get last(): Waiting {
    return this.lines.find((line) => line !== undefined && line.length > 0) as Waiting
  }
}
