import { describe, expect, it } from '@jest/globals'
import { createLineLogger, type LogLevel } from './logger'

function lines(level: LogLevel = 'debug') {
  const printed: string[] = []
  const logger = createLineLogger(
    level,
    (line) => printed.push(line),
    () => new Date(0),
  )
  return { logger, printed }
}

describe('the line logger', () => {
  it('prints time, level, message and fields', () => {
    const { logger, printed } = lines()
    logger.info('connection opened', { peer: '127.0.0.1:1', user: 'guest', channels: 2, missing: undefined })
    expect(printed).toEqual(['1970-01-01T00:00:00.000Z info  connection opened peer=127.0.0.1:1 user=guest channels=2'])
  })

  it('prints its level and those after it', () => {
    const { logger, printed } = lines('warn')
    logger.debug('a')
    logger.info('b')
    logger.warn('c')
    logger.error('d')
    expect(printed.map((line) => line.slice(25))).toEqual(['warn  c', 'error d'])
  })

  it('prints nothing at level none', () => {
    const { logger, printed } = lines('none')
    logger.error('a')
    expect(printed).toEqual([])
  })

  it('keeps one call on one line, whatever a peer sent', () => {
    const { logger, printed } = lines()
    logger.warn('refused\nfake line', { user: 'a\r\n2026 error fake', product: 'two words', empty: '' })
    expect(printed[0].slice(25)).toBe(
      String.raw`warn  refused\u000afake line user="a\r\n2026 error fake" product="two words" empty=""`,
    )
    logger.warn('escape', { user: '\u001b[2J\u2028' })
    expect(printed[1].slice(25)).toBe(String.raw`warn  escape user="\u001b[2J\u2028"`)
  })

  it('hides what is secret by its name, however deep', () => {
    const { logger, printed } = lines()
    logger.debug('login', { password: 'p', options: { defaultPassword: 'q', n: 1n }, error: new Error('boom') })
    expect(printed[0].slice(25)).toBe(
      String.raw`debug login password=*** options="{\"defaultPassword\":\"***\",\"n\":\"1\"}" error=boom`,
    )
  })
})
