// x-delayed-message: a message with the header x-delay is kept that many milliseconds, then routed as the exchange's
// x-delayed-type says. RabbitMQ's delayed message plugin; unlike there, a time may lie as far away as 2^53 ms, a message that is
// kept is not returned as unroutable, and an alternate exchange gets it when it is due. One gate per exchange.
//
// Kept messages lie on a shelf, in the log where they are persistent, each with the time it is due in a header of ours. Only times
// and tickets are in memory, 16 bytes a message; after a restart they are read back from the messages. When one is due it is routed
// with our header taken out, and settled on the shelf, in one batch: a crash leaves it here or there.
//
// As in the plugin, x-delay arrives negated, so that a second such exchange does not keep the message again.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { type FieldTable, type FieldValue, fieldType, fieldValueText, isTable, Typed } from '../../protocol/field-table'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { Alarm } from './alarm'
import { argument, INTEGER_TYPES } from './arguments'
import type { Arguments, Ticket } from './core-api'
import { DueHeap } from './due-heap'
import type { Gate, Shelved } from './gate'
import { copyOf, editHeaders } from './header-edit'
import { RoutedMessage } from './routed-message'
import type { Shelf } from './shelf'
import type { Dispatchable } from './vhost'

const DELAY = 'x-delay'
const DELAYED_TYPE = 'x-delayed-type'
/** LavinMQ: any exchange can delay. */
const DELAYED_EXCHANGE = 'x-delayed-exchange'
/** On a kept message: { due, keys }, the time in ms and the routing keys of CC and BCC. */
const HELD = 'x-leveret-held'

/** Messages routed, or looked at after a restart, in one turn. */
const MOVED_PER_TURN = 256

export class Delay implements Gate, Shelved, Dispatchable {
  readonly shelf = this
  isDeleted = false
  private readonly heap = new DueHeap()
  /** Found by recovery and not looked at yet: those from `nextFound` on. */
  private found: Ticket[] = []
  private nextFound = 0
  private readonly alarm: Alarm
  private isDirty = false

  /** `release` routes a message from the exchange on as if it had just come. */
  constructor(
    private readonly kept: Shelf,
    private readonly release: (m: IncomingMessage, furtherKeys: readonly string[]) => void,
  ) {
    this.alarm = new Alarm(kept.context.clock, () => this.markDirty())
  }

  // -- as a gate ------------------------------------------------------------------------------------------------------

  admits({ headers }: RoutedMessage): boolean {
    return delayOf(headers) <= 0
  }

  onPublish(m: IncomingMessage, { headers, routingKeys }: RoutedMessage): boolean {
    const delay = delayOf(headers)
    if (delay <= 0) return false
    const due = Math.min(this.kept.context.clock.now() + delay, Number.MAX_SAFE_INTEGER)
    const copy = copyOf(m)
    const keys = routingKeys.slice(1)
    editHeaders(copy, [DELAY, HELD], { [DELAY]: new Typed('l', -delay), [HELD]: { due: new Typed('l', due), keys } })
    const { ticket, isLogged } = this.kept.put(copy)
    this.heap.push(due, ticket)
    this.arm()
    return isLogged
  }

  onBound(): void {}

  close(): void {
    this.stop()
    this.isDeleted = true
    for (const { ticket } of this.heap.entries()) this.kept.settle(ticket)
    for (; this.nextFound < this.found.length; this.nextFound++) this.kept.settle(this.found[this.nextFound])
    this.heap.length = 0
  }

  // -- for the admin API ----------------------------------------------------------------------------------------------

  first(count: number): { due: number; ticket: Ticket }[] {
    return this.heap.first(count)
  }

  /** The message as it will come; null: its bytes are not in memory. */
  read(ticket: Ticket, range: ByteRange): IncomingMessage | null {
    const m = this.kept.read(ticket, range)
    if (m === null) return null
    const copy = copyOf(m)
    editHeaders(copy, [HELD], {})
    return copy
  }

  /** false: it is not there, or is routed already. */
  cancel(ticket: Ticket): boolean {
    if (!this.heap.remove(ticket)) return false
    this.kept.settle(ticket)
    return true
  }

  // -- when they are due ----------------------------------------------------------------------------------------------

  dispatch(range: ByteRange): boolean {
    this.isDirty = false
    if (this.isDeleted) return false
    const left = this.lookAtFound(range, MOVED_PER_TURN)
    if (left !== null && this.releaseDue(range, left)) this.arm()
    return false
  }

  /** Returns how many of `max` are left over; null: it goes on in another turn. */
  private lookAtFound(range: ByteRange, max: number): number | null {
    for (; this.nextFound < this.found.length; this.nextFound++) {
      if (max-- === 0) {
        this.markDirty()
        return null
      }
      const ticket = this.found[this.nextFound]
      const m = this.readOrWait(ticket, range)
      if (m === null) return max
      this.heap.push(heldOf(m).due, ticket)
    }
    this.found = []
    this.nextFound = 0
    return max
  }

  /** false: it goes on in another turn. */
  private releaseDue(range: ByteRange, max: number): boolean {
    const { heap } = this
    const now = this.kept.context.clock.now()
    while (heap.length > 0 && heap.firstDue <= now) {
      if (max-- === 0) {
        this.markDirty()
        return false
      }
      const ticket = heap.firstTicket
      const m = this.readOrWait(ticket, range)
      if (m === null) return false
      heap.pop()
      this.releaseOne(m, ticket)
    }
    return true
  }

  private releaseOne(m: IncomingMessage, ticket: Ticket): void {
    const { keys } = heldOf(m)
    const copy = copyOf(m)
    editHeaders(copy, [HELD], {})
    this.release(copy, keys)
    this.kept.settleMoved(ticket)
  }

  private readOrWait(ticket: Ticket, range: ByteRange): IncomingMessage | null {
    const m = this.kept.read(ticket, range)
    if (m === null) this.kept.context.awaitLoad(this, ticket)
    return m
  }

  private arm(): void {
    if (this.heap.length > 0) this.alarm.set(this.heap.firstDue)
  }

  stop(): void {
    this.alarm.stop()
  }

  markDirty(): void {
    if (this.isDirty) return
    this.isDirty = true
    this.kept.context.addDirty(this)
  }

  // -- what it keeps in the log ---------------------------------------------------------------------------------------

  get name(): string {
    return this.kept.name
  }
  get id(): number {
    return this.kept.id
  }
  set id(id: number) {
    this.kept.id = id
  }
  get durable(): boolean {
    return this.kept.durable
  }
  get count(): number {
    return this.heap.length + this.found.length - this.nextFound
  }
  get heldBytes(): number {
    return this.heap.heldBytes + this.found.length * 8
  }

  recover(ticket: Ticket): void {
    this.found.push(ticket)
  }

  /** The messages are on disk: when each is due is read in turns that follow. */
  finishRecovery(): void {
    if (this.found.length === 0) return
    this.found.sort((a, b) => a - b)
    this.markDirty()
  }
}

/** Milliseconds; from 0 down: no delay. As the plugin takes it: any number, also as text; what is none is no delay. */
function delayOf(headers: FieldTable): number {
  const value = argument(headers, DELAY)
  if (value === undefined || value === null) return 0
  const type = fieldType(value)
  if (!`${INTEGER_TYPES}fd`.includes(type) && !(type === 'S' && /^-?\d{1,19}$/.test(fieldValueText(value)))) return 0
  const delay = Math.trunc(Number(fieldValueText(value)))
  return delay > 0 ? Math.min(delay, Number.MAX_SAFE_INTEGER) : 0
}

/** Due at once where our header is not as we wrote it. */
function heldOf(m: IncomingMessage): { due: number; keys: string[] } {
  const held: FieldValue | undefined = argument(new RoutedMessage([], m).headers, HELD)
  if (held === undefined || !isTable(held)) return { due: 0, keys: [] }
  const { due, keys } = held
  return { due: Number(fieldValueText(due)), keys: keys as string[] }
}

// -- arguments --------------------------------------------------------------------------------------------------------

export function isDelaying(type: string, args: Arguments): boolean {
  return type === 'x-delayed-message' || argument(args, DELAYED_EXCHANGE) === true
}

/** How an x-delayed-message exchange routes what is due. */
export function delayedTypeOf(args: Arguments): string {
  return argument(args, DELAYED_TYPE) as string
}

/** Throws 406 in the plugin's words; whether the type exists is the caller's to check. */
export function checkDelayedType(args: Arguments): void {
  const type = argument(args, DELAYED_TYPE)
  if (typeof type !== 'string') {
    throw refused(`Invalid argument, '${DELAYED_TYPE}' must be an existing exchange type`)
  }
  // History would have to be kept of what is due, and is what the exchange's own gates do.
  if (type === 'x-delayed-message' || type === 'x-recent-history') {
    throw refused(`Invalid argument, '${type}' can't be used for '${DELAYED_TYPE}'`)
  }
}

function refused(text: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}
