// x-recent-history: a fanout that gives each new binding the last messages. RabbitMQ's plugin of that name forgets them at a
// restart; here those of a durable exchange that are persistent come back. One gate per exchange of the type.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError } from '../../protocol/errors'
import { fieldType, fieldValueText } from '../../protocol/field-table'
import type { ByteRange, IncomingMessage } from '../../storage/message-store'
import { argument, binaryText, INTEGER_TYPES } from './arguments'
import type { Destination } from './binding'
import type { Arguments, Ticket } from './core-api'
import { isDelaying } from './delay'
import type { Gate, Shelved } from './gate'
import type { RoutedMessage } from './routed-message'
import type { Shelf } from './shelf'
import type { Dispatchable } from './vhost'

const LENGTH = 'x-recent-history-length'
const LENGTH_DEFAULT = 20
const NO_STORE = 'x-recent-history-no-store'
/** Messages given to new bindings in one turn. */
const REPLAYED_PER_TURN = 256

interface Replay {
  to: Destination
  tickets: Ticket[]
  next: number
}

export class RecentHistory implements Gate, Shelved, Dispatchable {
  readonly shelf = this
  isDeleted = false
  private readonly length: number
  private tickets: Ticket[] = []
  /** Those before it in `tickets` are gone. */
  private first = 0
  private replays: Replay[] = []
  private readonly range: ByteRange = { buf: Buffer.alloc(0), start: 0, end: 0 }

  constructor(
    args: Arguments,
    private readonly kept: Shelf,
    private readonly deliver: (m: IncomingMessage, to: Destination) => void,
  ) {
    this.length = Number(fieldValueText(argument(args, LENGTH) ?? LENGTH_DEFAULT))
  }

  admits(): boolean {
    return true
  }

  onPublish(m: IncomingMessage, { headers }: RoutedMessage): boolean {
    if (argument(headers, NO_STORE) === true) return false
    const { ticket, isLogged } = this.kept.put(m)
    this.tickets.push(ticket)
    this.dropOldest()
    return isLogged
  }

  onBound(to: Destination): void {
    if (this.count === 0) return
    this.replays.push({ to, tickets: this.tickets.slice(this.first), next: 0 })
    this.dispatch(this.range)
  }

  /** Goes on with replays: at once as far as the messages are in memory, the rest when they are back; what is published to the
   *  binding meanwhile comes before those. */
  dispatch(range: ByteRange): boolean {
    let left = REPLAYED_PER_TURN
    for (let replay = this.replays[0]; replay !== undefined; replay = this.replays[0]) {
      while (replay.next < replay.tickets.length && !replay.to.isDeleted) {
        if (left-- === 0) {
          this.kept.context.addDirty(this)
          return false
        }
        if (!this.replayOne(replay, range)) return false
      }
      this.replays.shift()
    }
    return false
  }

  private replayOne(replay: Replay, range: ByteRange): boolean {
    const ticket = replay.tickets[replay.next]
    // Newer messages may have pushed it out meanwhile.
    if (ticket >= this.tickets[this.first]) {
      const m = this.kept.read(ticket, range)
      if (m === null) {
        this.kept.context.awaitLoad(this, ticket)
        return false
      }
      this.deliver(m, replay.to)
    }
    replay.next++
    return true
  }

  markDirty(): void {
    this.kept.context.addDirty(this)
  }

  private dropOldest(): void {
    while (this.count > this.length) this.kept.settle(this.tickets[this.first++])
    if (this.first <= this.length) return
    this.tickets = this.tickets.slice(this.first)
    this.first = 0
  }

  close(): void {
    this.isDeleted = true
    this.replays = []
    for (const ticket of this.tickets.slice(this.first)) this.kept.settle(ticket)
    this.first = this.tickets.length
  }

  stop(): void {}

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
    return this.tickets.length - this.first
  }
  get heldBytes(): number {
    return this.tickets.length * 8
  }

  recover(ticket: Ticket): void {
    this.tickets.push(ticket)
  }

  finishRecovery(): void {
    this.tickets.sort((a, b) => a - b)
    this.dropOldest()
  }
}

/** Throws 406, for the length in the plugin's words. */
export function checkHistoryArguments(args: Arguments): void {
  checkLength(args)
  // What one keeps until it is due would have to pass by the other then.
  if (!isDelaying('x-recent-history', args)) return
  const text = "Invalid argument, 'x-delayed-exchange' can't be used for 'x-recent-history'"
  throw new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}

function checkLength(args: Arguments): void {
  const value = argument(args, LENGTH)
  if (value === undefined) return
  const text = value === null ? 'undefined' : fieldValueText(value)
  if (INTEGER_TYPES.includes(fieldType(value)) && Number(text) > 0) return
  const shown = typeof value === 'string' ? binaryText(value) : text
  throw new ChannelError(
    ReplyCode.PRECONDITION_FAILED,
    `Invalid argument ${shown}, '${LENGTH}' must be a positive integer`,
  )
}
