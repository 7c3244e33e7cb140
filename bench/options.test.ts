import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { OptionsError, parseOptions } from './options'

describe('parseOptions', () => {
  let printed = ''
  const keep = (text: string | Uint8Array): boolean => {
    printed += String(text)
    return true
  }

  beforeEach(() => {
    printed = ''
    jest.spyOn(process.stderr, 'write').mockImplementation(keep)
    jest.spyOn(process.stdout, 'write').mockImplementation(keep)
  })
  afterEach(() => {
    jest.restoreAllMocks()
  })

  it('defaults to one run of every row on a broker of our own', () => {
    expect(parseOptions([])).toEqual({
      rows: [],
      list: false,
      smoke: false,
      url: null,
      pid: null,
      vs: null,
      repeats: 1,
      seconds: null,
      messages: null,
      json: null,
      results: null,
      dataParent: null,
      profile: null,
    })
  })

  it('repeats three times against another broker, unless told otherwise', () => {
    expect(parseOptions(['--vs', 'rabbitmq']).repeats).toBe(3)
    expect(parseOptions(['--vs', 'rabbitmq', '--repeats', '5']).repeats).toBe(5)
  })

  it('splits rows at commas', () => {
    expect(parseOptions(['--row', 'a, c-window-1']).rows).toEqual(['a', 'c-window-1'])
  })

  it('sends JSON to standard output or to a file', () => {
    expect(parseOptions(['--json']).json).toBe('-')
    expect(parseOptions(['--json', 'figures.json']).json).toBe('figures.json')
  })

  it.each([
    [['--url', 'http://localhost'], 'amqp://'],
    [['--vs', 'qpid'], 'rabbitmq'],
    [['--repeats', '0'], 'above 0'],
    [['--messages', '1.5'], 'whole number'],
    [['--seconds', 'soon'], 'above 0'],
    [['--pid', '17'], '--url'],
    [['--url', 'amqp://localhost', '--vs', 'rabbitmq'], 'one of them'],
    [['--rows', 'a'], '--row'],
    [['a'], 'too many arguments'],
  ])('refuses %j and says why', (args, reason) => {
    expect(() => parseOptions(args)).toThrow(OptionsError)
    expect(printed).toContain(reason)
  })

  it('shows every option in its help', () => {
    expect(() => parseOptions(['--help'])).toThrow(OptionsError)
    for (const option of ['--row', '--url', '--vs', '--repeats', '--json', '--smoke']) expect(printed).toContain(option)
  })
})
