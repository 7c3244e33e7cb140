// The JSON in a request's body, and the fields in it, each with RabbitMQ's complaint when it is of the wrong kind.
import { type FieldTable, plainToTable } from '../../protocol'
import type { Call } from './context'
import { badRequest } from './problem'

export type Body = Readonly<Record<string, unknown>>

const NAME_BYTES_MAX = 255

/** No body is {}. Throws 400 for anything but an object, and when one of `required` is missing. */
export function bodyOf({ request }: Call, ...required: string[]): Body {
  const body = parsed(request.body as string | undefined)
  const missing = required.filter((name) => !Object.hasOwn(body, name))
  if (missing.length > 0) throw badRequest(`[${missing.map((name) => `{key_missing,${name}}`).join(',')}]`)
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

export function tableIn(body: Body, name: string): FieldTable {
  return tableFrom(body[name] ?? {}, name)
}

/** Tables are objects; PHP and Erlang write an empty one as []. */
export function tableFrom(value: unknown, name: string): FieldTable {
  if (Array.isArray(value) && value.length === 0) return {}
  if (!isObject(value)) throw badRequest(['not_table', name])
  checkWritable(value, name, TABLE_DEPTH_MAX)
  return plainToTable(value)
}

/** As deep as a table may come over AMQP. */
const TABLE_DEPTH_MAX = 32

/** JSON holds what a field table cannot; a client that is sent such a table closes its connection. */
function checkWritable(value: unknown, name: string, depthLeft: number): void {
  if (typeof value === 'number') {
    const isTooBig = Number.isInteger(value) ? !Number.isSafeInteger(value) : !Number.isFinite(value)
    if (isTooBig) throw badRequest(['number_too_big', name])
  }
  if (typeof value !== 'object' || value === null) return
  if (depthLeft === 0) throw badRequest(['nested_too_deep', name])
  for (const [field, inner] of Object.entries(value)) {
    if (Buffer.byteLength(field) > NAME_BYTES_MAX) throw badRequest(['field_name_too_long', name])
    checkWritable(inner, name, depthLeft - 1)
  }
}

/** A name or routing key that must fit in a short string, or no client could ever ask for it: 0-9-1 §4.2.5.3. */
export function checkName(text: string): string {
  if (Buffer.byteLength(text) > NAME_BYTES_MAX) throw badRequest(`a name is at most ${NAME_BYTES_MAX} bytes`)
  return text
}

/** A flag of the query, as in DELETE ...?if-unused=true. */
export function flagIn({ query }: Call, name: string): boolean {
  return query[name] === 'true'
}
