// The JSON in a request's body, and the fields in it, each with RabbitMQ's complaint when it is of the wrong kind.
import { type FieldTable, plainToTable } from '../../protocol'
import type { Call } from './context'
import { badRequest } from './problem'

export type Body = Readonly<Record<string, unknown>>

/** No body is {}. Throws 400 for anything but an object, and when one of `required` is missing. */
export function bodyOf({ request }: Call, ...required: string[]): Body {
  const body = parsed(request.body as string | undefined)
  const missing = required.filter((name) => !Object.hasOwn(body, name))
  if (missing.length > 0) throw badRequest(`[${missing.map((name) => `{key_missing,${name}}`).join(',\n ')}]`)
  return body
}

function parsed(text: string | undefined): Body {
  if (!text) return {}
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return value
  } catch {}
  throw badRequest('not_json')
}

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function booleanIn(body: Body, name: string): boolean {
  const value = body[name] ?? false
  if (typeof value === 'boolean') return value
  if (value === 'true' || value === 'false') return value === 'true'
  throw badRequest(['not_boolean', value])
}

export function stringIn(body: Body, name: string, otherwise = ''): string {
  const value = body[name] ?? otherwise
  if (typeof value !== 'string') throw badRequest(['not_string', name])
  return value
}

export function integerIn(body: Body, name: string): number {
  const value = body[name]
  const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
  if (!Number.isSafeInteger(number)) throw badRequest(['not_integer', value])
  return number as number
}

/** Tables are objects; PHP and Erlang write an empty one as []. */
export function tableIn(body: Body, name: string): FieldTable {
  const value = body[name] ?? {}
  if (isObject(value)) return plainToTable(value)
  if (Array.isArray(value) && value.length === 0) return {}
  throw badRequest(['not_table', name])
}

/** A flag of the query, as in DELETE ...?if-unused=true. */
export function flagIn({ query }: Call, name: string): boolean {
  return query[name] === 'true'
}
