// Connections with TLS: the same broker, and clear words where certificate, key or peer are not what they should be.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { connect } from 'amqplib'
import { type CertificateFiles, makeCertificate } from '../../clients/raw'
import { Broker } from '../index'

let folder = ''
let files: CertificateFiles
let broker: Broker
const warnings: string[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leveret-tls-'))
  files = makeCertificate(folder)
  const warn = (message: string) => warnings.push(message)
  const logger = { debug() {}, info() {}, warn, error: warn }
  broker = await Broker.start({ tlsPort: 0, tlsCert: files.cert, tlsKey: files.key, adminPort: 0, logger })
})

afterAll(async () => {
  await broker.stop()
  rmSync(folder, { recursive: true, force: true })
})

const open = () => connect(`amqps://guest:guest@localhost:${broker.tlsPort}`, { ca: [readFileSync(files.cert)] })

describe('TLS', () => {
  it('carries messages of every size both ways', async () => {
    const client = await open()
    const channel = await client.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const bodies = [0, 1, 1000, 100_000, 3_000_000].map((bytes) => Buffer.alloc(bytes, `${bytes} `))
    for (const body of bodies) channel.sendToQueue(queue, body)
    await channel.waitForConfirms()
    const got: Buffer[] = []
    await new Promise<void>((resolve) => {
      void channel.consume(queue, (message) => {
        got.push((message as { content: Buffer }).content)
        if (got.length === bodies.length) resolve()
      })
    })
    expect(got).toEqual(bodies)
    await client.close()
  })

  it('is told by the HTTP API', async () => {
    const client = await open()
    const get = async (path: string) => {
      const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
      return (await (await fetch(`${broker.adminUrl}/api/${path}`, { headers: { authorization } })).json()) as {
        listeners: unknown
      }
    }
    expect(await get('connections')).toMatchObject([
      { ssl: true, ssl_protocol: 'TLSv1.3', ssl_cipher: expect.stringMatching(/^TLS_/) },
    ])
    expect((await get('overview')).listeners).toMatchObject([{ tls: false }, { protocol: 'amqp/ssl', tls: true }, {}])
    await client.close()
  })

  it('is not spoken by everybody who connects, and others do not notice', async () => {
    const client = await open()
    const plain = connectTcp(broker.tlsPort as number, '127.0.0.1')
    plain.write('AMQP\0\0\x09\x01')
    plain.resume()
    await once(plain, 'close')
    expect(warnings).toContain('TLS handshake failed')
    const channel = await client.createChannel()
    await channel.assertQueue('', { exclusive: true })
    await client.close()
  })
})

describe('handshakes that do not end', () => {
  it('count as connections, and end with the broker', async () => {
    const limited = await Broker.start({ tlsPort: 0, tlsCert: files.cert, tlsKey: files.key, maxConnections: 3 })
    const port = limited.tlsPort as number
    const client = await connect(`amqps://guest:guest@localhost:${port}`, { ca: [readFileSync(files.cert)] })
    const silent = [1, 2].map(() => connectTcp(port, '127.0.0.1'))
    const ended = connectTcp(port, '127.0.0.1')
    for (const socket of silent) socket.on('error', () => {})
    ended.on('error', () => {})
    await once(ended, 'close') // the fourth
    const channel = await client.createChannel()
    await channel.assertQueue('', { exclusive: true })
    const gone = Promise.all(silent.map((socket) => once(socket, 'close')))
    await client.close()
    await limited.stop()
    await gone
  })
})

describe('a start', () => {
  const start = (tlsCert: string | null, tlsKey: string | null) => Broker.start({ tlsPort: 0, tlsCert, tlsKey })

  it('is refused without certificate or key', async () => {
    await expect(start(null, files.key)).rejects.toThrow('tls-port needs tls-cert and tls-key')
    await expect(start(files.cert, null)).rejects.toThrow('tls-port needs tls-cert and tls-key')
  })

  it('is refused where a file is not there, or is none', async () => {
    await expect(start(join(folder, 'none.pem'), files.key)).rejects.toThrow(/^Cannot read the TLS certificate: ENOENT/)
    const text = join(folder, 'text.pem')
    writeFileSync(text, 'no certificate')
    await expect(start(text, files.key)).rejects.toThrow('are not a certificate and its key')
    const other = makeCertificate(mkdtempSync(join(folder, 'other-')))
    await expect(start(files.cert, other.key)).rejects.toThrow('are not a certificate and its key')
  })
})
