// Which consumer of a queue gets the next message: the contract of ready-round.ts (by turns), priority-round.ts (the highest
// first) and single-active.ts (one alone).
import type { Consumer } from './consumer'

export interface ConsumerRound {
  /** A new consumer, or one that is no longer parked. */
  add(consumer: Consumer): void
  /** The consumer that takes the next message; those that were found unable to are parked. null: nobody can. */
  next(): Consumer | null
  /** It has left. true: another can take messages in its place. */
  remove(consumer: Consumer): boolean
  /** After `next` gave null: somebody could take a message, but must not yet. Ask again in the next turn. */
  readonly isHeld: boolean
  /** The one consumer that the queue serves; null: it serves them all, or has none. */
  readonly active: Consumer | null
}
