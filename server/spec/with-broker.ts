// What every specification here stands on: a real broker on a free port for each file, connections that end with the
// test, names that nobody else uses. With AMQP_SPEC_URL set the same specifications run against that broker instead,
// which is how the tables are proven right on RabbitMQ.
import { afterAll, afterEach, beforeAll, expect } from '@jest/globals'
import { type HandshakeOptions, type RawChannel, RawConnection } from '../../clients/raw'
import type { MethodArgs } from '../../protocol'
import type { BrokerOptions, Logger } from '../index'

export type BrokerKind = 'leveret' | 'rabbitmq3' | 'rabbitmq4'

/** One value for all brokers, or one for each line of them; `rabbitmq4` stands for `leveret` where that is not given. */
export type PerBroker<T> = T | { rabbitmq3?: T; rabbitmq4: T; leveret?: T }

const urlFromOutside = process.env.AMQP_SPEC_URL

export class BrokerUnderTest {
  url = ''
  kind: BrokerKind = 'leveret'
  private stop: () => Promise<void> = async () => {}
  private readonly connections: RawConnection[] = []
  private readonly names: string[] = []
  private readonly defects: string[] = []
  private readonly logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: (message, fields) => {
      if (message === 'Internal error') this.defects.push(String(fields?.error))
    },
    error: (message, fields) => this.defects.push(`${message} ${JSON.stringify(fields)}`),
  }
  private readonly prefix = `spec.${process.pid}.${Math.random().toString(36).slice(2, 8)}`

  async start(options: BrokerOptions): Promise<void> {
    if (urlFromOutside !== undefined) this.url = urlFromOutside
    else {
      const { Broker } = await import('../index')
      const broker = await Broker.start({ port: 0, logger: this.logger, ...options })
      this.url = broker.url
      this.stop = () => broker.stop()
    }
    this.kind = await this.recognize()
  }

  /** A running connection, closed after the test. */
  async connect(options: HandshakeOptions = {}): Promise<RawConnection> {
    const connection = await this.socket()
    await connection.handshake(options)
    return connection
  }

  /** A connection on which nothing has been said yet. */
  async socket(): Promise<RawConnection> {
    const connection = await RawConnection.connect(this.url)
    this.connections.push(connection)
    return connection
  }

  /** Channel 1 of a connection of its own. */
  async channel(options: HandshakeOptions = {}): Promise<RawChannel> {
    return await (await this.connect(options)).openChannel(1)
  }

  /** A name nobody else uses; whatever queue or exchange gets it is deleted at the end. */
  name(what = 'q'): string {
    const name = `${this.prefix}.${this.names.length}.${what}`
    this.names.push(name)
    return name
  }

  /** A queue of the channel's own, empty. */
  async queue(channel: RawChannel, args: Partial<MethodArgs<'queue.declare'>> = {}): Promise<string> {
    const queue = this.name('q')
    await channel.call('queue.declare', { queue, exclusive: true, ...args })
    return queue
  }

  async exchange(
    channel: RawChannel,
    type: string,
    args: Partial<MethodArgs<'exchange.declare'>> = {},
  ): Promise<string> {
    const exchange = this.name('x')
    await channel.call('exchange.declare', { exchange, type, ...args })
    return exchange
  }

  pick<T>(value: PerBroker<T>): T {
    if (!isPerBroker(value)) return value
    if (this.kind === 'leveret') return value.leveret ?? value.rabbitmq4
    return this.kind === 'rabbitmq3' ? (value.rabbitmq3 ?? value.rabbitmq4) : value.rabbitmq4
  }

  /** Fails when the broker has met a defect of its own, even one that the test did not notice. */
  async endTest(): Promise<void> {
    await Promise.all(this.connections.splice(0).map((connection) => connection.close()))
    expect(this.defects.splice(0)).toEqual([])
  }

  async end(): Promise<void> {
    if (urlFromOutside !== undefined && this.names.length > 0) await this.deleteNames()
    await this.stop()
  }

  private async recognize(): Promise<BrokerKind> {
    const connection = await this.connect()
    const { product, version } = connection.serverProperties
    await this.endTest()
    if (String(product) !== 'RabbitMQ') return 'leveret'
    return String(version).startsWith('3.') ? 'rabbitmq3' : 'rabbitmq4'
  }

  private async deleteNames(): Promise<void> {
    const channel = await this.channel()
    for (const name of this.names) {
      channel.send('queue.delete', { queue: name, noWait: true })
      channel.send('exchange.delete', { exchange: name, noWait: true })
    }
    await channel.sync()
    await this.endTest()
  }
}

/** To be called in a describe block: its tests, and only they, share one broker. */
export function withBroker(options: BrokerOptions = {}): BrokerUnderTest {
  const broker = new BrokerUnderTest()
  beforeAll(() => broker.start(options))
  afterEach(() => broker.endTest())
  afterAll(() => broker.end())
  return broker
}

function isPerBroker<T>(value: PerBroker<T>): value is { rabbitmq3?: T; rabbitmq4: T; leveret?: T } {
  return typeof value === 'object' && value !== null && 'rabbitmq4' in value
}

/** Tries again until it holds: what follows a broken connection comes in the server's own time. */
export async function eventually(check: () => Promise<void>, attempts = 50): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await check()
    } catch (error) {
      if (attempt === attempts) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
