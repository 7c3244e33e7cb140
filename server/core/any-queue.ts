// What a client declares, binds and consumes as a queue: a queue, which hands each message to one consumer, or a stream, which
// keeps them for all. Types only.
import type { Queue } from './queue'
import type { Stream } from './stream'

export type AnyQueue = Queue | Stream
