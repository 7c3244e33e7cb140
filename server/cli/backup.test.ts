// `leveret backup` of a broker under load: what had been confirmed is in the file, the broker goes on, the file starts.
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { type ConfirmChannel, connect } from 'amqplib'
import { Broker } from '../broker'
import { runCaptured } from './captured'

let place: string
let data: string
let broker: Broker | null = null

beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-backup-'))
  data = path.join(place, 'data')
})
afterEach(async () => {
  await broker?.stop({ hurry: true })
  broker = null
  fs.rmSync(place, { recursive: true, force: true })
})

const run = (...args: string[]) => runCaptured(args)

async function start(directory: string | null): Promise<Broker> {
  broker = await Broker.start({ data: directory, port: 0, adminPort: 0 })
  return broker
}

/** Publishes one after the other, each when the one before is confirmed, until told to stop. */
class Publisher {
  confirmed = 0
  private isStopped = false
  private readonly done: Promise<void>

  constructor(private readonly channel: ConfirmChannel) {
    this.done = this.publish()
  }

  private async publish(): Promise<void> {
    while (!this.isStopped) {
      this.channel.sendToQueue('orders', Buffer.from(`${this.confirmed + 1}`), { persistent: true })
      await this.channel.waitForConfirms()
      this.confirmed++
    }
  }

  stop(): Promise<void> {
    this.isStopped = true
    return this.done
  }
}

async function drain(url: string, queue: string): Promise<string[]> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  const bodies: string[] = []
  const options = { noAck: true }
  for (let got = await channel.get(queue, options); got; got = await channel.get(queue, options)) {
    expect(got.fields.redelivered).toBe(true) // it may have been delivered, for all that the backup knows
    bodies.push(`${got.content}`)
  }
  await connection.close()
  return bodies
}

describe('leveret backup', () => {
  const file = () => path.join(place, 'backup.db')

  it('of a broker at work holds what had been confirmed, and a broker starts on it', async () => {
    const { url, adminUrl } = await start(data)
    const connection = await connect(url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('orders')
    await channel.assertQueue('bulk')
    for (let i = 0; i < 300; i++) channel.sendToQueue('bulk', Buffer.alloc(100_000, i), { persistent: true })
    await channel.waitForConfirms()
    const publisher = new Publisher(await connection.createConfirmChannel())
    while (publisher.confirmed < 100) await new Promise(setImmediate)

    const before = publisher.confirmed
    const { code, output, errors } = await run('backup', file(), '--url', adminUrl as string)
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    expect(output).toMatch(/^\d+ bytes in .*backup\.db$/m)
    expect(publisher.confirmed).toBeGreaterThan(before) // commits went on
    await publisher.stop()
    expect(fs.readdirSync(data)).not.toContain('leveret.db-backup')
    expect(fs.readdirSync(place).sort()).toEqual(['backup.db', 'data'])
    await connection.close()
    await broker?.stop()

    const restored = path.join(place, 'restored')
    fs.mkdirSync(restored)
    fs.copyFileSync(file(), path.join(restored, 'leveret.db'))
    const again = await start(restored)
    const orders = await drain(again.url, 'orders')
    expect(orders.length).toBeGreaterThanOrEqual(before)
    expect(orders).toEqual(orders.map((_, i) => `${i + 1}`))
    expect(await drain(again.url, 'bulk')).toHaveLength(300)
  }, 60_000)

  it('explains why there is none', async () => {
    const { adminUrl } = await start(null)
    const url = ['--url', adminUrl as string]
    expect((await run('backup', file(), ...url)).errors).toMatch(/refuses: this broker keeps everything in memory/)
    expect((await run('backup', file(), ...url, '--password', 'no')).errors).toMatch(/refuses: Login failed/)
    fs.writeFileSync(file(), 'precious')
    expect((await run('backup', file(), ...url)).errors).toMatch(/exists already/)
    expect((await run('backup', path.join(place, 'no', 'where'), ...url)).errors).toMatch(/Cannot write/)
    await broker?.stop()
    expect((await run('backup', `${file()}2`, ...url)).errors).toMatch(/No broker answers.*connection refused/)
    expect(fs.readFileSync(file(), 'utf8')).toBe('precious')
    expect(fs.readdirSync(place)).toEqual(['backup.db'])
  })
})
