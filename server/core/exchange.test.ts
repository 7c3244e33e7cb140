// The matchers of the exchange types against naive ones.
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { encodeProperties } from '../../protocol'
import { sampleMessage } from '../../storage/sample-message'
import { Binding } from './binding'
import type { Arguments } from './core-api'
import { Exchange } from './exchange'
import { checkHeadersArguments } from './exchange-headers'
import { RoutedMessage } from './routed-message'

const exchange = (type: string, name = 'source') =>
  new Exchange(name, { type, durable: true, autoDelete: false, internal: false, arguments: {} })

function bind(from: Exchange, routingKey: string, args: Arguments = {}): Binding {
  const to = exchange('fanout', `to ${routingKey} ${JSON.stringify(args)}`)
  const binding = new Binding(from, to, 'exchange', routingKey, args, JSON.stringify(args))
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

  it('takes bounded time for many words that stand for any number', () => {
    const from = exchange('topic')
    bind(from, '#.a.'.repeat(30).slice(0, -1))
    expect(matched(from, 'a.'.repeat(60).slice(0, -1))).toHaveLength(1)
    expect(matched(from, `${'a.'.repeat(60)}b`)).toHaveLength(0)
  })
})

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

  it('tell their destinations of their bindings', () => {
    const from = exchange('direct')
    const binding = bind(from, 'k')
    expect([...binding.to.incoming]).toEqual([binding])
    from.remove(binding)
    expect(binding.to.incoming.size).toBe(0)
  })
})
