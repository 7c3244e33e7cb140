// Exchange types and delayed messages as the admin API shows them; what is kept can be listed and taken back.
import { describe, expect, it } from '@jest/globals'
import { ManualClock } from '../index'
import { type Json, withAdmin } from '../spec/with-admin'

describe('exchange types', () => {
  const admin = withAdmin()

  it('are listed with the node and in the overview', async () => {
    const { exchange_types } = await admin.get('/api/overview')
    expect(exchange_types.map(({ name }: Json) => name).sort()).toEqual([
      'direct',
      'fanout',
      'headers',
      'topic',
      'x-consistent-hash',
      'x-delayed-message',
      'x-local-random',
      'x-modulus-hash',
      'x-random',
      'x-recent-history',
    ])
    expect(exchange_types).toContainEqual({
      name: 'topic',
      description: 'AMQP topic exchange, as per the AMQP specification',
      enabled: true,
    })
    expect((await admin.get('/api/nodes'))[0].exchange_types).toEqual(exchange_types)
  })

  it('are refused as over AMQP', async () => {
    const put = async (body: unknown) => (await admin.request('PUT', '/api/exchanges/%2F/refused', body)).json
    expect(await put({ type: 'nonsense' })).toMatchObject({ reason: "unknown exchange type 'nonsense'" })
    expect(await put({ type: 'x-recent-history', arguments: { 'x-recent-history-length': 0 } })).toMatchObject({
      reason: "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
    })
  })

  it('show their arguments', async () => {
    const body = { type: 'x-consistent-hash', arguments: { 'hash-header': 'user', 'alternate-exchange': 'lost' } }
    await admin.put('/api/exchanges/%2F/shown', body)
    expect(await admin.get('/api/exchanges/%2F/shown')).toMatchObject(body)
  })
})

describe('delayed messages', () => {
  const clock = new ManualClock(1_700_000_000_000)
  const admin = withAdmin({ clock })
  const path = '/api/exchanges/%2F/late'

  async function publish(payload: string, delay: number): Promise<void> {
    const headers = { 'x-delay': delay }
    const body = { routing_key: 'q', payload, payload_encoding: 'string', properties: { headers } }
    expect((await admin.request('POST', `${path}/publish`, body)).json).toEqual({ routed: true })
  }

  it('are counted, listed by the time they are due, and taken back', async () => {
    await admin.put(path, { type: 'x-delayed-message', arguments: { 'x-delayed-type': 'direct' } })
    await admin.put('/api/queues/%2F/q', {})
    await admin.request('POST', '/api/bindings/%2F/e/late/q/q', { routing_key: 'q' })
    for (const [payload, delay] of <[string, number][]>[
      ['c', 3000],
      ['a', 1000],
      ['b', 2000],
    ]) {
      await publish(payload, delay)
    }
    expect(await admin.get(path)).toMatchObject({ messages_delayed: 3 })
    const listed = await admin.get(`${path}/delayed`)
    expect(listed.map(({ payload, due_at }: Json) => [payload, due_at - 1_700_000_000_000])).toEqual([
      ['a', 1000],
      ['b', 2000],
      ['c', 3000],
    ])
    expect(listed[0]).toMatchObject({
      exchange: 'late',
      routing_key: 'q',
      payload_bytes: 1,
      payload_encoding: 'string',
      properties: { headers: { 'x-delay': -1000 } },
    })
    expect(await admin.get(`${path}/delayed?count=1`)).toHaveLength(1)
    expect((await admin.request('DELETE', `${path}/delayed/${listed[1].id}`)).status).toBe(204)
    expect((await admin.request('DELETE', `${path}/delayed/${listed[1].id}`)).status).toBe(404)
    clock.advance(3000)
    await new Promise(setImmediate)
    const body = { ackmode: 'ack_requeue_false', count: 10, encoding: 'auto' }
    const { json } = await admin.request('POST', '/api/queues/%2F/q/get', body)
    expect(json.map(({ payload }: Json) => payload)).toEqual(['a', 'c'])
    expect(await admin.get(path)).toMatchObject({ messages_delayed: 0 })
    expect(await admin.get(`${path}/delayed`)).toEqual([])
  })

  it.each([
    ['GET', '/api/exchanges/%2F/nowhere/delayed', 404],
    ['GET', '/api/exchanges/%2F/amq.direct/delayed', 404],
    ['GET', `${path}/delayed?count=x`, 400],
    ['DELETE', '/api/exchanges/%2F/amq.direct/delayed/1', 404],
    ['DELETE', `${path}/delayed/x`, 400],
    ['DELETE', `${path}/delayed/12345`, 404],
    ['POST', `${path}/delayed`, 405],
  ])('%s %s is answered %i', async (method, where, status) => {
    await admin.put(path, { type: 'x-delayed-message', arguments: { 'x-delayed-type': 'direct' } })
    expect((await admin.request(method, where)).status).toBe(status)
  })
})
