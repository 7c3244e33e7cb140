// How much of a stream is kept: by its arguments or by policy, which counts before them, as in RabbitMQ. The segments of RabbitMQ have
// no counterpart here: their size is accepted, and means nothing.
import { fieldValueText } from '../../protocol/field-table'
import { parseAge } from './age'
import { argument } from './arguments'
import type { Arguments } from './core-api'
import type { EffectivePolicy } from './policies'
import type { ChunkLimits } from './stream-log'

export interface Retention {
  /** Bodies beyond so many bytes, and messages older than this, go. */
  bytes: number
  ms: number
  chunks: ChunkLimits
}

/** Chunks go whole. So much finer than what is kept are they, within these limits. */
const SIZE_SHARE = 64
const CHUNK_BYTES_MAX = 4 * 1024 * 1024
const AGE_SHARE = 256
const SPAN_MS_MIN = 1000

export function retentionOf(args: Arguments, { definition }: EffectivePolicy): Retention {
  const bytes = numberOr(definition['max-length-bytes'] ?? textOf(args, 'x-max-length-bytes'))
  const age = definition['max-age'] ?? textOf(args, 'x-max-age')
  const ms = (typeof age === 'string' ? parseAge(age) : null) ?? Number.POSITIVE_INFINITY
  const chunkBytes = Math.max(1, Math.min(CHUNK_BYTES_MAX, bytes / SIZE_SHARE))
  return { bytes, ms, chunks: { bytes: chunkBytes, spanMs: Math.max(SPAN_MS_MIN, ms / AGE_SHARE) } }
}

function textOf(args: Arguments, name: string): string | undefined {
  const value = argument(args, name)
  return value === undefined ? undefined : fieldValueText(value)
}

function numberOr(value: unknown): number {
  return value === undefined ? Number.POSITIVE_INFINITY : Number(value)
}
