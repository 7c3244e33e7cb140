// The hash and random exchanges: shares, steadiness, what moves when a binding comes or goes.
import { describe, expect, it } from '@jest/globals'
import { encodeProperties, type Properties } from '../../protocol'
import { sampleMessage } from '../../storage/sample-message'
import { Binding } from './binding'
import type { Arguments } from './core-api'
import { Exchange } from './exchange'
import { ConsistentHashMatcher, ModulusHashMatcher } from './exchange-hash'
import { RandomMatcher } from './exchange-random'
import type { Matcher } from './matcher'
import { RoutedMessage } from './routed-message'

const exchange = (type: string, name = 'source', args: Arguments = {}) =>
  new Exchange(name, { type, durable: true, autoDelete: false, internal: false, arguments: args })

const bindingTo = (name: string, routingKey = '') =>
  new Binding(exchange('direct'), exchange('fanout', name), 'exchange', routingKey, {}, '{}')

function message(routingKey: string, properties: Properties = {}): RoutedMessage {
  const { headerBuf, ...rest } = sampleMessage({ routingKey })
  const header = Buffer.concat([headerBuf.subarray(0, 12), encodeProperties(properties)])
  return new RoutedMessage([routingKey], { ...rest, headerBuf: header, headerEnd: header.length })
}

function taken(matcher: Matcher, m: RoutedMessage): string[] {
  const names: string[] = []
  matcher.match(m, (binding) => names.push(binding.destination))
  return names
}

const KEYS = Array.from({ length: 20_000 }, (_, i) => `key-${i}`)
const placed = (matcher: Matcher) => KEYS.map((key) => taken(matcher, message(key)).join())

function shares(names: string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1 / names.length
  return counts
}

describe('x-consistent-hash', () => {
  it('gives each binding the share of its weight', () => {
    const matcher = new ConsistentHashMatcher({})
    for (const [name, weight] of [
      ['a', '1'],
      ['b', '2'],
      ['c', '7'],
    ]) {
      matcher.add(bindingTo(name, weight))
    }
    const { a, b, c } = shares(placed(matcher))
    expect(a).toBeCloseTo(0.1, 1)
    expect(b).toBeCloseTo(0.2, 1)
    expect(c).toBeCloseTo(0.7, 1)
  })

  it('moves to a new binding only what it gets, and back when it goes', () => {
    const matcher = new ConsistentHashMatcher({})
    for (let i = 0; i < 9; i++) matcher.add(bindingTo(`q${i}`, '1'))
    const before = placed(matcher)
    const added = bindingTo('new', '1')
    matcher.add(added)
    const after = placed(matcher)
    for (const [i, name] of after.entries()) if (name !== before[i]) expect(name).toBe('new')
    expect(shares(after).new).toBeCloseTo(0.1, 1)
    matcher.remove(added)
    expect(placed(matcher)).toEqual(before)
  })

  it('does not depend on the order of binding', () => {
    const names = Array.from({ length: 20 }, (_, i) => `q${i}`)
    const [one, other] = [new ConsistentHashMatcher({}), new ConsistentHashMatcher({})]
    for (const name of names) one.add(bindingTo(name, '3'))
    const dropped = bindingTo('dropped', '3')
    other.add(dropped)
    for (const name of [...names].reverse()) other.add(bindingTo(name, '3'))
    other.remove(dropped)
    expect(placed(one)).toEqual(placed(other))
  })

  it.each<[string, Arguments, Properties, Properties]>([
    ['hash-header', { 'hash-header': 'user' }, { headers: { user: 1 } }, { headers: { user: 2 } }],
    ['x-hash-on', { 'x-hash-on': 'user' }, { headers: { user: 'a' } }, { headers: { user: 'b' } }],
    ['message_id', { 'hash-property': 'message_id' }, { messageId: 'a' }, { messageId: 'b' }],
    ['correlation_id', { 'hash-property': 'correlation_id' }, { correlationId: 'a' }, { correlationId: 'b' }],
    ['timestamp', { 'hash-property': 'timestamp' }, { timestamp: 1 }, { timestamp: 2 }],
  ])('by %s looks at that and not at the routing key', (_title, args, one, other) => {
    const matcher = new ConsistentHashMatcher(args)
    expect(matcher.isRepeatable).toBe(false)
    for (let i = 0; i < 1000; i++) matcher.add(bindingTo(`q${i}`, '1'))
    const [of, ofOther] = [taken(matcher, message('a', one)), taken(matcher, message('a', other))]
    expect(taken(matcher, message('b', one))).toEqual(of)
    expect(ofOther).not.toEqual(of)
    expect(taken(matcher, message('a', {}))).toEqual(taken(matcher, message('b', {})))
  })

  it('by routing key can be remembered; without bindings takes nothing', () => {
    const matcher = new ConsistentHashMatcher({ 'x-algorithm': 'jump' })
    expect(matcher.isRepeatable).toBe(true)
    expect(taken(matcher, message('k'))).toEqual([])
  })
})

describe('x-modulus-hash', () => {
  it('spreads evenly, by routing key, whatever the order of binding', () => {
    const [one, other] = [new ModulusHashMatcher(), new ModulusHashMatcher()]
    const names = ['a', 'b', 'c', 'd']
    for (const name of names) one.add(bindingTo(name))
    for (const name of [...names].reverse()) other.add(bindingTo(name))
    const of = placed(one)
    expect(placed(other)).toEqual(of)
    for (const name of names) expect(shares(of)[name]).toBeCloseTo(0.25, 1)
  })

  it('gives a queue bound more often a share for each binding', () => {
    const matcher = new ModulusHashMatcher()
    const bindings = [bindingTo('a', '1'), bindingTo('a', '2'), bindingTo('a', '3'), bindingTo('b')]
    for (const binding of bindings) matcher.add(binding)
    expect(shares(placed(matcher)).a).toBeCloseTo(0.75, 1)
    for (const binding of bindings.slice(1)) matcher.remove(binding)
    matcher.remove(bindings[1])
    expect(shares(placed(matcher))).toEqual({ a: expect.closeTo(1) })
    matcher.remove(bindings[0])
    expect(taken(matcher, message('k'))).toEqual([])
  })
})

describe('x-random', () => {
  it('draws one of the bindings there are', () => {
    const draws = [0, 0.5, 0.999, 0.5, 0.5, 0]
    const matcher = new RandomMatcher(() => draws.shift() as number)
    const bindings = ['a', 'b', 'c'].map((name) => bindingTo(name))
    for (const binding of bindings) matcher.add(binding)
    const draw = () => taken(matcher, message('k')).join()
    expect([draw(), draw(), draw()]).toEqual(['a', 'b', 'c'])
    matcher.remove(bindings[0])
    expect(draw()).toBe('b')
    matcher.remove(bindings[1])
    matcher.remove(bindings[0])
    expect(draw()).toBe('c')
    matcher.remove(bindings[2])
    expect(draw()).toBe('')
    expect(matcher.isRepeatable).toBe(false)
  })
})
