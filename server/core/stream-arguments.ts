// What a stream is declared and consumed with: which arguments and properties RabbitMQ refuses, in its words, and what the others
// mean. RabbitMQ docs "Streams", "Stream Filtering". Called by declarations.ts and stream.ts.
import { ReplyCode } from '../../protocol/constants'
import { ChannelError, ConnectionError } from '../../protocol/errors'
import { type FieldValue, fieldType, fieldTypeName, fieldValueText } from '../../protocol/field-table'
import { parseAge } from './age'
import { argument, binaryText, checkInteger, INTEGER_TYPES, invalid } from './arguments'
import type { ConsumerSink, ConsumerSpec } from './consumer'
import type { Arguments } from './core-api'

const SEGMENT_SIZE = 'x-stream-max-segment-size-bytes'
const SEGMENT_BYTES_MAX = 3_000_000_000
const FILTER_SIZE = 'x-stream-filter-size-bytes'
const OFFSET = 'x-stream-offset'
const FILTER = 'x-stream-filter'

/** Arguments that mean something to other queues, and that RabbitMQ refuses for a stream. */
const REFUSED = [
  'x-expires',
  'x-message-ttl',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-max-length',
  'x-max-in-memory-length',
  'x-max-in-memory-bytes',
  'x-max-priority',
  'x-overflow',
  'x-queue-mode',
  'x-queue-version',
  'x-single-active-consumer',
  'x-delivery-limit',
  'x-quorum-initial-group-size',
  'x-consumer-timeout',
  'x-consumer-disconnected-timeout',
  'x-delayed-retry-type',
  'x-delayed-retry-min',
  'x-delayed-retry-max',
]

export function isStream(args: Arguments): boolean {
  return argument(args, 'x-queue-type') === 'stream'
}

// -- declaring --------------------------------------------------------------------------------------------------------

export interface StreamRequest {
  durable: boolean
  exclusive: boolean
  autoDelete: boolean
  arguments: Arguments
}

/** Throws 406. `name` is the empty one where the server is to make one. */
export function checkStreamRequest(name: string, request: StreamRequest, subject: string): void {
  const { arguments: args } = request
  checkSizes(args, subject)
  if (name === '') throw refused('Cannot declare a server-named queue for type rabbit_stream_queue')
  for (const key of REFUSED) if (argument(args, key) !== undefined) throw notOfStreams(key, subject)
  if (request.autoDelete) throw refused(`invalid property 'auto-delete' for ${subject}`)
  if (request.exclusive) throw refused(`invalid property 'exclusive-owner' for ${subject}`)
  if (!request.durable) throw refused(`invalid property 'non-durable' for ${subject}`)
  if (numberOf(args, SEGMENT_SIZE) > SEGMENT_BYTES_MAX) throw refused(`Exceeded max value for ${SEGMENT_SIZE}`)
  const filterSize = numberOf(args, FILTER_SIZE)
  if (filterSize < 16 || filterSize > 255) throw refused(`Invalid value for ${FILTER_SIZE}`)
}

/** Of any queue that is declared with them. */
function checkSizes(args: Arguments, subject: string): void {
  for (const name of [SEGMENT_SIZE, FILTER_SIZE]) {
    const value = argument(args, name)
    if (value !== undefined) checkInteger(name, value, 0, subject)
  }
  const age = argument(args, 'x-max-age')
  if (age === undefined) return
  if (typeof age !== 'string') throw invalid('x-max-age', subject, `{unacceptable_type,${fieldTypeName(age)}}`)
  if (parseAge(age) === null) throw invalid('x-max-age', subject, 'invalid_max_age')
}

function numberOf(args: Arguments, name: string): number {
  const value = argument(args, name)
  return value === undefined ? Number.NaN : Number(fieldValueText(value))
}

// -- consuming --------------------------------------------------------------------------------------------------------

/** Throws 406 on the channel, 540 on the connection. */
export function checkStreamConsumer(spec: ConsumerSpec, sink: ConsumerSink, subject: string): void {
  if (argument(spec.arguments, 'x-priority') !== undefined) throw notOfStreams('x-priority', subject)
  if (spec.prefetch === 0) throw refused(`consumer prefetch count is not set for stream ${subject}`)
  if (spec.noAck) throw notImplemented(`automatic acknowledgement not supported by stream ${subject}`)
  if (sink.credit.limit !== 0) throw notImplemented(`${subject} does not support global qos`)
  const offset = argument(spec.arguments, OFFSET)
  if (offset !== undefined && startOf(spec.arguments, 0) === null) {
    throw invalid(OFFSET, subject, `{invalid_stream_offset_arg,${described(offset)}}`)
  }
  const filter = argument(spec.arguments, FILTER)
  if (Array.isArray(filter) && filterOf(spec.arguments) === null) {
    throw invalid(FILTER, subject, '"expected strings"')
  }
}

export function notImplemented(text: string): ConnectionError {
  return new ConnectionError(ReplyCode.NOT_IMPLEMENTED, text)
}

/** Where a consumer begins: at an offset, at a time (ms), so many before the end, or at one of the ends. */
export type Start =
  | { at: 'first' | 'last' | 'next' }
  | { at: 'offset'; offset: number }
  | { at: 'time'; ms: number }
  | { at: 'newest'; count: number }

/** null: x-stream-offset is nothing of the kind. */
export function startOf(args: Arguments, now: number): Start | null {
  const value = argument(args, OFFSET)
  if (value === undefined) return { at: 'next' }
  if (typeof value === 'string') return startAtText(value, now)
  const type = fieldType(value)
  const number = Number(fieldValueText(value))
  if (type === 'T') return startAtTime(number * 1000, now)
  if (!INTEGER_TYPES.includes(type)) return null
  // RabbitMQ takes a negative one for 0; LavinMQ, and we, count back from the end.
  return number < 0 ? { at: 'newest', count: -number } : { at: 'offset', offset: number }
}

function startAtText(text: string, now: number): Start | null {
  if (text === 'first' || text === 'last' || text === 'next') return { at: text }
  const age = parseAge(text)
  return age === null ? null : startAtTime(now - age, now)
}

function startAtTime(ms: number, now: number): Start {
  return ms > now ? { at: 'next' } : { at: 'time', ms }
}

export interface StreamFilter {
  values: ReadonlySet<string>
  /** Messages without a value pass, too. */
  matchUnfiltered: boolean
}

/** null: no filter. */
export function filterOf(args: Arguments): StreamFilter | null {
  const value = argument(args, FILTER)
  const values = (Array.isArray(value) ? value : [value]).filter((v) => typeof v === 'string')
  if (values.length === 0) return null
  return { values: new Set(values), matchUnfiltered: argument(args, 'x-stream-match-unfiltered') === true }
}

// -- refusing ---------------------------------------------------------------------------------------------------------

function refused(text: string): ChannelError {
  return new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
}

function notOfStreams(name: string, subject: string): ChannelError {
  return refused(`invalid arg '${name}' for ${subject} of queue type rabbit_stream_queue`)
}

function described(value: FieldValue): string {
  return `{${fieldTypeName(value)},${typeof value === 'string' ? binaryText(value) : fieldValueText(value)}}`
}
