// The checker itself: invented histories, true ones and those in which the broker broke a promise.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Found, Ledger } from './ledger'

let time: number
let ledger: Ledger
beforeEach(() => {
  time = 1_000_000
  ledger = new Ledger(() => time, new Map([['short', 'dead']]))
  for (const id of ['a:1', 'a:2', 'b:1']) ledger.sent(id, ['q'])
  for (const id of ['a:1', 'b:1']) ledger.onConfirmed(id)
})

const found = (...ids: string[]): Found[] => ids.map((id) => ({ id, redelivered: true }))

describe('a queue may hold', () => {
  it.each([
    ['what was confirmed', found('a:1', 'b:1')],
    ['what was only sent, too', found('a:1', 'a:2', 'b:1')],
    ['publishers in any order among themselves', found('b:1', 'a:1', 'a:2')],
    ['messages that say redelivered and were not, after a crash', found('a:1', 'b:1')],
  ])('%s', (_, content) => {
    ledger.check('q', content)
    expect(ledger.found).toBe(content.length)
  })

  it('or not hold, what was settled and not known to be on disk', () => {
    ledger.onSettling('q', ['a:1'])
    ledger.check('q', found('b:1'))
    ledger.onSettling('q', ['b:1'])
    ledger.check('q', found('b:1'))
  })
})

describe('the checker finds', () => {
  it.each<[string, Found[], string]>([
    ['a lost message', found('a:1'), 'q has lost b:1'],
    ['one that is there twice', found('a:1', 'a:1', 'b:1'), 'q holds a:1 twice'],
    ['two in the wrong order', found('a:2', 'a:1', 'b:1'), 'q has a:1 behind a later one'],
    ['one that nobody sent', found('a:1', 'b:1', 'c:1'), 'q delivers c:1, which was never sent there'],
  ])('%s', (_, content, text) => {
    expect(() => ledger.check('q', content)).toThrow(text)
  })

  it('one that comes back', () => {
    ledger.onSettled('q', ['a:1'])
    expect(() => ledger.check('q', found('a:1', 'b:1'))).toThrow('q delivers a:1 again, which was settled for good')
  })

  it('one that disappears and comes back', () => {
    ledger.onSettling('q', ['a:1'])
    ledger.check('q', found('b:1'))
    expect(() => ledger.check('q', found('a:1', 'b:1'))).toThrow('q delivers a:1')
  })

  it('a second delivery that does not say so', () => {
    ledger.onDelivered('q', { id: 'a:1', redelivered: false })
    const again = [{ id: 'a:1', redelivered: false }, ...found('b:1')]
    expect(() => ledger.check('q', again)).toThrow('q delivers a:1 again and does not say so')
  })

  it('a confirm of nothing', () => {
    expect(() => ledger.onConfirmed('c:9')).toThrow('never sent')
  })
})

describe('a message with a TTL of a second', () => {
  beforeEach(() => {
    ledger.sent('t:1', ['short', 'q'], (queue) => (queue === 'short' ? 1000 : Infinity))
    ledger.onConfirmed('t:1')
  })

  const inQ = found('a:1', 'b:1', 't:1')

  it('may be gone after it, and only where it has one', () => {
    time += 1000
    expect(ledger.expiringIn('short')).toBe(1)
    ledger.check('short', [])
    expect(ledger.expired).toBe(1)
    expect(() => ledger.check('q', found('a:1', 'b:1'))).toThrow('q has lost t:1')
  })

  it('may not be gone before it', () => {
    time += 900
    expect(ledger.expiringIn('short')).toBe(0)
    expect(() => ledger.check('short', [])).toThrow('short has lost t:1')
  })

  it('may be there a little longer, and not for ever', () => {
    time += 2900
    ledger.check('short', found('t:1'))
    time += 200
    expect(() => ledger.check('short', found('t:1'))).toThrow('short delivers t:1, which expired 2100 ms ago')
    ledger.check('q', inQ)
  })

  it('counts from its confirm, or from the crash, where nobody knows when it arrived', () => {
    ledger.sent('t:2', ['short'], () => 1000)
    time += 9000
    ledger.onCrash()
    time += 2900
    expect(() => ledger.check('short', found('t:2'))).not.toThrow()
    time += 200
    expect(() => ledger.check('short', found('t:2'))).toThrow('which expired 2100 ms ago')
  })

  it('becomes a dead letter, or is lost', () => {
    time += 1000
    ledger.check('short', [])
    expect(ledger.countIn('dead')).toBe(1)
    ledger.check('dead', [{ id: 't:1', redelivered: false }])
    expect(() => ledger.check('dead', [])).toThrow('dead has lost t:1')
  })

  it('is no dead letter before it', () => {
    expect(() => ledger.onDelivered('dead', found('t:1')[0])).toThrow('dead delivers t:1, which was never sent there')
  })

  it('is a dead letter at once when it is rejected, unless the crash undid that', () => {
    ledger.onRejecting('short', 't:1')
    ledger.onDelivered('dead', { id: 't:1', redelivered: false })
    ledger.onCrash()
    ledger.check('short', found('t:1'))
    ledger.check('dead', [])
    ledger.onRejecting('short', 't:1')
    ledger.check('short', [])
    expect(() => ledger.check('dead', [])).toThrow('dead has lost t:1')
  })

  it('does not return to where it expired once its dead letter is settled for good', () => {
    time += 1000
    ledger.onDelivered('dead', { id: 't:1', redelivered: false })
    ledger.onSettled('dead', ['t:1'])
    expect(() => ledger.check('short', found('t:1'))).toThrow('whose dead letter was settled for good')
  })
})
