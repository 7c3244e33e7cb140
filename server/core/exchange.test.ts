// The matchers of the exchange types against naive ones.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { encodeProperties, type FieldValue, fieldEquals, Typed, tableToJson } from '../../protocol'
import { sampleMessage } from '../../storage/sample-message'
import { Binding } from './binding'
import type { Arguments } from './core-api'
import { Exchange } from './exchange'
import { checkHeadersArguments } from './exchange-headers'
import { RoutedMessage } from './routed-message'

const exchange = (type: string, name = 'source') =>
  new Exchange(name, { type, durable: true, autoDelete: false, internal: false, arguments: {} })

function bind(from: Exchange, routingKey: string, args: Arguments = {}, to = exchange('fanout', 'to')): Binding {
  const binding = new Binding(from, to, 'exchange', routingKey, args, tableToJson(args))
  from.add(binding)
  return binding
}

function matched(from: Exchange, routingKey: string, headers: Arguments = {}): Binding[] {
  const found: Binding[] = []
  const { headerBuf, ...rest } = sampleMessage({ routingKey })
  const properties = encodeProperties({ headers })
  const message = { ...rest, headerBuf: Buffer.concat([headerBuf.subarray(0, 12), properties]) }
  message.headerEnd = message.headerBuf.length
  from.match(new RoutedMessage([routingKey], message), (binding) => found.push(binding))
  return found
}

/** '#' is any number of words, '*' is one. */
function topicMatches(pattern: readonly string[], words: readonly string[]): boolean {
  if (pattern.length === 0) return words.length === 0
  const [first, ...rest] = pattern
  if (first === '#') return topicMatches(rest, words) || (words.length > 0 && topicMatches(pattern, words.slice(1)))
  return words.length > 0 && (first === '*' || first === words[0]) && topicMatches(rest, words.slice(1))
}

/** As the documentation tells it. */
function headersMatch({ 'x-match': mode = 'all', ...args }: Arguments, headers: Arguments): boolean {
  const withX = mode === 'all-with-x' || mode === 'any-with-x'
  const fields = Object.entries(args).filter(([name]) => withX || !name.startsWith('x-'))
  const isHit = ([name, wanted]: [string, FieldValue]) =>
    Object.hasOwn(headers, name) && (wanted === null || fieldEquals(headers[name], wanted))
  return mode === 'any' || mode === 'any-with-x' ? fields.some(isHit) : fields.every(isHit)
}

/** Few values that are often equal, also across the widths and kinds of numbers. */
const value: fc.Arbitrary<FieldValue> = fc.oneof(
  fc.constantFrom<FieldValue>(1, '1', true, null, 0, -0, '', 2 ** 40, { a: 1 }, { a: 2 }, [1], [], Number.NaN),
  fc.constantFrom<FieldValue>(
    new Typed('l', 1),
    new Typed('b', 1),
    new Typed('d', 1),
    new Typed('f', 1),
    new Typed('T', 1),
    new Typed('x', Buffer.from('1')),
    new Typed('S', Buffer.from([0xff])),
    new Typed('D', { scale: 1, unscaled: 10 }),
    new Typed('l', 2n ** 60n),
  ),
)

/** Enough that looking at all of them would show. */
const MANY = 100_000

const wordsOf = (key: string) => (key === '' ? [] : key.split('.'))
const key = (words: string[]) => fc.array(fc.constantFrom(...words), { maxLength: 5 }).map((w) => w.join('.'))

describe('a topic exchange', () => {
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.', true],
    ['a.#', 'a', true],
    ['a.#', 'a.b.c', true],
    ['#', '', true],
    ['#.#', '', true],
    ['*', '', false],
    ['', '', true],
    ['#.b', 'a.a.b', true],
    ['#.b.#', 'b', true],
    ['*.#.*', 'a', false],
    ['#a', 'xa', false],
    ['#', '#', true],
    ['*', '#', true],
    ['a', '*', false],
  ])('%j and key %j: %s', (pattern, routingKey, isMatch) => {
    const from = exchange('topic')
    bind(from, pattern)
    expect(matched(from, routingKey)).toHaveLength(isMatch ? 1 : 0)
  })

  it('matches as the naive matcher does, each binding once, while bindings come and go', () => {
    const patterns = fc.array(fc.tuple(key(['a', 'b', '', '*', '#', '#']), fc.boolean()), { maxLength: 12 })
    fc.assert(
      fc.property(patterns, fc.array(key(['a', 'b', 'c', '', '#', '*']), { maxLength: 5 }), (changes, keys) => {
        const from = exchange('topic')
        const bound = new Map<string, Binding>()
        for (const [pattern, isKept] of changes) {
          if (!bound.has(pattern)) bound.set(pattern, bind(from, pattern))
          if (isKept) continue
          from.remove(bound.get(pattern) as Binding)
          bound.delete(pattern)
        }
        for (const k of keys) {
          const expected = [...bound.keys()].filter((pattern) => topicMatches(wordsOf(pattern), wordsOf(k)))
          const found = matched(from, k).map((binding) => binding.routingKey)
          expect(found.sort()).toEqual(expected.sort())
        }
      }),
      { numRuns: 500 },
    )
  })

  it('with 100,000 bindings takes about as long as with few, to bind and to unbind too', () => {
    const from = exchange('topic')
    const started = performance.now()
    const [bound, to]: [Binding[], Exchange] = [[], exchange('fanout')]
    for (let i = 0; i < MANY; i++) bound.push(bind(from, patternOf(i), {}, to))
    for (let i = 0; i < MANY; i += 7) {
      const found = matched(from, patternOf(i).replace('*', 'one').replaceAll('#', 'two.words'))
      expect(found).toContain(bound[i])
    }
    for (const binding of bound) from.remove(binding)
    expect(matched(from, patternOf(1))).toHaveLength(0)
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  it('takes bounded time for many words that stand for any number', () => {
    const from = exchange('topic')
    bind(from, '#.a.'.repeat(30).slice(0, -1))
    expect(matched(from, 'a.'.repeat(60).slice(0, -1))).toHaveLength(1)
    expect(matched(from, `${'a.'.repeat(60)}b`)).toHaveLength(0)
  })
})

/** Exact, one '*', '#' in the middle, several '#', an empty word: a different one for each number. */
function patternOf(i: number): string {
  const id = `id${i}`
  return [`a.b${i % 100}.${id}`, `*.${id}.c`, `a.#.${id}.c`, `#.${id}.#.d.#`, `a..${id}`][i % 5]
}

describe('a headers exchange', () => {
  it.each<[Arguments, Arguments, boolean]>([
    [{}, {}, true],
    [{}, { a: 1 }, true],
    [{ a: 1 }, { a: 1, b: 2 }, true],
    [{ a: 1, b: 2 }, { a: 1 }, false],
    [{ a: 1 }, { a: 2 }, false],
    [{ a: '1' }, { a: 1 }, false],
    [{ 'x-match': 'all', a: 1, b: 2 }, { a: 1, b: 2 }, true],
    [{ 'x-match': 'any', a: 1, b: 2 }, { b: 2 }, true],
    [{ 'x-match': 'any', a: 1, b: 2 }, { a: 2, b: 1 }, false],
    [{ 'x-match': 'any' }, { a: 1 }, false],
    [{ a: null }, { a: 'anything' }, true],
    [{ a: null }, { b: 1 }, false],
    [{ 'x-id': 1, a: 1 }, { a: 1 }, true],
    [{ 'x-match': 'all-with-x', 'x-id': 1, a: 1 }, { a: 1 }, false],
    [{ 'x-match': 'all-with-x', 'x-id': 1, a: 1 }, { a: 1, 'x-id': 1 }, true],
    [{ 'x-match': 'any', 'x-id': 1 }, { 'x-id': 1 }, false],
    [{ 'x-match': 'any-with-x', 'x-id': 1 }, { 'x-id': 1 }, true],
    [{ toString: null }, {}, false],
  ])('binding %j, message %j: %s', (args, headers, isMatch) => {
    const from = exchange('headers')
    bind(from, 'ignored', args)
    expect(matched(from, 'any key', headers)).toHaveLength(isMatch ? 1 : 0)
  })

  it('knows its modes', () => {
    for (const mode of ['all', 'any', 'all-with-x', 'any-with-x']) checkHeadersArguments({ 'x-match': mode })
    checkHeadersArguments({})
    for (const wrong of ['', 'ALL', 1, null]) {
      expect(() => checkHeadersArguments({ 'x-match': wrong })).toThrow(/x-match/)
    }
  })

  it('matches as the naive matcher does, each binding once, while bindings come and go', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'x-a', 'x-match2')
    const table = fc.dictionary(names, value, { maxKeys: 4 })
    const mode = fc.constantFrom(undefined, 'all', 'any', 'all-with-x', 'any-with-x')
    const change = fc.record({ mode, fields: table, isKept: fc.boolean() })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 10 }), fc.array(table, { maxLength: 6 }), (changes, messages) => {
        const from = exchange('headers')
        const bound = new Set<Binding>()
        for (const { mode, fields, isKept } of changes) {
          const binding = bind(from, String(bound.size), mode === undefined ? fields : { 'x-match': mode, ...fields })
          if (isKept) bound.add(binding)
          else from.remove(binding)
        }
        for (const headers of messages) {
          const expected = [...bound].filter((binding) => headersMatch(binding.arguments, headers))
          const found = matched(from, 'k', headers)
          expect(found).toHaveLength(expected.length)
          expect(new Set(found)).toEqual(new Set(expected))
        }
      }),
      { numRuns: 500 },
    )
  })

  it('takes as long with bindings that have nothing in common with the message as without them', () => {
    const [from, to] = [exchange('headers'), exchange('fanout')]
    for (let i = 0; i < MANY; i++) bind(from, '', { 'x-match': i % 2 ? 'any' : 'all', id: i, kind: 'k' }, to)
    const started = performance.now()
    for (let i = 0; i < 1000; i++) expect(matched(from, '', { id: 2 * i })).toHaveLength(0)
    for (let i = 0; i < 1000; i++) expect(matched(from, '', { id: 2 * i + 1 })).toHaveLength(1)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it.each(['all', 'any'])('%s: a binding of 1,000 arguments is looked at once', (mode) => {
    const from = exchange('headers')
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`h${i}`, [{ i }]]))
    bind(from, '', { 'x-match': mode, ...fields })
    expect(matched(from, '', fields)).toHaveLength(1)
    expect(matched(from, '', { ...fields, h999: null })).toHaveLength(mode === 'any' ? 1 : 0)
    const others = Object.fromEntries(Object.keys(fields).map((name) => [name, [{ i: -1 }]]))
    const started = performance.now()
    for (let i = 0; i < 20; i++) expect(matched(from, '', others)).toHaveLength(0)
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})

describe('direct and fanout exchanges', () => {
  it('match the very key, and any', () => {
    const direct = exchange('direct')
    const [one, two] = [bind(direct, 'k', { n: 1 }), bind(direct, 'k', { n: 2 })]
    bind(direct, 'other')
    expect(matched(direct, 'k')).toEqual([one, two])
    direct.remove(one)
    expect(matched(direct, 'k')).toEqual([two])
    const fanout = exchange('fanout')
    bind(fanout, 'a')
    bind(fanout, 'b')
    expect(matched(fanout, 'c')).toHaveLength(2)
  })

  it('bind and unbind 100,000 in time that does not grow with them', () => {
    for (const type of ['direct', 'fanout']) {
      const [from, to] = [exchange(type), exchange('fanout')]
      const started = performance.now()
      const bound = Array.from({ length: MANY }, (_, i) =>
        bind(from, type === 'direct' ? `k${i % 1000}` : '', { i }, to),
      )
      expect(matched(from, 'k7')).toHaveLength(type === 'direct' ? 100 : MANY)
      for (const binding of bound) from.remove(binding)
      expect(matched(from, 'k7')).toHaveLength(0)
      expect(performance.now() - started).toBeLessThan(10_000)
    }
  })

  it('tell their destinations of their bindings', () => {
    const from = exchange('direct')
    const binding = bind(from, 'k')
    expect([...binding.to.incoming]).toEqual([binding])
    from.remove(binding)
    expect(binding.to.incoming.size).toBe(0)
  })
})
