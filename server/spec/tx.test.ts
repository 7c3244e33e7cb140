// Transactions: publishes and acknowledgements that wait for commit, and are forgotten on rollback.
import { describe, expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type Call, itRefuses } from './refusals'
import { withBroker } from './with-broker'

describe('transactions', () => {
  const broker = withBroker()

  async function transactional(): Promise<{ channel: RawChannel; queue: string; observer: RawChannel }> {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('tx.select')
    return { channel, queue, observer: await channel.connection.openChannel(2) }
  }

  it('hold publishes until commit', async () => {
    const { channel, queue, observer } = await transactional()
    channel.publishTo(queue, '1')
    channel.publishTo(queue, '2')
    await channel.sync(queue)
    expect(await observer.get(queue)).toBeNull()
    await channel.call('tx.commit')
    expect(await observer.empty(queue)).toEqual(['1', '2'])
  })

  it('forget publishes on rollback', async () => {
    const { channel, queue, observer } = await transactional()
    channel.publishTo(queue, 'forgotten')
    await channel.call('tx.rollback')
    channel.publishTo(queue, 'kept')
    await channel.call('tx.commit')
    expect(await observer.empty(queue)).toEqual(['kept'])
  })

  it('forget publishes when the channel closes', async () => {
    const { channel, queue, observer } = await transactional()
    channel.publishTo(queue, 'forgotten')
    await channel.close()
    expect(await observer.get(queue)).toBeNull()
  })

  it('hold acks until commit', async () => {
    const { channel, queue, observer } = await transactional()
    observer.publishTo(queue, 'message')
    await observer.sync(queue)
    await channel.get(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    await channel.call('tx.commit')
    await channel.close()
    expect(await observer.get(queue)).toBeNull()
  })

  it('without commit give the message back with the channel', async () => {
    const { channel, queue, observer } = await transactional()
    observer.publishTo(queue, 'message')
    await observer.sync(queue)
    await channel.get(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    await channel.close()
    expect((await observer.get(queue))?.args.redelivered).toBe(true)
  })

  it('let an ack that was rolled back be given again', async () => {
    const { channel, queue, observer } = await transactional()
    observer.publishTo(queue, 'message')
    await observer.sync(queue)
    await channel.get(queue)
    channel.send('basic.ack', { deliveryTag: 1 })
    await channel.call('tx.rollback')
    channel.send('basic.ack', { deliveryTag: 1 })
    await channel.call('tx.commit')
    await channel.close()
    expect(await observer.get(queue)).toBeNull()
  })

  it('hold requeues until commit', async () => {
    const { channel, queue, observer } = await transactional()
    observer.publishTo(queue, 'message')
    await observer.sync(queue)
    await channel.get(queue)
    channel.send('basic.nack', { deliveryTag: 1, requeue: true })
    await channel.sync(queue)
    expect(await observer.get(queue)).toBeNull()
    await channel.call('tx.commit')
    expect((await observer.get(queue))?.args.redelivered).toBe(true)
  })

  it('return what is unroutable at commit', async () => {
    const { channel } = await transactional()
    channel.publish({ routingKey: 'spec.nobody', mandatory: true }, 'unwanted')
    channel.send('tx.commit')
    await channel.message('basic.return')
    await channel.expect('tx.commit-ok')
  })

  it('go on after commit, and may be empty', async () => {
    const { channel, queue, observer } = await transactional()
    await channel.call('tx.commit')
    await channel.call('tx.rollback')
    await channel.call('tx.select')
    channel.publishTo(queue, 'next')
    expect(await observer.get(queue)).toBeNull()
    await channel.call('tx.commit')
    expect(await observer.empty(queue)).toEqual(['next'])
  })

  it('refuse a publish to nowhere at once', async () => {
    const { channel } = await transactional()
    channel.publish({ exchange: 'spec.nowhere' }, 'refused')
    expect(await channel.expectClose()).toMatchObject({ code: 404, method: 'basic.publish' })
  })

  const taken: Call[] = [
    ['queue.declare', { queue: '$q', exclusive: true }],
    ['basic.publish', { routingKey: '$q' }],
    ['queue.declare', { queue: '$q', passive: true }],
    ['basic.get', { queue: '$q' }],
    ['tx.select'],
    ['basic.ack', { deliveryTag: 1 }],
  ]
  const settledAlready = {
    given: taken,
    scope: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - unknown delivery tag 1',
  } as const
  itRefuses(broker, [
    { when: 'a second ack before commit', does: ['basic.ack', { deliveryTag: 1 }], ...settledAlready },
    {
      when: 'a second ack before commit, multiple',
      does: ['basic.ack', { deliveryTag: 1, multiple: true }],
      ...settledAlready,
    },
    { when: 'a nack after an ack before commit', does: ['basic.nack', { deliveryTag: 1 }], ...settledAlready },
    {
      when: 'commit without select',
      does: ['tx.commit'],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - channel is not transactional',
    },
    {
      when: 'rollback without select',
      does: ['tx.rollback'],
      scope: 'channel',
      code: 406,
      text: 'PRECONDITION_FAILED - channel is not transactional',
    },
  ])
})
