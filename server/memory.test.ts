// The memory limit as clients meet it: who is blocked, who goes on, and what memory cannot be asked for.
import { describe, expect, it } from '@jest/globals'
import { encodeBodyFrames, encodeContentHeader, encodeMethod } from '../protocol'
import { withBroker } from './spec/with-broker'

const MiB = 1024 * 1024

describe('memory', () => {
  const broker = withBroker({ memoryLimit: 16 * MiB })

  /** A connection that was told to wait; with `bytes` of a body of `size` sent. */
  async function inTheMiddle(queue: string, size: number, bytes: number) {
    const channel = await broker.channel()
    const { connection } = channel
    connection.write(
      encodeMethod('basic.publish', 1, { exchange: '', routingKey: queue }),
      encodeContentHeader(1, size, Buffer.from([0, 0])),
      encodeBodyFrames(1, Buffer.alloc(bytes, 'x'), connection.tuned.frameMax),
    )
    return channel
  }

  it('counts bodies of which frames are missing, and lets them become whole one after another', async () => {
    const size = 4 * MiB
    const observer = await broker.channel()
    const queue = await broker.queue(observer)
    const publishers = await Promise.all(Array.from({ length: 6 }, () => inTheMiddle(queue, size, size - 100)))
    // The last ones wait, with their first bytes: they are not read from.
    await publishers[5].connection.next(0, 'connection.blocked')
    for (const { connection } of publishers) {
      connection.write(encodeBodyFrames(1, Buffer.alloc(100, 'y'), connection.tuned.frameMax))
    }
    await observer.call('basic.consume', { queue, noAck: true })
    for (let i = 0; i < publishers.length; i++) expect((await observer.message()).body.length).toBe(size)
    await Promise.all(publishers.map((channel) => channel.sync()))
  })

  it('passes over a connection that never finishes its message', async () => {
    const size = 4 * MiB
    const observer = await broker.channel()
    const queue = await broker.queue(observer)
    const publishers = await Promise.all(Array.from({ length: 4 }, () => inTheMiddle(queue, size, size - 100)))
    await publishers[3].connection.next(0, 'connection.blocked')
    const talking = publishers.slice(1)
    for (const { connection } of talking) {
      connection.write(encodeBodyFrames(1, Buffer.alloc(100, 'y'), connection.tuned.frameMax))
    }
    await observer.call('basic.consume', { queue, noAck: true })
    for (let i = 0; i < talking.length; i++) expect((await observer.message()).body.length).toBe(size)
  })

  it('refuses a transaction that holds more than a quarter of the limit', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('tx.select')
    for (let i = 0; i < 5; i++) channel.publishTo(queue, Buffer.alloc(MiB))
    expect(await channel.connection.expectClose()).toMatchObject({
      code: 506,
      text: 'RESOURCE_ERROR - transaction holds more than 4194304 bytes of messages',
    })
  })
})
