// Disks that are full, broken or slow, under a real broker and real clients: who hears what, who goes on, what the log and the
// HTTP API say, that it ends without a restart, and that nothing confirmed is lost.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { type BrokerProcess, kill, startBroker } from '../crash/broker-process'
import { type Faults, FaultyDisk, FULL, NO_READS, NO_SYNCS, NO_WRITES, ONE_FAILED_SYNC } from './disk-faults'

const KiB = 1024

let disk: FaultyDisk
let broker: BrokerProcess
let connections: ChannelModel[]

beforeEach(() => {
  disk = new FaultyDisk()
  connections = []
})

afterEach(async () => {
  disk.heal()
  await Promise.all(connections.map((connection) => connection.close().catch(() => {})))
  await kill(broker.child)
  disk.remove()
})

async function start(memoryLimit = '32MB', env = disk.environment): Promise<void> {
  const started = await startBroker(disk.directory, { memoryLimit, env })
  if (started === null) throw new Error('the broker did not start')
  broker = started
}

async function open(): Promise<ChannelModel> {
  const connection = await connect(broker.amqp, { noDelay: true })
  connection.on('error', () => {})
  connections.push(connection)
  return connection
}

/** Looks again and again, for at most some seconds. */
async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`still not: ${what}\n${broker.log.join('\n')}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const said = (text: string): number => broker.log.filter((line) => line.includes(text)).length

async function api(path: string): Promise<{ status: number; body: unknown }> {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
  const response = await fetch(`${broker.http}/api/${path}`, { headers: { authorization } })
  return { status: response.status, body: await response.json() }
}

/** Publishes numbered messages with confirms and keeps account of the answers. */
class Publisher {
  readonly confirmed: number[] = []
  readonly nacked: number[] = []
  reason = '' // why it is blocked
  private next = 0
  private connection!: ChannelModel
  channel!: ConfirmChannel

  constructor(private readonly queue: string) {}

  async open(): Promise<this> {
    this.connection = await open()
    this.connection.on('blocked', (reason) => {
      this.reason = reason
    })
    this.connection.on('unblocked', () => {
      this.reason = ''
    })
    this.channel = await this.connection.createConfirmChannel()
    this.channel.on('error', () => {})
    await this.channel.assertQueue(this.queue, { durable: true })
    return this
  }

  publish(count: number, bytes = 64): void {
    for (let i = 0; i < count; i++) {
      const number = this.next++
      const body = Buffer.alloc(bytes)
      body.writeUInt32BE(number)
      this.channel.sendToQueue(this.queue, body, { persistent: true }, (error) => {
        if (error) this.nacked.push(number)
        else this.confirmed.push(number)
      })
    }
  }

  get isSettled(): boolean {
    return this.confirmed.length + this.nacked.length === this.next
  }

  async publishConfirmed(count: number, bytes = 64): Promise<void> {
    const first = this.next
    this.publish(count, bytes)
    await until(`${count} confirms`, () => this.confirmed.filter((number) => number >= first).length === count)
  }
}

/** The numbers in a queue, acknowledged; ends when there are none left. */
async function takeAll(queue: string): Promise<number[]> {
  const channel = await (await open()).createChannel()
  const numbers: number[] = []
  for (;;) {
    const message = await channel.get(queue)
    if (message === false) break
    numbers.push(message.content.readUInt32BE())
    channel.ack(message)
  }
  await channel.close()
  return numbers
}

function cpuMs(): number {
  const fields = readFileSync(`/proc/${broker.child.pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const isFailing = 'Writing to the log failed'
const worksAgain = 'Writing to the log works again'

describe.each<[string, Faults]>([
  ['a full disk', FULL],
  ['a disk that fails to write', NO_WRITES],
  ['a disk that fails to sync', NO_SYNCS],
])('%s', (_name, faults) => {
  it('nacks, blocks publishers, lets consumers go on, says so once, and is over when the disk works again', async () => {
    await start()
    const publisher = await new Publisher('orders').open()
    await publisher.publishConfirmed(50)
    const other = await (await open()).createChannel()
    await other.assertQueue('transient', { durable: false })
    for (let i = 0; i < 10; i++) other.sendToQueue('transient', Buffer.from('t'))
    await other.checkQueue('transient')

    disk.set(faults)
    publisher.publish(20, 100 * KiB) // more than the log has room for as it is
    await until('nacks', () => publisher.nacked.length > 0)
    await until('blocked', () => publisher.reason === 'low on disk')
    expect(publisher.confirmed.length).toBe(50)
    expect(said(isFailing)).toBe(1)

    const consumer = await (await open()).createChannel()
    const received: number[] = []
    await consumer.consume('orders', (message) => {
      if (message === null) return
      received.push(message.content.readUInt32BE())
      if (received.length <= 30) consumer.ack(message)
    })
    await until('deliveries', () => received.length >= 50)
    expect(received.slice(0, 50)).toEqual(publisher.confirmed)
    expect(await takeAllTransient()).toBe(10)

    const alarms = await api('health/checks/local-alarms')
    expect(alarms).toMatchObject({ status: 503, body: { status: 'failed', alarms: [{ resource: 'disk' }] } })
    expect((await api('nodes')).body).toMatchObject([{ disk_free_alarm: true }])

    // A declaration that cannot be kept is refused, in bounded time.
    const declaring = await open()
    let refusal = ''
    declaring.on('error', (error) => {
      refusal = error.message
    })
    await expect((await declaring.createChannel()).assertQueue('new', { durable: true })).rejects.toThrow()
    expect(refusal).toContain('541 (INTERNAL-ERROR)')
    expect(refusal).toContain('not stored')

    // At rest it tries about once a second, not in a circle.
    const failedBefore = disk.count('failed')
    const cpuBefore = cpuMs()
    const restMs = 2500
    await new Promise((resolve) => setTimeout(resolve, restMs))
    expect(disk.count('failed') - failedBefore).toBeLessThan(40)
    expect(cpuMs() - cpuBefore).toBeLessThan(restMs / 5)
    expect(said(isFailing)).toBe(1)

    disk.heal()
    await until('unblocked', () => publisher.reason === '')
    expect(said(worksAgain)).toBe(1)
    expect((await api('health/checks/local-alarms')).status).toBe(200)
    await publisher.publishConfirmed(50)
    await until('the last deliveries', () => received.includes(publisher.confirmed[publisher.confirmed.length - 1]))
    await consumer.checkQueue('orders') // an answer: the acknowledgements were heard

    const acked = received.slice(0, 30)
    await publisher.publishConfirmed(1) // and are on disk, before this
    await kill(broker.child)
    await start('32MB', {})
    const found = await takeAll('orders')
    expect(found.filter((number) => acked.includes(number))).toEqual([])
    const promised = publisher.confirmed.filter((number) => !acked.includes(number)).sort((a, b) => a - b)
    expect(found.filter((number) => promised.includes(number))).toEqual(promised)
    expect(found).toEqual([...found].sort((a, b) => a - b))
  }, 60_000)

  async function takeAllTransient(): Promise<number> {
    const channel = await (await open()).createChannel()
    let count = 0
    while ((await channel.get('transient', { noAck: true })) !== false) count++
    return count
  }
})

describe.each<[string, Faults]>([
  ['full', FULL],
  ['failing to write', NO_WRITES],
  ['failing to sync', NO_SYNCS],
  ['failing to read', NO_READS],
])('a disk that is %s at the start', (_name, faults) => {
  it('refuses it with a reason; once it works again everything is there', async () => {
    await start()
    const publisher = await new Publisher('orders').open()
    await publisher.publishConfirmed(50, 10 * KiB)
    await kill(broker.child)
    disk.set(faults)
    for (let i = 0; i < 2; i++) {
      const args = [join(__dirname, '..', 'main.js'), 'start', '--data', disk.directory, '--port', '0']
      const { status, stderr } = spawnSync(process.execPath, [...args, '--admin-port', 'off'], {
        env: { ...process.env, ...disk.environment },
        encoding: 'utf8',
      })
      expect(status).toBe(1)
      expect(stderr).toMatch(/^[^\n]*cannot (open|use) \S*leveret\.(db|lock): [^\n]*\n$/)
    }
    disk.heal()
    await start()
    expect(await takeAll('orders')).toEqual(publisher.confirmed)
  }, 30_000)
})

describe('a sync that fails once', () => {
  it('nacks what it was for, and never passes for a success', async () => {
    await start()
    const publisher = await new Publisher('orders').open()
    await publisher.publishConfirmed(10)
    while (publisher.nacked.length === 0) {
      // The sync may also have been a checkpoint's, which nobody waits for.
      disk.set(ONE_FAILED_SYNC)
      publisher.publish(5)
      await until('answers', () => publisher.isSettled)
    }
    await until('works again', () => said(worksAgain) > 0)
    await publisher.publishConfirmed(10)
    await kill(broker.child)
    await start('32MB', {})
    const found = await takeAll('orders')
    expect(found.filter((number) => publisher.confirmed.includes(number))).toEqual(publisher.confirmed)
  }, 30_000)
})

describe('a disk that fails to read', () => {
  it('keeps those queues waiting whose messages left memory, and no others; then all comes, in order', async () => {
    await start('16MiB')
    const publisher = await new Publisher('large').open()
    const count = 1000
    await publisher.publishConfirmed(count, 40 * KiB)
    disk.set(NO_READS)
    const consumer = await (await open()).createChannel()
    await consumer.prefetch(100)
    const received: number[] = []
    await consumer.consume('large', (message) => {
      if (message === null) return
      received.push(message.content.readUInt32BE())
      consumer.ack(message)
    })
    await until('a line in the log', () => said('Reading messages back failed') > 0)
    const sender = await (await open()).createChannel()
    await sender.assertQueue('small', { durable: false })
    sender.sendToQueue('small', Buffer.from('x'))
    // Not the sender's: where acknowledgements cannot be written either, connections that have published are not read from.
    const other = await (await open()).createChannel()
    await until('a message of another queue', async () => (await other.get('small', { noAck: true })) !== false)
    const linesBefore = said('Reading messages back failed')
    const failedBefore = disk.count('failed')
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(said('Reading messages back failed')).toBe(linesBefore)
    expect(disk.count('failed') - failedBefore).toBeLessThan(200)
    expect(received.length).toBeLessThan(count)
    disk.heal()
    await until('all messages', () => received.length === count, 20_000)
    expect(received).toEqual(publisher.confirmed)
  }, 60_000)
})

describe('a slow disk', () => {
  it('keeps confirms waiting, but no other traffic', async () => {
    await start()
    const publisher = await new Publisher('orders').open()
    const other = await (await open()).createChannel()
    const { queue } = await other.assertQueue('', { exclusive: true })
    let echoed = (): void => {}
    await other.consume(queue, () => echoed(), { noAck: true })
    disk.set({ syncDelayMs: 1000 })
    publisher.publish(100)
    const times: number[] = []
    while (publisher.confirmed.length < 100) {
      const start = performance.now()
      await new Promise<void>((resolve) => {
        echoed = resolve
        other.sendToQueue(queue, Buffer.from('x'))
      })
      times.push(performance.now() - start)
    }
    expect(publisher.nacked).toEqual([])
    expect(times.length).toBeGreaterThan(20)
    expect(times.sort((a, b) => a - b)[Math.floor(times.length * 0.95)]).toBeLessThan(100)
  }, 60_000)
})

describe('little free space', () => {
  it('blocks publishers below disk-free-limit, and lets them go on above', async () => {
    disk.set({ freeBytes: 60_000_000 })
    await start()
    const publisher = await new Publisher('orders').open()
    await publisher.publishConfirmed(1)
    disk.set({ freeBytes: 40_000_000 })
    await until('an alarm', () => said('bytes free') === 1)
    publisher.publish(1)
    await until('blocked', () => publisher.reason === 'low on disk')
    expect((await api('nodes')).body).toMatchObject([{ disk_free_alarm: true, disk_free_limit: 50_000_000 }])
    disk.set({ freeBytes: 60_000_000 })
    await until('unblocked', () => publisher.reason === '')
    await publisher.publishConfirmed(1)
  }, 30_000)
})

describe('a full disk and transient messages', () => {
  it('blocks publishers when memory is full too, and loses nothing', async () => {
    await start('16MiB')
    const channel = await (await open()).createChannel()
    await channel.assertQueue('transient', { durable: false })
    disk.set(FULL)
    let reason = ''
    const publishing = await open()
    publishing.on('blocked', (why) => {
      reason = why
    })
    const publisher = await publishing.createChannel()
    for (let i = 0; i < 500; i++) {
      const body = Buffer.alloc(100 * KiB)
      body.writeUInt32BE(i)
      publisher.sendToQueue('transient', body)
    }
    await until('blocked', () => reason === 'low on memory')
    const taken: number[] = []
    const take = async (count: number): Promise<void> => {
      while (taken.length < count) {
        const message = await channel.get('transient', { noAck: true })
        if (message !== false) taken.push(message.content.readUInt32BE())
      }
    }
    await take(20)
    disk.heal()
    await take(500)
    expect(taken).toEqual(Array.from({ length: 500 }, (_, i) => i))
  }, 60_000)
})

describe('the end of the storage worker', () => {
  it('ends the broker with code 1, and loses nothing that was confirmed', async () => {
    const preload = join(disk.place, 'end.js')
    const trigger = join(disk.place, 'end-now')
    writeFileSync(
      preload,
      `const { isMainThread } = require('node:worker_threads')
      if (!isMainThread) setInterval(() => {
        if (require('node:fs').existsSync(${JSON.stringify(trigger)})) throw new Error('as told')
      }, 20).unref()`,
    )
    await start('32MB', { NODE_OPTIONS: `--require ${preload}` })
    const publisher = await new Publisher('orders').open()
    await publisher.publishConfirmed(20)
    const ended = once(broker.child, 'exit')
    writeFileSync(trigger, '')
    expect(await ended).toEqual([1, null])
    expect(said('cannot go on and stops: the storage worker failed: as told')).toBe(1)
    await start('32MB', {})
    expect(await takeAll('orders')).toEqual(publisher.confirmed)
  }, 30_000)
})
