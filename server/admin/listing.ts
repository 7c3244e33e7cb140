// Lists: RabbitMQ's paging, filter, sort and choice of columns, and an answer that is built and sent in slices, so that ten
// thousand queues hold up no message. A list works on keys (names, ids) and looks an object up when its turn comes: what
// has gone meanwhile is left out.
import { Readable } from 'node:stream'
import type { Call } from './context'
import { matching } from './name-filter'
import { badRequest, Problem } from './problem'
import { collect, type Slices, sortInSlices } from './slices'

export type Item = Record<string, unknown>

export interface List<K> {
  readonly keys: Iterable<K>
  /** Leaves keys out before anything is counted. */
  readonly accepts?: (key: K) => boolean
  /** What the parameter `name` is held against. */
  nameOf(key: K): string
  /** The order when the request asks for none. */
  compare(a: K, b: K): number
  /** null: gone. */
  item(key: K): Item | null
}

const PAGE_SIZE = 100
const PAGE_SIZE_MAX = 500
/** An answer this short is sent whole. */
const SHORT = 50
const CHUNK_CHARS = 65_536

export async function sendList<K>(call: Call, list: List<K>, slices: Slices): Promise<unknown> {
  const paging = pagingOf(call)
  await slices.next()
  const keys = await collect(list.keys, slices, list.accepts)
  const chosen = paging === null ? keys : await filtered(call, list, keys, slices)
  const inOrder = await sorted(call, list, chosen, slices)
  if (paging === null) return send(call, list, inOrder, slices, '[', ']')
  const page = cut(paging, inOrder)
  const counts = {
    filtered_count: inOrder.length,
    item_count: page.length,
    page: paging.page,
    page_count: Math.ceil(inOrder.length / paging.size),
    page_size: paging.size,
    total_count: keys.length,
  }
  return send(call, list, page, slices, `${JSON.stringify(counts).slice(0, -1)},"items":[`, ']}')
}

// -- which ------------------------------------------------------------------------------------------------------------

interface Paging {
  page: number
  size: number
}

/** null: none was asked for, and the answer is a bare array. */
function pagingOf({ query }: Call): Paging | null {
  if (query.page === undefined) return null
  const page = wholeNumber(query.page)
  const size = query.page_size === undefined ? PAGE_SIZE : wholeNumber(query.page_size)
  if (page < 1 || size < 1 || size > PAGE_SIZE_MAX) {
    const reason = `Invalid pagination parameters: page number ${page}, page size ${size}`
    throw new Problem(400, 'invalid_pagination_parameters', reason)
  }
  return { page, size }
}

function wholeNumber(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw badRequest('Pagination parameters are invalid')
  return Number(text)
}

function cut<T>({ page, size }: Paging, items: T[]): T[] {
  const start = (page - 1) * size
  if (page > 1 && start >= items.length) {
    const reason = `Page out of range, page: ${page} page size: ${size}, len: ${items.length}`
    throw new Problem(400, 'page_out_of_range', reason)
  }
  return items.slice(start, start + size)
}

async function filtered<K>({ query }: Call, list: List<K>, keys: K[], slices: Slices): Promise<K[]> {
  if (!query.name) return keys
  const names = keys.map((key) => list.nameOf(key))
  const found = await matching(names, query.name, query.use_regex === 'true', slices)
  return keys.filter((_key, i) => found[i])
}

// -- in which order ---------------------------------------------------------------------------------------------------

/** By the list's own order; where a column is named, that decides between equals. */
async function sorted<K>({ query }: Call, list: List<K>, keys: K[], slices: Slices): Promise<K[]> {
  const inOwnOrder = await sortInSlices(keys, (a, b) => list.compare(a, b), slices)
  const inOrder = query.sort ? await sortedBy(query.sort.split('.'), list, inOwnOrder, slices) : inOwnOrder
  return query.sort_reverse === 'true' ? inOrder.reverse() : inOrder
}

/** An item is built for its value and let go: ten thousand items kept until they are sent cost a garbage collection longer
 *  than a message may wait. */
async function sortedBy<K>(path: readonly string[], list: List<K>, keys: K[], slices: Slices): Promise<K[]> {
  const valued: { key: K; value: unknown }[] = []
  for (const key of keys) {
    const item = list.item(key)
    if (item !== null) valued.push({ key, value: valueAt(item, path) })
    if (slices.isOver) await slices.next()
  }
  const inOrder = await sortInSlices(valued, (a, b) => compareValues(a.value, b.value), slices)
  return inOrder.map(({ key }) => key)
}

/** Numbers before texts, nothing before both. */
function compareValues(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === typeof b || a === undefined || b === undefined) return compareText(textOf(a), textOf(b))
  return typeof a === 'number' ? -1 : typeof b === 'number' ? 1 : compareText(textOf(a), textOf(b))
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function valueAt(item: Item, path: readonly string[]): unknown {
  let value: unknown = item
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Item)[name]
  }
  return value
}

// -- sent how ---------------------------------------------------------------------------------------------------------

function send<K>(call: Call, list: List<K>, keys: K[], slices: Slices, before: string, after: string): unknown {
  const pick = columnsOf(call)
  call.reply.header('content-type', 'application/json')
  const texts = textsOf(list, keys, pick)
  if (keys.length <= SHORT) return before + [...texts].join(',') + after
  return Readable.from(chunks(texts, slices, before, after), { objectMode: false })
}

/** Objects that have gone are left out. */
function* textsOf<K>(list: List<K>, keys: K[], pick: (item: Item) => Item): Iterable<string> {
  for (const key of keys) {
    const item = list.item(key)
    if (item !== null) yield JSON.stringify(pick(item))
  }
}

async function* chunks(texts: Iterable<string>, slices: Slices, before: string, after: string) {
  let chunk = before
  let separator = ''
  await slices.next()
  for (const text of texts) {
    chunk += separator + text
    separator = ','
    if (chunk.length < CHUNK_CHARS && !slices.isOver) continue
    yield chunk
    chunk = ''
    await slices.next()
  }
  yield chunk + after
}

/** columns=name,message_stats.publish: those and nothing else, each at its place. */
export function columnsOf({ query }: Call): (item: Item) => Item {
  if (!query.columns) return (item) => item
  const paths = query.columns.split(',').map((column) => column.split('.'))
  return (item) => {
    const picked: Item = {}
    for (const path of paths) {
      const value = valueAt(item, path)
      if (value !== undefined) put(picked, path, value)
    }
    return picked
  }
}

function put(into: Item, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path
  if (rest.length === 0) {
    into[name] = value
    return
  }
  const inner = into[name]
  const target: Item = typeof inner === 'object' && inner !== null ? (inner as Item) : {}
  into[name] = target
  put(target, rest, value)
}
