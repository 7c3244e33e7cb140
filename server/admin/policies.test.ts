// Policies over HTTP: what is refused, what they apply to, at once and after a restart.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { Broker } from '../index'

const data = mkdtempSync(join(tmpdir(), 'leveret-policies-'))
let broker: Broker

const start = async (): Promise<void> => {
  broker = await Broker.start({ data, adminPort: 0 })
}
beforeAll(start)
afterAll(async () => {
  await broker.stop()
  rmSync(data, { recursive: true })
})

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
  const init = { method, headers: { authorization }, ...(body !== undefined && { body: JSON.stringify(body) }) }
  const response = await fetch(`${broker.adminUrl}/api/${path}`, init)
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

const get = async (path: string): Promise<unknown> => (await call('GET', path)).body

describe('policies', () => {
  it('are set, listed, shown, replaced and deleted', async () => {
    const body = { pattern: '^a', definition: { 'message-ttl': 5 }, priority: 2, 'apply-to': 'queues' }
    expect((await call('PUT', 'policies/%2F/ttl', body)).status).toBe(201)
    expect((await call('PUT', 'policies/%2F/ttl', { ...body, priority: 3 })).status).toBe(204)
    const policy = { vhost: '/', name: 'ttl', ...body, priority: 3 }
    expect(await get('policies')).toEqual([policy])
    expect(await get('policies/%2F')).toEqual([policy])
    expect(await get('policies/%2F/ttl')).toEqual(policy)
    expect((await call('DELETE', 'policies/%2F/ttl')).status).toBe(204)
    expect((await call('DELETE', 'policies/%2F/ttl')).status).toBe(404)
    expect((await call('GET', 'policies/%2F/ttl')).status).toBe(404)
  })

  it.each<[string, string, unknown, RegExp]>([
    ['policies', 'no pattern', { definition: { expires: 1 } }, /key_missing,pattern/],
    ['policies', 'no definition', { pattern: '' }, /key_missing,definition/],
    ['policies', 'a definition that is no object', { pattern: '', definition: [] }, /should be an object/],
    ['policies', 'nothing defined', { pattern: '', definition: {} }, /no policy provided/],
    ['policies', 'an unknown key', { pattern: '', definition: { what: 1 } }, /\["what"\] are not recognised policy/],
    ['policies', 'a wrong value', { pattern: '', definition: { expires: 0 } }, /0 is not a valid value of expires/],
    [
      'policies',
      'a wrong overflow',
      { pattern: '', definition: { overflow: 'x' } },
      /"x" is not a valid value of overflow/,
    ],
    ['policies', 'a wrong pattern', { pattern: '(', definition: { expires: 1 } }, /is not a regular expression/],
    ['policies', 'a wrong apply-to', { pattern: '', definition: { expires: 1 }, 'apply-to': 'x' }, /apply-to is "x"/],
    ['policies', 'a wrong priority', { pattern: '', definition: { expires: 1 }, priority: 'x' }, /not_integer/],
    ['operator-policies', "a user's key", { pattern: '', definition: { 'alternate-exchange': 'x' } }, /not recognised/],
  ])('%s: refuse %s', async (path, _what, body, reason) => {
    const answer = await call('PUT', `${path}/%2F/wrong`, body)
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.body).replaceAll('\\"', '"')).toMatch(reason)
  })

  it('are not found in a virtual host that is not there', async () => {
    const body = { pattern: '', definition: { expires: 1 } }
    expect((await call('PUT', 'policies/nowhere/p', body)).status).toBe(404)
  })

  it('apply to what exists and what comes, by pattern, kind and priority; the lower limit of an operator counts', async () => {
    const queue = { durable: true, arguments: {} }
    await call('PUT', 'queues/%2F/task.old', queue)
    await call('PUT', 'policies/%2F/low', { pattern: '^task', definition: { 'max-length': 10 }, 'apply-to': 'queues' })
    const high = {
      pattern: '^task',
      definition: { 'max-length': 20, expires: 60000 },
      priority: 1,
      'apply-to': 'classic_queues',
    }
    await call('PUT', 'policies/%2F/high', high)
    await call('PUT', 'policies/%2F/exchanges', {
      pattern: '',
      definition: { 'alternate-exchange': 'x' },
      priority: 9,
      'apply-to': 'exchanges',
    })
    await call('PUT', 'operator-policies/%2F/limit', { pattern: '.*', definition: { 'max-length': 15 } })
    await call('PUT', 'queues/%2F/task.new', queue)
    await call('PUT', 'queues/%2F/other', queue)
    const expected = {
      policy: 'high',
      operator_policy: 'limit',
      effective_policy_definition: { 'max-length': 15, expires: 60000 },
    }
    for (const name of ['task.old', 'task.new']) expect(await get(`queues/%2F/${name}`)).toMatchObject(expected)
    expect(await get('queues/%2F/other')).toMatchObject({ policy: null, operator_policy: 'limit' })
    expect(await get('exchanges/%2F/amq.direct')).toMatchObject({ policy: 'exchanges' })

    await broker.stop()
    await start()
    expect(await get('queues/%2F/task.old')).toMatchObject(expected)
    await call('DELETE', 'operator-policies/%2F/limit')
    await call('DELETE', 'policies/%2F/high')
    expect(await get('queues/%2F/task.old')).toMatchObject({
      policy: 'low',
      operator_policy: null,
      effective_policy_definition: { 'max-length': 10 },
    })
    await call('DELETE', 'policies/%2F/low')
    await call('DELETE', 'policies/%2F/exchanges')
    expect(await get('queues/%2F/task.old')).toMatchObject({ policy: null, effective_policy_definition: {} })
  })

  it('give an exchange its alternate, and take it away', async () => {
    const connection = await connect(broker.url)
    const channel = await connection.createConfirmChannel()
    await channel.assertExchange('main', 'direct')
    await channel.assertExchange('rest', 'fanout')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'rest', '')
    const publish = async () => {
      channel.publish('main', 'nobody', Buffer.from('x'))
      await channel.waitForConfirms()
      return (await channel.checkQueue(queue)).messageCount
    }
    expect(await publish()).toBe(0)
    await call('PUT', 'policies/%2F/ae', { pattern: '^main$', definition: { 'alternate-exchange': 'rest' } })
    expect(await publish()).toBe(1)
    await call('DELETE', 'policies/%2F/ae')
    expect(await publish()).toBe(1)
    await connection.close()
  })
})
