// `leveret salvage` as a person meets it: what it prints, and its exit codes.
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { Broker } from '../broker'
import { silentLogger } from '../logger'
import { runCaptured } from './captured'

let place: string
let data: string

beforeEach(() => {
  place = fs.mkdtempSync(path.join(os.tmpdir(), 'leveret-cli-salvage-'))
  data = path.join(place, 'data')
})
afterEach(() => fs.rmSync(place, { recursive: true, force: true }))

const run = (...args: string[]) => runCaptured(args)

const start = (directory: string) => Broker.start({ data: directory, port: 0, adminPort: null })

async function fill(): Promise<void> {
  const broker = await start(data)
  const connection = await connect(broker.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('orders')
  for (let i = 0; i < 10; i++) channel.sendToQueue('orders', Buffer.from(`order ${i}`), { persistent: true })
  await channel.waitForConfirms()
  await connection.close()
  await broker.stop()
}

async function ordersIn(directory: string): Promise<string[]> {
  const broker = await start(directory)
  const connection = await connect(broker.url)
  const channel = await connection.createChannel()
  const bodies: string[] = []
  for (let got = await channel.get('orders'); got; got = await channel.get('orders')) bodies.push(`${got.content}`)
  await connection.close()
  await broker.stop()
  return bodies
}

describe('a broker that meets message bytes which are damaged', () => {
  it('hands out nothing in their place, says once where they are, and salvage brings out the rest', async () => {
    await fill()
    const file = path.join(data, 'leveret.db')
    const bytes = fs.readFileSync(file)
    bytes[bytes.indexOf('order 3') + 6] = 0x39
    fs.writeFileSync(file, bytes)
    const lines: string[] = []
    const note = (line: string) => lines.push(line)
    const logger = { ...silentLogger, warn: note, error: note }
    const broker = await Broker.start({ data, port: 0, adminPort: null, logger })
    const connection = await connect(broker.url)
    const channel = await connection.createChannel()
    const bodies: string[] = []
    await channel.consume('orders', (message) => bodies.push(`${message?.content}`))
    while (lines.filter((line) => line.includes('Reading')).length === 0) await new Promise(setImmediate)
    await new Promise((resolve) => setTimeout(resolve, 1100)) // it is tried again after a second, and not told again
    expect(lines.filter((line) => line.includes('Reading'))).toEqual([
      expect.stringMatching(
        /log entry \d+ in .*leveret\.db holds message bytes that fail their checksum.*: leveret salvage --data \S+ --to \S+/,
      ),
    ])
    expect(bodies).toEqual([])
    await connection.close()
    await broker.stop()
    const { code, output } = await run('salvage', '--data', data, '--to', path.join(place, 'new'))
    expect(code).toBe(1)
    expect(output).toMatch(/^Lost: log entry \d+ .* fail their checksum, \d+ messages? of queue "\/ orders" lost$/m)
  })
})

describe('leveret salvage', () => {
  const to = () => path.join(place, 'new')

  it('copies a directory that a broker starts on, and says so', async () => {
    await fill()
    const { code, output, errors } = await run('salvage', '--data', data, '--to', to())
    expect([code, errors]).toEqual([0, ''])
    expect(output).toContain('10 messages in 1 queues\nEverything was readable\n')
    expect(output).toContain(`leveret start --data ${to()}`)
    expect(await ordersIn(to())).toEqual(Array.from({ length: 10 }, (_, i) => `order ${i}`))
  })

  it('ends with 1 when something was not readable, and saves the rest', async () => {
    await fill()
    const file = path.join(data, 'leveret.db')
    fs.writeFileSync(file, Buffer.concat([Buffer.alloc(8192), fs.readFileSync(file).subarray(8192)]))
    const { code, output } = await run('salvage', '--data', data, '--to', to())
    expect(code).toBe(1)
    expect(output).toMatch(/^Lost: table sqlite_schema: page 1, at byte 0 of .*leveret\.db, is missing, damaged/m)
    expect(await ordersIn(to())).toHaveLength(10)
  })

  it('ends with 2 when there is nothing to do', async () => {
    expect(await run('salvage', '--data', data, '--to', to())).toMatchObject({
      code: 2,
      errors: expect.stringMatching(/^leveret: there is nothing to salvage in .*data: .* is missing or empty\n$/),
    })
    expect((await run('salvage', '--data', data)).errors).toContain("required option '--to <directory>' not specified")
  })
})
