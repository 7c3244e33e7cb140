// `leveret policy` and `leveret limit` on a broker: what they set is there, what they list is what there is, and whoever
// asks for something wrong is told why.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Broker } from '../broker'
import { runCaptured } from './captured'

let broker: Broker
beforeAll(async () => {
  broker = await Broker.start({ port: 0, adminPort: 0 })
})
afterAll(() => broker.stop({ hurry: true }))

const run = (...args: string[]) => runCaptured(args, { LEVERET_ADMIN_PORT: String(broker.adminPort) })

const done = (output: string) => ({ code: 0, output: `${output}\n`, errors: '' })

describe('leveret policy', () => {
  it('sets, lists and deletes', async () => {
    expect(await run('policy', 'list')).toEqual(done('There are no policies.'))
    const options = ['--apply-to', 'queues', '--priority', '3']
    const set = await run('policy', 'set', 'short', '^tmp', '{"message-ttl": 5}', ...options)
    expect(set).toEqual(done('Policy short is set.'))
    expect(await run('policy', 'set', '--operator', 'cap', '.*', '{"max-length": 9}', '--vhost', '/')).toMatchObject({
      code: 0,
    })
    expect((await run('policy', 'list')).output.split('\n').slice(0, 2)).toEqual([
      'vhost  name   pattern  apply to  priority  definition',
      '/      short  ^tmp     queues           3  {"message-ttl":5}',
    ])
    const policy = { vhost: '/', name: 'short', pattern: '^tmp', 'apply-to': 'queues', priority: 3 }
    const json = JSON.parse((await run('policy', 'list', '--vhost', '/', '--json')).output)
    expect(json).toEqual([{ ...policy, definition: { 'message-ttl': 5 } }])
    expect((await run('policy', 'list', '--operator')).output).toMatch(/cap .*\{"max-length":9\}/)
    expect(await run('policy', 'delete', 'short')).toEqual(done('Policy short is deleted.'))
    expect(await run('policy', 'delete', 'cap', '--operator')).toEqual(done('Policy cap is deleted.'))
    expect(await run('policy', 'list')).toEqual(done('There are no policies.'))
  })

  it.each<[string[], RegExp]>([
    [['set', 'p', '.*', 'max-length=5'], /The definition must be a JSON object, such as '\{"max-length": 10000\}'/],
    [['set', 'p', '.*', '[]'], /refuses: definition should be an object/],
    [['set', 'p', '(', '{"expires": 1}'], /refuses: .*is not a regular expression/],
    [['set', 'p', '.*', '{"what": 1}'], /refuses: .*\["what"\] are not recognised policy settings/],
    [['set', 'p', '.*', '{"expires": 1}', '--priority', 'high'], /--priority must be a whole number/],
    [['set', 'p', '.*', '{"expires": 1}', '--apply-to', 'all of them'], /Allowed choices are all, queues/],
    [['set', 'p', '.*', '{"expires": 1}', '--vhost', 'nowhere'], /there is no such thing/],
    [['set', 'p', '.*'], /missing required argument 'definition'/],
    [['delete', 'p'], /there is no such thing/],
    [['list', '--password', 'wrong'], /does not let guest in/],
  ])('explains: %j', async (args, reason) => {
    const { code, output, errors } = await run('policy', ...args)
    expect({ code, output }).toEqual({ code: 1, output: '' })
    expect(errors).toMatch(reason)
  })
})

describe('leveret limit', () => {
  it('sets, lists and deletes', async () => {
    expect(await run('limit', 'list')).toEqual(done('There are no limits.'))
    expect(await run('limit', 'set', 'vhost', '/', 'max-queues', '50')).toEqual(done('max-queues of vhost / is 50.'))
    expect(await run('limit', 'set', 'user', 'guest', 'max-channels', '7')).toMatchObject({ code: 0 })
    expect((await run('limit', 'list')).output).toBe(
      [
        'kind   name   limit         value',
        'vhost  /      max-queues       50',
        'user   guest  max-channels      7\n',
      ].join('\n'),
    )
    expect(JSON.parse((await run('limit', 'list', '--json')).output)).toEqual([
      { vhost: '/', value: { 'max-queues': 50 } },
      { user: 'guest', value: { 'max-channels': 7 } },
    ])
    expect(await run('limit', 'delete', 'vhost', '/', 'max-queues')).toEqual(done('vhost / has no max-queues.'))
    expect(await run('limit', 'delete', 'user', 'guest', 'max-channels')).toMatchObject({ code: 0 })
    expect(await run('limit', 'list')).toEqual(done('There are no limits.'))
  })

  it.each<[string[], RegExp]>([
    [['set', 'queue', 'q', 'max-length', '5'], /There are limits of vhost and user, not of "queue"/],
    [['set', 'vhost', '/', 'max-channels', '5'], /refuses: .*Unrecognised terms \["max-channels"\]/],
    [['set', 'vhost', '/', 'max-queues', 'many'], /The value must be a whole number, not "many"/],
    [['set', 'user', 'nobody', 'max-channels', '5'], /there is no such thing/],
    [['delete', 'user', 'guest', 'max-queues'], /refuses: Unrecognised limit "max-queues"/],
  ])('explains: %j', async (args, reason) => {
    const { code, output, errors } = await run('limit', ...args)
    expect({ code, output }).toEqual({ code: 1, output: '' })
    expect(errors).toMatch(reason)
  })
})

describe('the help', () => {
  it.each([
    [
      ['policy', '--help'],
      ['Examples:', 'leveret policy set short', 'delivery-limit', 'milliseconds'],
    ],
    [
      ['policy', 'set', '--help'],
      ['<definition>', '--apply-to', 'regular expression', '--operator'],
    ],
    [
      ['limit', '--help'],
      ['Examples:', 'leveret limit set vhost / max-queues 5000', '530 NOT_ALLOWED'],
    ],
    [
      ['limit', 'set', '--help'],
      ['max-connections, max-channels', '0 lets nothing in'],
    ],
    [['--help'], ['policy', 'limit']],
  ])('of %j teaches', async (args, texts) => {
    const { code, output } = await run(...args)
    expect(code).toBe(0)
    for (const text of texts) expect(output).toContain(text)
  })
})
