// What the admin API answers, request by request: status and body as RabbitMQ 4.3 gives them.
import { beforeAll, describe, expect, it } from '@jest/globals'
import { basic, withAdmin } from '../spec/with-admin'

const notFound = { error: 'Object Not Found', reason: 'Not Found' }
const refused = { error: 'not_authorised', reason: 'Access refused.' }
const bad = (reason: unknown) => ({ error: 'bad_request', reason })
const publish = { routing_key: 'q', payload: 'x', payload_encoding: 'string', properties: {} }
const get = { count: 1, ackmode: 'ack_requeue_true', encoding: 'auto' }
const badAckmode =
  'Invalid ackmode value: foo. Valid values are: ack_requeue_true, ack_requeue_false, reject_requeue_true, reject_requeue_false'

const long = 'a'.repeat(256)

function nested(depth: number): unknown {
  return depth === 0 ? 1 : { a: nested(depth - 1) }
}

type Row = readonly [method: string, path: string, body: unknown, status: number, answer?: unknown]

/** In order: later rows stand on earlier ones. */
const rows: readonly Row[] = [
  ['GET', '/api/nosuch', undefined, 404, notFound],
  ['GET', '/nosuch', undefined, 404, notFound],
  ['POST', '/api/queues', '{}', 405],
  ['PATCH', '/api/overview', undefined, 405],
  ['HEAD', '/api/overview', undefined, 200],
  ['OPTIONS', '/api/overview', undefined, 200],
  ['GET', '/api/whoami', undefined, 200, { name: 'guest', tags: ['administrator'], is_internal_user: true }],
  ['GET', '/api/whoami/', undefined, 200, { name: 'guest', tags: ['administrator'], is_internal_user: true }],
  ['GET', '/api/version', undefined, 200, '4.3.0'],
  ['GET', '/api/extensions', undefined, 200, []],
  ['GET', '/api/nodes/nono', undefined, 404, notFound],
  ['GET', '/api/vhosts/nov', undefined, 404, notFound],
  ['GET', '/api/queues/nov', undefined, 404, notFound],
  ['GET', '/api/consumers/nov', undefined, 404, notFound],
  ['GET', '/api/connections/nono', undefined, 404, notFound],
  ['DELETE', '/api/connections/nono', undefined, 404, notFound],
  ['GET', '/api/channels/nono', undefined, 404, notFound],
  ['GET', '/api/channels/nono%20(1)', undefined, 404, notFound],
  // queues
  ['GET', '/api/queues/%2F/q', undefined, 404, notFound],
  ['PUT', '/api/queues/%2F/q', '{', 400, bad('not_json')],
  ['PUT', '/api/queues/%2F/q', '[]', 400, bad('not_json')],
  ['PUT', '/api/queues/%2F/q', '5', 400, bad('not_json')],
  ['PUT', '/api/queues/%2F/q', { durable: 'x' }, 400, bad(['not_boolean', 'x'])],
  ['PUT', '/api/queues/%2F/q', { arguments: 5 }, 400, bad(['not_table', 'arguments'])],
  ['PUT', '/api/queues/%2F/q', { arguments: { a: nested(33) } }, 400, bad(['nested_too_deep', 'arguments'])],
  ['PUT', '/api/queues/%2F/q', `{"arguments":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 400],
  ['PUT', '/api/queues/%2F/q', '{"arguments":{"a":1e400}}', 400, bad(['number_too_big', 'arguments'])],
  ['PUT', '/api/queues/%2F/q', '{"arguments":{"a":1e300}}', 400, bad(['number_too_big', 'arguments'])],
  ['PUT', '/api/queues/%2F/q', { arguments: { [long]: 1 } }, 400, bad(['field_name_too_long', 'arguments'])],
  ['PUT', `/api/queues/%2F/${long}`, {}, 400],
  ['PUT', `/api/exchanges/%2F/${long}`, {}, 400],
  ['PUT', '/api/queues/nov/q', {}, 404, { error: 'not_found', reason: 'vhost_not_found' }],
  ['PUT', '/api/queues/%2F/amq.q', {}, 401, refused],
  ['PUT', '/api/queues/%2F/q', { durable: true, arguments: [] }, 201],
  ['PUT', '/api/queues/%2F/q', { durable: 'true' }, 204],
  [
    'PUT',
    '/api/queues/%2F/q',
    '',
    400,
    bad("inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"),
  ],
  ['PUT', '/api/queues/%2F/a%2Fb%20%25%C3%A9', '', 201],
  ['DELETE', '/api/queues/%2F/a%2Fb%20%25%C3%A9', undefined, 204],
  ['DELETE', '/api/queues/%2F/a%2Fb%20%25%C3%A9', undefined, 404, notFound],
  // messages
  ['POST', '/api/exchanges/%2F/nox/publish', publish, 404, { error: 'not_found', reason: 'exchange_not_found' }],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { routing_key: 'q', payload: '' },
    400,
    bad('[{key_missing,properties},{key_missing,payload_encoding}]'),
  ],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, payload: 5 }, 400, bad('payload_not_string')],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { ...publish, payload: '!!', payload_encoding: 'base64' },
    400,
    bad(['not_base64', '!!']),
  ],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { ...publish, payload_encoding: 'foo' },
    400,
    bad(['unsupported_encoding', 'foo']),
  ],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { ...publish, properties: { priority: '4' } },
    400,
    bad(['not_int', 'priority']),
  ],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { ...publish, properties: { expiration: 5 } },
    400,
    bad(['not_string', 'expiration']),
  ],
  [
    'POST',
    '/api/exchanges/%2F/amq.default/publish',
    { ...publish, properties: { priority: 256 } },
    400,
    bad(['not_int', 'priority']),
  ],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, properties: { nosuch: 1 } }, 200, { routed: true }],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, routing_key: 'none' }, 200, { routed: false }],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, properties: [] }, 200, { routed: true }],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, routing_key: long }, 400],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, properties: { type: long } }, 400],
  ['POST', '/api/exchanges/%2F/amq.default/publish', { ...publish, properties: { headers: { a: nested(40) } } }, 400],
  ['POST', '/api/queues/%2F/nono/get', get, 404, { error: 'not_found', reason: 'queue_not_found' }],
  ['POST', '/api/queues/%2F/q/get', { ...get, ackmode: 'foo' }, 400, bad(badAckmode)],
  ['POST', '/api/queues/%2F/q/get', { ...get, ackmode: 'toString' }, 400],
  [
    'POST',
    '/api/queues/%2F/q/get',
    { ...get, encoding: 'foo' },
    400,
    bad('Unsupported encoding. Please use auto or base64.'),
  ],
  ['POST', '/api/queues/%2F/q/get', { ...get, count: 'x' }, 400, bad(['not_integer', 'x'])],
  ['POST', '/api/queues/%2F/q/get', { count: 1, encoding: 'auto' }, 400, bad('[{key_missing,ackmode}]')],
  ['POST', '/api/queues/%2F/q/get', { ...get, count: -1 }, 200, []],
  // what is in use or not empty
  ['DELETE', '/api/queues/%2F/q?if-empty=true', undefined, 400, bad("queue 'q' in vhost '/' not empty")],
  ['DELETE', '/api/queues/%2F/q/contents', undefined, 204],
  ['DELETE', '/api/queues/%2F/nono/contents', undefined, 404, notFound],
  // exchanges
  ['PUT', '/api/exchanges/%2F/x', { type: 'nonsense' }, 400, bad("unknown exchange type 'nonsense'")],
  ['PUT', '/api/exchanges/%2F/x', {}, 201],
  ['PUT', '/api/exchanges/%2F/x', '', 204],
  [
    'PUT',
    '/api/exchanges/%2F/x',
    { type: 'topic' },
    400,
    bad("inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is 'direct'"),
  ],
  ['PUT', '/api/exchanges/%2F/amq.default', {}, 401, refused],
  ['DELETE', '/api/exchanges/%2F/amq.default', undefined, 401, refused],
  ['DELETE', '/api/exchanges/%2F/amq.topic', undefined, 401, refused],
  ['PUT', '/api/exchanges/%2F/internal', { type: 'topic', internal: true }, 201],
  [
    'POST',
    '/api/exchanges/%2F/internal/publish',
    publish,
    400,
    bad("403 ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'"),
  ],
  // bindings
  ['POST', '/api/bindings/%2F/e/x/q/q', { routing_key: 'a' }, 201],
  ['POST', '/api/bindings/%2F/e/x/q/q', { routing_key: 'a' }, 201],
  ['POST', '/api/bindings/%2F/e/x/q/q', { routing_key: 5 }, 400, bad(['not_string', 'routing_key'])],
  ['POST', '/api/bindings/%2F/e/x/q/q', { routing_key: long }, 400],
  ['POST', '/api/bindings/%2F/e/x/q/nono', {}, 404, { error: 'not_found', reason: "no queue 'nono' in vhost '/'" }],
  ['POST', '/api/bindings/%2F/e/x/e/nono', {}, 404, { error: 'not_found', reason: "no exchange 'nono' in vhost '/'" }],
  ['POST', '/api/bindings/%2F/e/amq.default/q/q', {}, 401, refused],
  ['PUT', '/api/bindings/%2F/e/x/q/q/a', {}, 405],
  ['DELETE', '/api/exchanges/%2F/x?if-unused=true', undefined, 400, bad("exchange 'x' in vhost '/' in use")],
  ['GET', '/api/bindings/%2F/e/x/q/q/nono', undefined, 404, notFound],
  ['GET', '/api/bindings/%2F/e/x/q/nono', undefined, 200, []],
  ['DELETE', '/api/bindings/%2F/e/x/q/q/a', undefined, 204],
  ['DELETE', '/api/bindings/%2F/e/x/q/q/a', undefined, 404, notFound],
  ['DELETE', '/api/exchanges/%2F/x', undefined, 204],
  ['DELETE', '/api/exchanges/%2F/x', undefined, 404, notFound],
  // health
  ['GET', '/api/health/checks/alarms', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/local-alarms', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/virtual-hosts', undefined, 200, { status: 'ok' }],
  [
    'GET',
    '/api/health/checks/node-is-quorum-critical',
    undefined,
    200,
    { status: 'ok', reason: 'single node cluster' },
  ],
  ['GET', '/api/health/checks/ready-to-serve-clients', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/metadata-store/initialized/with-data', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/quorum-queues-without-elected-leaders/vhost/%2F', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/port-listener/x', undefined, 400, bad('Invalid port')],
  ['GET', '/api/health/checks/port-listener/1', undefined, 503],
  [
    'GET',
    '/api/health/checks/protocol-listener/amqp091',
    undefined,
    200,
    { status: 'ok', protocols: ['amqp', 'http'] },
  ],
  [
    'GET',
    '/api/health/checks/protocol-listener/mqtt',
    undefined,
    503,
    { status: 'failed', reason: 'No active listener', missing: ['mqtt'], protocols: ['amqp', 'http'] },
  ],
  ['GET', '/api/health/checks/certificate-expiration/1/weeks', undefined, 200, { status: 'ok' }],
  ['GET', '/api/health/checks/certificate-expiration/1/foo', undefined, 400],
  ['GET', '/api/healthchecks/node', undefined, 200, { status: 'ok' }],
  ['GET', '/api/aliveness-test/%2F', undefined, 200, { status: 'ok' }],
  ['GET', '/api/aliveness-test/nov', undefined, 404, notFound],
  ['DELETE', '/api/queues/%2F/q', undefined, 204],
  ['GET', '/api/queues', undefined, 200, []],
]

describe('the admin API', () => {
  const admin = withAdmin()

  it('answers every request of the table', async () => {
    for (const [method, path, body, status, answer] of rows) {
      const found = await admin.request(method, path, body)
      const expected = { method, path, body, status, answer: answer ?? found.json }
      expect({ method, path, body, status: found.status, answer: found.json }).toEqual(expected)
    }
  })

  it('names the methods a path has', async () => {
    const { headers } = await admin.request('PATCH', '/api/queues/%2F/q')
    expect(headers.get('allow')).toBe('HEAD, GET, PUT, DELETE, OPTIONS')
  })

  it('finds its own ports', async () => {
    for (const port of [admin.broker.port, admin.broker.adminPort])
      expect(await admin.get(`/api/health/checks/port-listener/${port}`)).toEqual({ status: 'ok', port })
  })

  it('refuses a body over its limit', async () => {
    const { status, json } = await admin.request('PUT', '/api/queues/%2F/big', ' '.repeat(20_000_001))
    expect({ status, json }).toEqual({ status: 400, json: bad('Exceeded HTTP request body size limit') })
  })

  it('says on a page what it is', async () => {
    const { status, headers, text } = await admin.request('GET', '/', undefined, { authorization: '' })
    expect(status).toBe(200)
    expect(headers.get('content-type')).toMatch('text/html')
    expect(text).toMatch('href="/api/overview"')
  })
})

describe('who may ask', () => {
  const admin = withAdmin()
  const failed = { error: 'not_authorised', reason: 'Login failed' }

  it.each([
    ['no login', ''],
    ['a wrong password', basic('guest', 'wrong')],
    ['an unknown user', basic('nobody', 'guest')],
    ['another scheme', 'Bearer guest'],
    ['no colon', `Basic ${Buffer.from('guest').toString('base64')}`],
    ['no base64', 'Basic ???'],
  ])('%s is refused', async (_title, authorization) => {
    const { status, headers, json } = await admin.request('GET', '/api/overview', undefined, { authorization })
    expect({ status, json }).toEqual({ status: 401, json: failed })
    expect(headers.get('www-authenticate')).toMatch(/^Basic realm=/)
  })

  it('takes the scheme in any case, and a password with colons', async () => {
    const authorization = basic('guest', 'guest').replace('Basic', 'bAsIc')
    expect((await admin.request('GET', '/api/whoami', undefined, { authorization })).status).toBe(200)
  })
})

describe('a password with colons and accents', () => {
  const admin = withAdmin({ defaultUser: 'josé', defaultPassword: 'a:b:ü' })
  let status = 0
  beforeAll(async () => {
    const headers = { authorization: basic('josé', 'a:b:ü') }
    status = (await admin.request('GET', '/api/whoami', undefined, headers)).status
  })
  it('lets its user in', () => expect(status).toBe(200))
})
