// Metrics: every line is Prometheus text, the names are RabbitMQ's, the numbers the broker's.
import { beforeAll, describe, expect, it } from '@jest/globals'
import { withAdmin } from '../spec/with-admin'

const admin = withAdmin()
const other = withAdmin()
const line = /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.e+]+|\+Inf))$/

/** What the RabbitMQ-Overview dashboard asks for, and what Datadog adds; without histograms of sizes. */
const expected = `identity_info build_info channels channels_opened_total channels_closed_total connections
connections_opened_total connections_closed_total queues queues_declared_total queues_created_total queues_deleted_total
queue_messages_ready queue_messages_unacked global_consumers global_publishers disk_space_available_bytes
disk_space_available_limit_bytes erlang_uptime_seconds process_open_fds process_max_fds process_resident_memory_bytes
resident_memory_limit_bytes global_messages_received_total global_messages_received_confirm_total
global_messages_routed_total global_messages_confirmed_total global_messages_unroutable_dropped_total
global_messages_unroutable_returned_total global_messages_delivered_total
global_messages_delivered_consume_auto_ack_total global_messages_delivered_consume_manual_ack_total
global_messages_delivered_get_auto_ack_total global_messages_delivered_get_manual_ack_total
global_messages_get_empty_total global_messages_redelivered_total global_messages_acknowledged_total
auth_attempts_total auth_attempts_failed_total auth_attempts_succeeded_total alarms_memory_used_watermark
alarms_free_disk_space_watermark alarms_file_descriptor_limit`

beforeAll(async () => {
  await admin.put('/api/queues/%2F/q')
  await admin.put(`/api/queues/%2F/${encodeURIComponent('odd "name"\\ \n')}`)
  for (let i = 0; i < 3; i++) await admin.publish('q', 'hello')
  await admin.publish('none', 'x')
})

async function scrape(path: string, from = admin): Promise<string> {
  const { status, text, headers } = await from.request('GET', path)
  expect([status, headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/plain/)])
  return text
}

function value(text: string, series: string): string | undefined {
  return text
    .split('\n')
    .find((l) => l.startsWith(`${series} `))
    ?.slice(series.length + 1)
}

describe('/metrics', () => {
  it('is text that Prometheus reads', async () => {
    for (const text of (await scrape('/metrics')).split('\n')) if (text !== '') expect(text).toMatch(line)
  })

  it('has the names that dashboards use', async () => {
    const text = await scrape('/metrics')
    for (const name of expected.split(/\s+/)) expect(text).toMatch(new RegExp(`^rabbitmq_${name}[{ ]`, 'm'))
  })

  it('counts, and twice asked gives the same', async () => {
    const labels = 'protocol="amqp091"'
    for (let i = 0; i < 2; i++) {
      const text = await scrape('/metrics')
      expect(value(text, 'rabbitmq_queues')).toBe('2')
      expect(value(text, 'rabbitmq_queue_messages_ready')).toBe('3')
      expect(value(text, `rabbitmq_global_messages_received_total{${labels}}`)).toBe('4')
      expect(value(text, `rabbitmq_global_messages_routed_total{${labels}}`)).toBe('3')
      expect(value(text, `rabbitmq_global_messages_unroutable_dropped_total{${labels}}`)).toBe('1')
    }
  })

  it('asks for no login', async () => {
    expect((await admin.request('GET', '/metrics', undefined, { authorization: '' })).status).toBe(200)
  })

  it('is each broker its own', async () => {
    expect(value(await scrape('/metrics', other), 'rabbitmq_queues')).toBe('0')
  })
})

describe('/metrics/per-object', () => {
  it('has a series for each queue, odd names escaped', async () => {
    const text = await scrape('/metrics/per-object')
    for (const one of text.split('\n')) if (one !== '') expect(one).toMatch(line)
    expect(value(text, 'rabbitmq_queue_messages_ready{vhost="/",queue="q"}')).toBe('3')
    expect(value(text, 'rabbitmq_queue_messages_published_total{vhost="/",queue="q"}')).toBe('3')
    expect(value(text, 'rabbitmq_queue_consumers{vhost="/",queue="odd \\"name\\"\\\\ \\n"}')).toBe('0')
    expect(value(text, 'rabbitmq_queue_messages_ready')).toBeUndefined()
  })

  it('has each metric once', async () => {
    const types = (await scrape('/metrics/per-object')).match(/^# TYPE \S+/gm) ?? []
    expect(new Set(types).size).toBe(types.length)
  })

  it('asks for a login', async () => {
    expect((await admin.request('GET', '/metrics/per-object', undefined, { authorization: '' })).status).toBe(401)
  })
})
