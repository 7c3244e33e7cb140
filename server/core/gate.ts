// What an exchange may do with a message besides matching it against bindings: keep it for later, remember it, refuse a
// second one. The router asks the gates of each exchange that a message comes through; the vhost lets them act when the publish is
// known to be allowed. Most exchanges have none.
import type { IncomingMessage } from '../../storage/message-store'
import type { Destination } from './binding'
import type { RoutedMessage } from './routed-message'

export interface Gate {
  /** false: the message goes no further through this exchange, and counts as taken. Changes nothing. */
  admits(message: RoutedMessage): boolean
  /** The message has come, admitted or not; `isTaken`: by a queue, or a gate. true: its confirm must wait for the batch being
   *  gathered. */
  onPublish(m: IncomingMessage, message: RoutedMessage, isTaken: boolean): boolean
  /** Something new is bound to the exchange. */
  onBound(to: Destination): void
  /** The exchange is gone. */
  close(): void
  /** What it keeps in the log, if anything. */
  readonly shelf: Shelved | null
}

/** Messages in the log under an id as a queue's, though no client sees that queue. */
export interface Shelved {
  readonly name: string
  id: number
  readonly durable: boolean
  readonly count: number
  readonly heldBytes: number
  recover(ticket: number): void
  /** Everything recovered has been told. */
  finishRecovery(): void
  /** The broker stops: no more timers. */
  stop(): void
}
