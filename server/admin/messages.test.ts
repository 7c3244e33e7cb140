// Messages over HTTP: what goes in comes out, and how it is settled.
import { beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { withAdmin } from '../spec/with-admin'

const admin = withAdmin()

beforeEach(async () => {
  await admin.put('/api/queues/%2F/q')
  await admin.request('DELETE', '/api/queues/%2F/q/contents')
})

async function take(ackmode: string, more: Record<string, unknown> = {}) {
  const body = { count: 10, encoding: 'auto', ackmode, ...more }
  return (await admin.request('POST', '/api/queues/%2F/q/get', body)).json
}

describe('get', () => {
  it.each([
    ['ack_requeue_true', 2],
    ['reject_requeue_true', 2],
    ['ack_requeue_false', 0],
    ['reject_requeue_false', 0],
  ])('%s leaves %i of two', async (ackmode, left) => {
    await admin.publish('q', 'one')
    await admin.publish('q', 'two')
    const taken = await take(ackmode)
    expect(taken.map((m: { payload: string }) => m.payload)).toEqual(['one', 'two'])
    expect(taken.map((m: { message_count: number }) => m.message_count)).toEqual([1, 0])
    const queue = await admin.get('/api/queues/%2F/q')
    expect([queue.messages_ready, queue.messages_unacknowledged]).toEqual([left, 0])
  })

  it('says redelivered the second time, in the same order', async () => {
    await admin.publish('q', 'one')
    await admin.publish('q', 'two')
    await take('ack_requeue_true', { count: 1 })
    const taken = await take('ack_requeue_false')
    expect(taken.map((m: { payload: string; redelivered: boolean }) => [m.payload, m.redelivered])).toEqual([
      ['one', true],
      ['two', false],
    ])
  })

  it('truncates what it shows, not what it counts', async () => {
    await admin.publish('q', 'hello')
    expect(await take('ack_requeue_false', { truncate: 2 })).toMatchObject([{ payload: 'he', payload_bytes: 5 }])
  })

  it('shows base64 when asked, and when the payload is no text', async () => {
    const body = { routing_key: 'q', payload: '/wA=', payload_encoding: 'base64', properties: {} }
    await admin.request('POST', '/api/exchanges/%2F/amq.default/publish', body)
    expect(await take('ack_requeue_true')).toMatchObject([
      { payload: '/wA=', payload_encoding: 'base64', properties: [] },
    ])
    await admin.publish('q', 'hello')
    const [, second] = await take('ack_requeue_false', { encoding: 'base64' })
    expect(second).toMatchObject({ payload: 'aGVsbG8=', payload_encoding: 'base64' })
  })
})

describe('publish and get', () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const scalar = fc.oneof(text, fc.boolean(), fc.maxSafeInteger(), fc.constant(null))
  const value = fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }), fc.dictionary(text, scalar, { maxKeys: 3 }))
  const octet = fc.integer({ min: 0, max: 255 })
  const properties = fc.record(
    {
      content_type: text,
      headers: fc.dictionary(text, value, { minKeys: 1, maxKeys: 4 }),
      delivery_mode: octet,
      priority: octet,
      correlation_id: text,
      reply_to: text,
      expiration: fc.constant('600000'),
      message_id: text,
      timestamp: fc.maxSafeInteger().map(Math.abs),
      type: text,
      app_id: text,
    },
    { requiredKeys: ['message_id'] },
  )

  it('gives back any text with any properties', async () => {
    const message = fc.tuple(fc.string({ unit: 'binary', maxLength: 2000 }), properties)
    await fc.assert(
      fc.asyncProperty(message, async ([payload, props]) => {
        expect(await admin.publish('q', payload, props)).toEqual({ routed: true })
        const [taken] = await take('ack_requeue_false')
        expect(taken).toMatchObject({ payload, payload_encoding: 'string', exchange: '', routing_key: 'q' })
        expect(taken.properties).toEqual(JSON.parse(JSON.stringify(props)))
      }),
      { numRuns: 60 },
    )
  })

  it('gives back any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
        const payload = Buffer.from(bytes).toString('base64')
        const body = { routing_key: 'q', payload, payload_encoding: 'base64', properties: {} }
        await admin.request('POST', '/api/exchanges/%2F/amq.default/publish', body)
        const [taken] = await take('ack_requeue_false', { encoding: 'base64' })
        expect([taken.payload, taken.payload_bytes]).toEqual([payload, bytes.length])
      }),
      { numRuns: 40 },
    )
  })
})
