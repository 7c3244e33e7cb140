// What a broker on disk has after a restart: after a clean stop in this process, and after kill -9 of a broker in a
// process of its own, in the middle of publishing.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type Channel, type ChannelModel, type ConfirmChannel, connect, type GetMessage } from 'amqplib'
import { Broker } from '../index'

let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'leveret-restart-'))
})
afterEach(() => rmSync(data, { recursive: true, force: true }))

describe('a clean stop and a start', () => {
  let broker: Broker
  let connection: ChannelModel
  let channel: ConfirmChannel

  beforeEach(open)
  afterEach(close)

  async function open() {
    broker = await Broker.start({ port: 0, data })
    connection = await connect(broker.url)
    channel = await connection.createConfirmChannel()
  }
  async function close() {
    await connection.close()
    await broker.stop()
  }
  async function restart() {
    await close()
    await open()
  }

  it('keeps durable queues and persistent messages, in order, with properties and body', async () => {
    await channel.assertQueue('kept', { durable: true, arguments: { 'x-max-priority': 5, note: 'ü' } })
    for (let i = 0; i < 300; i++) {
      channel.sendToQueue('kept', Buffer.from(`body ${i}`), { persistent: true, messageId: `${i}`, headers: { i } })
    }
    await channel.waitForConfirms()
    await restart()
    await channel.assertQueue('kept', { durable: true, arguments: { 'x-max-priority': 5, note: 'ü' } })
    for (let i = 0; i < 300; i++) {
      const message = (await channel.get('kept', { noAck: true })) as GetMessage
      expect(message.content.toString()).toBe(`body ${i}`)
      expect(message.properties).toMatchObject({ messageId: `${i}`, headers: { i }, deliveryMode: 2 })
    }
    expect(await channel.get('kept')).toBe(false)
  })

  it('forgets transient queues, exclusive queues and transient messages', async () => {
    await channel.assertQueue('transient', { durable: false })
    await channel.assertQueue('exclusive', { durable: true, exclusive: true })
    await channel.assertQueue('kept', { durable: true })
    channel.sendToQueue('kept', Buffer.from('gone'), { persistent: false })
    channel.sendToQueue('kept', Buffer.from('there'), { persistent: true })
    await channel.waitForConfirms()
    await restart()
    expect(await channel.checkQueue('kept')).toMatchObject({ messageCount: 1 })
    expect(((await channel.get('kept')) as GetMessage).content.toString()).toBe('there')
    for (const name of ['transient', 'exclusive']) {
      await expect(probe(connection, (c) => c.checkQueue(name))).rejects.toThrow('NOT_FOUND')
    }
  })

  it('says redelivered of what had been delivered, and of nothing else', async () => {
    await channel.assertQueue('kept', { durable: true })
    for (const body of ['a', 'b', 'c']) channel.sendToQueue('kept', Buffer.from(body), { persistent: true })
    await channel.waitForConfirms()
    await channel.get('kept') // a stays unacked
    await restart()
    const seen: [string, boolean][] = []
    for (let i = 0; i < 3; i++) {
      const message = (await channel.get('kept', { noAck: true })) as GetMessage
      seen.push([message.content.toString(), message.fields.redelivered])
    }
    expect(seen).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
    ])
  })

  it('keeps exchanges and bindings, of queues and of exchanges', async () => {
    await channel.assertExchange('first', 'fanout', { durable: true })
    await channel.assertExchange('second', 'topic', { durable: true })
    await channel.assertExchange('passing', 'fanout', { durable: false })
    await channel.assertQueue('kept', { durable: true })
    await channel.bindExchange('second', 'first', '')
    await channel.bindQueue('kept', 'second', 'a.#')
    await channel.bindQueue('kept', 'amq.headers', '', { 'x-match': 'any', colour: 'green' })
    await channel.bindQueue('kept', 'passing', '')
    await restart()
    channel.publish('first', 'a.b', Buffer.from('1'))
    channel.publish('first', 'b', Buffer.from('2'))
    channel.publish('amq.headers', '', Buffer.from('3'), { headers: { colour: 'green' } })
    await channel.waitForConfirms()
    expect(await channel.checkQueue('kept')).toMatchObject({ messageCount: 2 })
    await expect(probe(connection, (c) => c.checkExchange('passing'))).rejects.toThrow('NOT_FOUND')
  })

  it('does not bring back what was acked, purged, deleted or unbound', async () => {
    for (const name of ['acked', 'purged', 'deleted']) {
      await channel.assertQueue(name, { durable: true })
      await channel.bindQueue(name, 'amq.fanout', '')
    }
    channel.publish('amq.fanout', '', Buffer.from('x'), { persistent: true })
    await channel.waitForConfirms()
    channel.ack((await channel.get('acked')) as GetMessage)
    await channel.purgeQueue('purged')
    await channel.deleteQueue('deleted')
    await channel.unbindQueue('acked', 'amq.fanout', '')
    await restart()
    expect(await channel.checkQueue('acked')).toMatchObject({ messageCount: 0 })
    expect(await channel.checkQueue('purged')).toMatchObject({ messageCount: 0 })
    await expect(probe(connection, (c) => c.checkQueue('deleted'))).rejects.toThrow('NOT_FOUND')
    channel.publish('amq.fanout', '', Buffer.from('y'), { persistent: true })
    await channel.waitForConfirms()
    expect(await channel.checkQueue('acked')).toMatchObject({ messageCount: 0 })
    expect(await channel.checkQueue('purged')).toMatchObject({ messageCount: 1 })
  })

  it('tells how far it is, when it takes long', async () => {
    await channel.assertQueue('kept')
    for (let i = 0; i < 300; i++) {
      channel.sendToQueue('kept', Buffer.from('m'), { persistent: true })
      await channel.waitForConfirms() // a log entry each
    }
    await close()
    let now = Date.now()
    const lines: string[] = []
    const clock = { now: () => (now += 6000), after: () => ({ cancel() {} }) }
    const logger = { debug() {}, info() {}, warn: (line: string) => lines.push(line), error() {} }
    const slow = await Broker.start({ port: 0, data, clock, logger })
    await slow.stop()
    await open()
    expect(lines).toEqual([
      expect.stringMatching(/^Recovering: 256 of 30\d log entries \(8\d %\), first of two readings$/),
      expect.stringMatching(/^Recovering: 2\d\d of 30\d log entries \(\d+ %\), second of two readings$/),
      expect.stringMatching(/^Recovered 300 messages in \d+\.0 s$/),
    ])
  })

  it('holds a transaction whole', async () => {
    for (const name of ['one', 'two']) await channel.assertQueue(name, { durable: true })
    const tx = await connection.createChannel()
    await openTx(tx)
    tx.sendToQueue('one', Buffer.from('1'), { persistent: true })
    tx.sendToQueue('two', Buffer.from('2'), { persistent: true })
    await commitTx(tx)
    await restart()
    for (const name of ['one', 'two']) expect(await channel.checkQueue(name)).toMatchObject({ messageCount: 1 })
  })
})

describe('kill -9', () => {
  it('loses nothing that was confirmed, again and again', async () => {
    let next = 0
    const confirmed = new Set<number>()
    const settled = new Set<number>()
    for (let round = 0; round < 3; round++) {
      const broker = await spawnBroker(data)
      const connection = await connect(`amqp://127.0.0.1:${broker.port}`)
      connection.on('error', () => {})
      const channel = await connection.createConfirmChannel()
      channel.on('error', () => {})
      await channel.assertQueue('work', { durable: true })
      await takeSome(channel, settled, 60)
      next = await publishUntilKilled(channel, broker.child, next, confirmed)
      await once(broker.child, 'exit')
    }
    const broker = await spawnBroker(data)
    const connection = await connect(`amqp://127.0.0.1:${broker.port}`)
    const channel = await connection.createConfirmChannel()
    const found: number[] = []
    for (;;) {
      const message = await channel.get('work', { noAck: true })
      if (message === false) break
      found.push(Number(message.content.toString()))
    }
    await connection.close()
    broker.child.kill('SIGTERM')
    await once(broker.child, 'exit')
    expect(found).toEqual([...found].sort((a, b) => a - b))
    expect(new Set(found).size).toBe(found.length)
    expect(found.filter((n) => settled.has(n))).toEqual([])
    expect([...confirmed].filter((n) => !settled.has(n) && !found.includes(n))).toEqual([])
    expect(confirmed.size).toBeGreaterThanOrEqual(3 * CONFIRMS_PER_ROUND)
  })
})

/** Takes and acks, and makes sure that the acks are on disk: a persistent publish behind them on the same journal is. */
async function takeSome(channel: ConfirmChannel, settled: Set<number>, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const message = await channel.get('work')
    if (message === false) break
    channel.ack(message)
    settled.add(Number(message.content.toString()))
  }
  await channel.assertQueue('flush', { durable: true })
  channel.sendToQueue('flush', Buffer.from('x'), { persistent: true })
  await channel.waitForConfirms()
}

const CONFIRMS_PER_ROUND = 150

/** Publishes numbers from `first` on; kills the broker while it is busy with them. Returns the number behind the last one sent: what
 *  was sent and not confirmed may be there or not. */
function publishUntilKilled(
  channel: ConfirmChannel,
  child: ChildProcess,
  first: number,
  confirmed: Set<number>,
): Promise<number> {
  const enough = confirmed.size + CONFIRMS_PER_ROUND
  return new Promise((resolve) => {
    let sent = first
    const send = () => {
      const number = sent++
      channel.sendToQueue('work', Buffer.from(`${number}`), { persistent: true }, (error) => {
        if (error) return
        confirmed.add(number)
        if (confirmed.size < enough) send()
        else if (child.kill('SIGKILL')) resolve(sent)
      })
    }
    for (let i = 0; i < 50; i++) send()
  })
}

async function spawnBroker(directory: string): Promise<{ child: ChildProcess; port: number }> {
  const main = join(__dirname, '..', 'main.js')
  const args = [main, 'start', '--data', directory, '--host', '127.0.0.1', '--port', '0', '--admin-port', 'off']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let port = 0
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const listening = /^AMQP 0-9-1 on .*:(\d+)$/.exec(line)
    if (listening) port = Number(listening[1])
    if (line === 'Server startup complete') break
  }
  return { child, port }
}

/** On a channel of its own, since a refusal closes it. */
async function probe(connection: ChannelModel, ask: (channel: Channel) => Promise<unknown>): Promise<unknown> {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  return ask(channel)
}

/** amqplib has no transactions of its own; its channels can send any method. */
interface Rpc {
  rpc(method: number, fields: object, expect: number): Promise<unknown>
}
const openTx = (channel: Channel) => (channel as unknown as Rpc).rpc((90 << 16) | 10, {}, (90 << 16) | 11)
const commitTx = (channel: Channel) => (channel as unknown as Rpc).rpc((90 << 16) | 20, {}, (90 << 16) | 21)
