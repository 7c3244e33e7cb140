// Streams over time: what age and size let go, and what restarts and crashes leave as it was.
import { describe, expect, it } from '@jest/globals'
import type { FieldTable } from '../../protocol'
import { declareStream, fromFirst, nextOf, numbered, read } from './streams'
import { eventually } from './with-broker'
import { withRestarts } from './with-restarts'

const HOUR = 3_600_000

describe('a stream', () => {
  const on = withRestarts()

  async function published(queue: string, count: number, from = 0): Promise<void> {
    for (let i = from; i < from + count; i++) await on.publish({ routingKey: queue }, `m${i}`)
  }

  async function count(queue: string): Promise<number> {
    return (await on.channel.call('queue.declare', { queue, passive: true })).messageCount
  }

  /** What a reader on a channel without confirms gets. */
  async function readAll(queue: string, args: FieldTable = fromFirst): Promise<string[]> {
    const channel = await on.openChannel()
    const found = await read(channel, queue, args)
    await channel.close()
    return found
  }

  describe.each(['restart', 'crash'] as const)('after a %s', (how) => {
    it('has its messages, transient ones too, and goes on counting', async () => {
      await declareStream(on.channel, 's')
      await published('s', 5)
      await on[how]()
      await published('s', 3, 5)
      expect(await readAll('s')).toEqual(numbered(0, 8))
      expect(await readAll('s', { 'x-stream-offset': 6 })).toEqual(numbered(6, 8))
    })

    it('knows its offsets though the oldest messages are gone', async () => {
      await declareStream(on.channel, 's', { 'x-max-length-bytes': 20 })
      await published('s', 50)
      const before = await count('s')
      await on.flush()
      await on[how]()
      expect(await count('s')).toBe(before)
      expect(await readAll('s', { 'x-stream-offset': 'last' })).toEqual(['m49@49'])
    })

    it('knows its offsets though only the newest message is left', async () => {
      await declareStream(on.channel, 's', { 'x-max-age': '1h' })
      await published('s', 5)
      on.clock.advance(2 * HOUR)
      await on.flush()
      expect(await count('s')).toBe(1)
      await on.flush()
      await on[how]()
      await published('s', 1, 5)
      // The other one is too old, and no longer the newest.
      expect(await readAll('s')).toEqual(numbered(5, 6))
    })

    it('knows when its messages came', async () => {
      await declareStream(on.channel, 's')
      for (let i = 0; i < 6; i++) {
        await published('s', 1, i)
        on.clock.advance(HOUR)
      }
      await on[how]()
      expect(await readAll('s', { 'x-stream-offset': '150m' })).toEqual(numbered(4, 6))
      expect(await readAll('s', { 'x-stream-offset': '1D' })).toEqual(numbered(0, 6))
    })

    it('lets go of what is too old', async () => {
      await declareStream(on.channel, 's', { 'x-max-age': '1h' })
      await published('s', 3)
      await on[how]()
      on.clock.advance(2 * HOUR)
      await published('s', 1, 3)
      // The bytes of what came before have to be read for their time.
      await eventually(async () => expect(await count('s')).toBe(1))
      expect(await readAll('s')).toEqual(numbered(3, 4))
    })

    it('that was deleted is gone', async () => {
      await declareStream(on.channel, 's')
      await published('s', 5)
      await on.channel.call('queue.delete', { queue: 's' })
      await on[how]()
      await declareStream(on.channel, 's')
      expect(await readAll('s')).toEqual([])
    })
  })

  it('keeps messages as long as its age says, but for the newest one', async () => {
    await declareStream(on.channel, 's', { 'x-max-age': '1h' })
    for (let i = 0; i < 4; i++) {
      if (i > 0) on.clock.advance(HOUR / 4)
      await published('s', 1, i)
    }
    expect(await count('s')).toBe(4)
    for (const left of [3, 2, 1, 1]) {
      on.clock.advance(HOUR / 4)
      await on.flush()
      expect(await count('s')).toBe(left)
    }
    expect(await readAll('s')).toEqual(numbered(3, 4))
  })

  it.each([
    ['all', 1000, 10],
    ['about as many bytes as it may', 10, 5],
    ['the newest message though that alone is too large', 0, 1],
  ])('keeps %s', async (_, bytes, left) => {
    await declareStream(on.channel, 's', { 'x-max-length-bytes': bytes })
    await published('s', 10)
    expect(await count('s')).toBe(left)
    expect(await readAll('s', { 'x-stream-offset': 'last' })).toEqual(['m9@9'])
  })

  it('lets a reader whose next message has gone go on with the oldest there is', async () => {
    await declareStream(on.channel, 's', { 'x-max-length-bytes': 10 })
    await published('s', 3)
    const slow = await on.openChannel()
    await slow.call('basic.qos', { prefetchCount: 1 })
    await slow.call('basic.consume', { queue: 's', arguments: fromFirst })
    expect(await nextOf(slow)).toBe('m0@0')
    const { args } = await slow.message()
    await published('s', 7, 3)
    slow.send('basic.ack', { deliveryTag: args.deliveryTag })
    expect(await nextOf(slow)).toBe('m5@5')
  })

  it('follows a policy rather than its arguments', async () => {
    await declareStream(on.channel, 's', { 'x-max-length-bytes': 1000 })
    await published('s', 10)
    await setPolicy({ 'max-length-bytes': 6 })
    expect(await count('s')).toBe(3)
    await setPolicy({ 'max-age': '1s' })
    on.clock.advance(2000)
    await on.flush()
    expect(await count('s')).toBe(1)
  })

  async function setPolicy(definition: object): Promise<void> {
    const body = JSON.stringify({ pattern: '^s$', definition, 'apply-to': 'streams' })
    const headers = { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` }
    const { status } = await fetch(`${on.broker.adminUrl}/api/policies/%2F/p`, { method: 'PUT', headers, body })
    expect([201, 204]).toContain(status)
  }
})
