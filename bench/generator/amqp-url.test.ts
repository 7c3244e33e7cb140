import { describe, expect, it } from '@jest/globals'
import { describeUrl, parseAmqpUrl } from './amqp-url'

describe('parseAmqpUrl', () => {
  it('fills in what is left out', () => {
    const defaults = { tls: false, host: 'localhost', port: 5672, user: 'guest', password: 'guest', vhost: '/' }
    expect(parseAmqpUrl('amqp://localhost')).toEqual(defaults)
    expect(parseAmqpUrl('amqp://localhost/')).toEqual(defaults)
    expect(parseAmqpUrl('amqps://localhost')).toEqual({ ...defaults, tls: true, port: 5671 })
  })

  it('decodes every part', () => {
    expect(parseAmqpUrl('amqp://a%40b:c%2Fd@[::1]:1234/x%2Fy')).toEqual({
      tls: false,
      host: '::1',
      port: 1234,
      user: 'a@b',
      password: 'c/d',
      vhost: 'x/y',
    })
  })

  it.each(['', 'localhost', 'http://localhost', 'amqp//localhost'])('refuses %j', (text) => {
    expect(() => parseAmqpUrl(text)).toThrow('not an AMQP URL')
  })

  it('is described without its password', () => {
    expect(describeUrl(parseAmqpUrl('amqp://me:secret@host/v'))).toBe('amqp://host:5672/v')
  })
})
