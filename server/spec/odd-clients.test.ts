// Clients that do what no good client does, but some do: each is served or cut off, and nobody else notices.
import { describe, expect, it } from '@jest/globals'
import { protocolHeader } from '../../clients/raw'
import { encodeMethod } from '../../protocol'
import { eventually, withBroker } from './with-broker'

describe('an odd client', () => {
  const broker = withBroker()

  it.each([
    ['capabilities that are no table', { capabilities: 'all of them' }],
    [
      'capabilities with values that are no booleans',
      { capabilities: { 'basic.nack': 'yes', publisher_confirms: [] } },
    ],
    ['capabilities that nobody knows', { capabilities: { telepathy: true } }],
    ['names of no text', { product: 7, version: [], connection_name: { deep: null } }],
    ['nothing of itself', {}],
  ])('that declares %s is served', async (_what, clientProperties) => {
    const channel = await broker.channel({ clientProperties })
    const queue = await broker.queue(channel)
    channel.publishTo(queue, 'x')
    expect((await channel.get(queue, { noAck: true }))?.body.toString()).toBe('x')
  })

  it('that says everything in one write, from protocol header to get, gets every answer', async () => {
    const connection = await broker.socket()
    const channel = connection.channel(1)
    const queue = broker.name()
    connection.inOneWrite(() => {
      connection.write(protocolHeader)
      connection.send(0, 'connection.start-ok', { mechanism: 'PLAIN', response: Buffer.from('\0guest\0guest') })
      connection.send(0, 'connection.tune-ok', { channelMax: 10, frameMax: 8192 })
      connection.send(0, 'connection.open', { virtualHost: '/' })
      channel.send('channel.open')
      channel.send('queue.declare', { queue, exclusive: true })
      channel.publishTo(queue, 'all at once')
      channel.send('basic.get', { queue, noAck: true })
    })
    await channel.expect('channel.open-ok')
    await channel.expect('queue.declare-ok')
    expect((await channel.message('basic.get-ok')).body.toString()).toBe('all at once')
  })

  it('that goes in the middle of a publish leaves nothing of it, and others go on', async () => {
    const other = await broker.channel()
    const queue = broker.name()
    await other.call('queue.declare', { queue, autoDelete: false })
    const channel = await broker.channel()
    channel.publishTo(queue, 'whole')
    channel.connection.write(encodeMethod('basic.publish', 1, { routingKey: queue }))
    channel.sendHeader(100_000)
    channel.sendBody(Buffer.alloc(50_000))
    await channel.connection.written()
    await channel.connection.close()
    await eventually(async () => expect(await other.empty(queue)).toEqual(['whole']))
    other.publishTo(queue, 'after')
    await other.sync(queue)
    expect(await other.empty(queue)).toEqual(['after'])
  })

  it('that never reads is given so much and no more, and others go on', async () => {
    const other = await broker.channel()
    const queue = await broker.queue(other, { exclusive: false, autoDelete: false })
    const mute = await broker.channel()
    await mute.call('basic.consume', { queue, noAck: true })
    mute.connection.pause()
    const body = Buffer.alloc(1_000_000)
    const count = 60
    for (let i = 0; i < count; i++) other.publishTo(queue, body)
    await other.sync(queue)
    const { messageCount } = await other.call('queue.declare', { queue, passive: true })
    expect(messageCount).toBeGreaterThan(count / 2) // what its socket and our buffer for it hold is few megabytes
    expect((await other.get(queue, { noAck: true }))?.body).toHaveLength(body.length)
    await mute.connection.close()
    await other.call('queue.delete', { queue })
  })

  it('with frames of 4096 bytes gets a large body in as many as it takes', async () => {
    if (broker.kind === 'rabbitmq4') return // refuses less than 8192
    const channel = await broker.channel({ tune: { frameMax: 4096 } })
    const queue = await broker.queue(channel)
    channel.publishTo(queue, Buffer.alloc(100_000, 'hare'))
    const message = await channel.get(queue, { noAck: true })
    expect(message?.body.equals(Buffer.alloc(100_000, 'hare'))).toBe(true)
    expect(Math.max(...(message?.frameSizes ?? []))).toBeLessThanOrEqual(4096 - 8)
  })
})
