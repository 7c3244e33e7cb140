// The checker itself: invented histories, true ones and those in which the broker broke a promise.
import { beforeEach, describe, expect, it } from '@jest/globals'
import { type Found, Ledger } from './ledger'

let ledger: Ledger
beforeEach(() => {
  ledger = new Ledger()
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
