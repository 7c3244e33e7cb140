// Rates, by a clock that stands still until it is told to go on.
import { describe, expect, it } from '@jest/globals'
import { ManualClock } from '../index'
import { withAdmin } from '../spec/with-admin'
import { eventually } from '../spec/with-broker'

const SAMPLE_MS = 5000

describe('rates', () => {
  const clock = new ManualClock(1_000_000)
  const admin = withAdmin({ clock })

  async function publish(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await admin.publish('q', 'x')
  }

  it('are what came between two samples, by the second, until the next', async () => {
    await admin.put('/api/queues/%2F/q')
    // Twenty messages per sample: once two samples have seen the queue, the rate is four a second.
    await eventually(async () => {
      await publish(20)
      clock.advance(SAMPLE_MS)
      const queue = await admin.get('/api/queues/%2F/q')
      expect(queue.message_stats.publish_details).toEqual({ rate: 4 })
      expect(queue.messages_details).toEqual({ rate: 4 })
    })
    const overview = await admin.get('/api/overview')
    expect(overview.message_stats.publish_details).toEqual({ rate: 4 })
    expect(overview.queue_totals.messages_ready_details).toEqual({ rate: 4 })
    expect((await admin.get('/api/vhosts/%2F')).message_stats.publish_details).toEqual({ rate: 4 })
    const exchange = await admin.get('/api/exchanges/%2F/amq.default')
    expect(exchange.message_stats.publish_in_details).toEqual({ rate: 4 })
  })

  it('fall below zero where messages go, and to zero where nothing happens', async () => {
    const { messages } = await admin.get('/api/queues/%2F/q')
    await admin.request('DELETE', '/api/queues/%2F/q/contents')
    clock.advance(SAMPLE_MS)
    await eventually(async () => {
      const queue = await admin.get('/api/queues/%2F/q')
      expect(queue.messages_details).toEqual({ rate: -messages / 5 })
    })
    await eventually(async () => {
      clock.advance(SAMPLE_MS)
      const queue = await admin.get('/api/queues/%2F/q')
      expect([queue.messages_details, queue.message_stats.publish_details]).toEqual([{ rate: 0 }, { rate: 0 }])
    })
  })

  it('of a queue declared again begin anew', async () => {
    await admin.request('DELETE', '/api/queues/%2F/q')
    await admin.put('/api/queues/%2F/q')
    const queue = await admin.get('/api/queues/%2F/q')
    expect(queue.message_stats).toMatchObject({ publish: 0, publish_details: { rate: 0 } })
  })
})
