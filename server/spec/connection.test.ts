// Connections: protocol header, login, tuning, vhost, heartbeats, close.
import { describe, expect, it } from '@jest/globals'
import { protocolHeader, type RawConnection } from '../../clients/raw'
import { encodeTable } from '../../protocol'
import { ManualClock, type Timer } from '../index'
import { type PerBroker, withBroker } from './with-broker'

const header = (text: string) => Buffer.from(text, 'latin1')
const amqp1 = header('AMQP\x03\x01\x00\x00')
const refused = (mechanism: string) => ({
  code: 403,
  text: `ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`,
  method: 'none',
})

describe('the first bytes', () => {
  const broker = withBroker()

  it.each<[string, Buffer, PerBroker<Buffer>]>([
    ['AMQP 0-9-2', header('AMQP\x00\x00\x09\x02'), protocolHeader],
    [
      'AMQP 0-10',
      header('AMQP\x01\x01\x00\x0a'),
      { rabbitmq3: protocolHeader, rabbitmq4: amqp1, leveret: protocolHeader },
    ],
    [
      'AMQP 0-8',
      header('AMQP\x02\x01\x00\x00'),
      { rabbitmq3: protocolHeader, rabbitmq4: amqp1, leveret: protocolHeader },
    ],
    [
      'HTTP',
      header('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      { rabbitmq3: protocolHeader, rabbitmq4: amqp1, leveret: protocolHeader },
    ],
    [
      'TLS',
      header('\x16\x03\x01\x02\x00\x01\x00\x01'),
      { rabbitmq3: protocolHeader, rabbitmq4: amqp1, leveret: protocolHeader },
    ],
  ])('of %s are answered with ours, and the socket closes', async (_title, bytes, answer) => {
    const connection = await broker.socket()
    const answered = connection.readRawToEnd()
    connection.write(bytes)
    expect(await answered).toEqual(broker.pick(answer))
  })

  it('of AMQP 0-9, as old clients of 0-9-1 say them, are as good', async () => {
    const connection = await broker.socket()
    connection.write(header('AMQP\x01\x01\x00\x09'))
    await connection.expect(0, 'connection.start')
  })

  it('may come one by one, as everything after them', async () => {
    const connection = await broker.socket()
    for (const byte of protocolHeader) connection.write(Buffer.from([byte]))
    await connection.expect(0, 'connection.start')
  })

  it('may be followed by all of the handshake in one write', async () => {
    const connection = await broker.socket()
    connection.inOneWrite(() => {
      connection.write(protocolHeader)
      connection.send(0, 'connection.start-ok', {
        mechanism: 'PLAIN',
        response: Buffer.from('\0guest\0guest'),
        locale: 'en_US',
      })
      connection.send(0, 'connection.tune-ok', { channelMax: 10, frameMax: 131072 })
      connection.send(0, 'connection.open', { virtualHost: '/' })
      connection.send(1, 'channel.open')
    })
    for (const name of ['connection.start', 'connection.tune', 'connection.open-ok'] as const) {
      await connection.expect(0, name)
    }
    await connection.expect(1, 'channel.open-ok')
  })
})

describe('connection.start', () => {
  const broker = withBroker()

  it('names versions, mechanisms, locales and capabilities', async () => {
    const connection = await broker.socket()
    connection.write(protocolHeader)
    const start = await connection.expect(0, 'connection.start')
    expect(start).toMatchObject({ versionMajor: 0, versionMinor: 9, locales: Buffer.from('en_US') })
    expect(start.mechanisms.toString().split(' ')).toEqual(expect.arrayContaining(['PLAIN', 'AMQPLAIN']))
    for (const name of ['product', 'version', 'platform', 'information', 'copyright', 'cluster_name']) {
      expect(typeof start.serverProperties[name]).toBe('string')
    }
    expect(start.serverProperties.capabilities).toMatchObject({
      publisher_confirms: true,
      exchange_exchange_bindings: true,
      'basic.nack': true,
      consumer_cancel_notify: true,
      authentication_failure_close: true,
      per_consumer_qos: true,
    })
  })
})

describe('login', () => {
  const broker = withBroker()
  const amqplain = (password: string) => encodeTable({ LOGIN: 'guest', PASSWORD: password }).subarray(4)

  it('by AMQPLAIN', async () => {
    await broker.connect({ mechanism: 'AMQPLAIN', response: amqplain('guest') })
  })

  it.each([
    ['wrong password', { password: 'wrong' }, 'PLAIN'],
    ['empty password', { password: '' }, 'PLAIN'],
    ['unknown user', { user: 'nobody' }, 'PLAIN'],
    ['wrong password by AMQPLAIN', { mechanism: 'AMQPLAIN', response: amqplain('wrong') }, 'AMQPLAIN'],
  ])('%s: 403 for a client that can read it, a dropped socket for another', async (_title, login, mechanism) => {
    const able = await broker.socket()
    await able.authenticate(login)
    expect(await able.expectClose()).toEqual(refused(mechanism))
    const unable = await broker.socket()
    await unable.authenticate({ ...login, clientProperties: {} })
    await unable.expectDropped()
  })

  it.each<[string, object]>([
    ['an unknown mechanism', { mechanism: 'CRAM-MD5' }],
    ['a response that is empty', { response: Buffer.alloc(0) }],
    ['a response without zeros', { response: Buffer.from('guest guest') }],
  ])('%s is refused', async (_title, login) => {
    const connection = await broker.socket()
    await connection.authenticate(login)
    if (broker.kind === 'leveret') expect((await connection.expectClose()).code).toBe(403)
    else await connection.expectDropped()
  })
})

describe('tuning', () => {
  const broker = withBroker()

  it('proposes 2047 channels, frames of 128 KiB, a heartbeat every minute', async () => {
    const connection = await broker.socket()
    await connection.authenticate()
    expect(await connection.tune()).toEqual({ channelMax: 2047, frameMax: 131072, heartbeat: 60 })
  })

  it.each([{ frameMax: 4095 }, { frameMax: 131073 }, { frameMax: 0 }, { channelMax: 0 }, { channelMax: 2048 }])(
    'refuses %j',
    async (tune) => {
      const connection = await broker.socket()
      await connection.authenticate()
      await connection.tune(tune)
      if (broker.kind === 'leveret') expect((await connection.expectClose()).code).toBe(530)
      else await connection.expectDropped()
    },
  )

  it.each([{ frameMax: 8192 }, { channelMax: 1 }, { heartbeat: 65535 }])('accepts %j', async (tune) => {
    await broker.connect({ tune })
  })

  it('accepts frames of 4096 bytes, which RabbitMQ 4 refuses', async () => {
    if (broker.kind !== 'rabbitmq4') await broker.connect({ tune: { frameMax: 4096 } })
  })

  it('limits how many channels are open, not their numbers', async () => {
    const connection = await broker.connect({ tune: { channelMax: 2 } })
    const first = await connection.openChannel(1)
    await connection.openChannel(500)
    await first.close()
    await connection.openChannel(65535)
    connection.send(2, 'channel.open')
    expect(await connection.expectClose()).toEqual({
      code: 530,
      text: 'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)',
      method: 'none',
    })
  })
})

describe('opening', () => {
  const broker = withBroker()

  it.each(['nowhere', '', 'no/where'])('the unknown vhost %p', async (vhost) => {
    const connection = await broker.socket()
    await connection.authenticate()
    await connection.tune()
    connection.send(0, 'connection.open', { virtualHost: vhost })
    expect(await connection.expectClose()).toEqual({
      code: 530,
      text: `NOT_ALLOWED - vhost ${vhost} not found`,
      method: 'connection.open',
    })
  })

  it('ignores a locale it does not know', async () => {
    const connection = await broker.socket()
    connection.write(protocolHeader)
    await connection.expect(0, 'connection.start')
    connection.send(0, 'connection.start-ok', {
      mechanism: 'PLAIN',
      response: Buffer.from('\0guest\0guest'),
      locale: 'xx_XX',
    })
    await connection.tune()
    await connection.openVhost()
  })
})

describe('a method before its time', () => {
  const broker = withBroker()

  it.each(['connection.open', 'connection.tune-ok', 'channel.open'] as const)(
    '%s instead of start-ok',
    async (name) => {
      const connection = await broker.socket()
      connection.write(protocolHeader)
      await connection.expect(0, 'connection.start')
      connection.send(name === 'channel.open' ? 1 : 0, name)
      if (broker.kind === 'leveret') expect([503, 504]).toContain((await connection.expectClose()).code)
      else await connection.expectDropped()
    },
  )

  it.each(['connection.open', 'connection.start-ok', 'channel.open'] as const)(
    '%s instead of tune-ok',
    async (name) => {
      const connection = await broker.socket()
      await connection.authenticate()
      await connection.expect(0, 'connection.tune')
      connection.send(name === 'channel.open' ? 1 : 0, name)
      if (broker.kind === 'leveret') expect([503, 504]).toContain((await connection.expectClose()).code)
      else await connection.socketClosed
    },
  )
})

describe('closing', () => {
  const broker = withBroker()

  it('is answered, and what follows is ignored', async () => {
    const connection = await broker.connect()
    const channel = await connection.openChannel()
    connection.inOneWrite(() => {
      connection.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' })
      channel.send('queue.declare', { queue: 'amq.refused' })
    })
    await connection.expect(0, 'connection.close-ok')
    expect(connection.drain(1)).toEqual([])
  })

  it('from both sides is answered', async () => {
    const connection = await broker.connect()
    const channel = await connection.openChannel()
    channel.send('basic.qos', { prefetchSize: 1 })
    await connection.expect(0, 'connection.close')
    connection.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' })
    await connection.expect(0, 'connection.close-ok')
  })

  it('by the server ends with the socket, and takes the channels along', async () => {
    const connection = await broker.connect()
    const [first, second] = [await connection.openChannel(1), await connection.openChannel(2)]
    first.send('basic.qos', { prefetchSize: 1 })
    expect((await connection.expectClose()).code).toBe(540)
    await expect(second.sync()).rejects.toThrow('540')
  })
})

describe('update-secret', () => {
  const broker = withBroker()

  it('is answered', async () => {
    const connection = await broker.connect()
    connection.send(0, 'connection.update-secret', { newSecret: Buffer.from('guest'), reason: 'renewed' })
    await connection.expect(0, 'connection.update-secret-ok')
  })
})

describe('heartbeats', () => {
  const broker = withBroker()

  it('come, and a silent peer is dropped', async () => {
    const connection = await broker.connect({ tune: { heartbeat: 1 } })
    await connection.expectDropped()
    // Two intervals passed, and there are two in each: some clients hang up after one interval without any.
    expect(connection.heartbeatCount).toBeGreaterThanOrEqual(3)
  })

  it('are not sent when not wanted', async () => {
    const silent = await broker.connect({ tune: { heartbeat: 0 } })
    const other = await broker.connect({ tune: { heartbeat: 1 } })
    await other.socketClosed // takes as long as two beats
    await silent.openChannel()
    expect(silent.heartbeatCount).toBe(0)
  })

  it('any frame counts as a beat', async () => {
    const busy = await (await broker.connect({ tune: { heartbeat: 1 } })).openChannel()
    const silent = await broker.connect({ tune: { heartbeat: 1 } })
    const traffic = setInterval(() => busy.send('channel.flow', { active: true }), 100)
    await silent.socketClosed
    clearInterval(traffic)
    expect(busy.connection.isClosed).toBe(false)
  })
})

const itHere = process.env.AMQP_SPEC_URL === undefined ? it : it.skip // the clock of others cannot be set

describe('a peer that is silent', () => {
  class LateClock extends ManualClock {
    override after(ms: number, callback: () => void): Timer {
      return super.after(ms + 1, callback)
    }
  }
  const clock = new LateClock(1_000_000)
  const broker = withBroker({ clock })

  itHere('has two whole intervals, although the timers of the server are late', async () => {
    const connection = await broker.connect({ tune: { heartbeat: 1 } })
    clock.advance(500)
    await connection.openChannel() // heard just before a beat
    clock.advance(1999)
    await (await broker.connect()).openChannel() // by now the server would have hung up
    expect(connection.isClosed).toBe(false)
    clock.advance(1000)
    await connection.socketClosed
  })
})

describe('a handshake that is not finished', () => {
  const clock = new ManualClock(1_000_000)
  const broker = withBroker({ clock })

  itHere.each<[string, (connection: RawConnection) => Promise<unknown>]>([
    ['nothing sent', async () => {}],
    ['half a header', async (connection) => connection.write(protocolHeader.subarray(0, 4))],
    [
      'no login',
      async (connection) => {
        connection.write(protocolHeader)
        await connection.expect(0, 'connection.start')
      },
    ],
    [
      'no tune-ok',
      async (connection) => {
        await connection.authenticate()
        await connection.expect(0, 'connection.tune')
      },
    ],
  ])('is dropped after 10 s: %s', async (_title, begin) => {
    const running = await broker.connect()
    const connection = await broker.socket()
    await begin(connection)
    await running.openChannel() // by now the server has seen the other one
    for (let second = 0; second < 12; second++) clock.advance(1000)
    await connection.socketClosed
    expect(running.isClosed).toBe(false)
  })
})
