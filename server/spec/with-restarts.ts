// A broker on disk that a test may stop and start again, cleanly or as after a crash, by a clock of the test's own.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from '@jest/globals'
import { type RawChannel, RawConnection } from '../../clients/raw'
import { Broker, ManualClock } from '../index'

export class RestartingBroker {
  clock = new ManualClock(1_000_000_000_000)
  broker!: Broker
  channel!: RawChannel
  private data = ''
  private connection!: RawConnection

  async open(): Promise<void> {
    if (this.data === '') this.data = mkdtempSync(join(tmpdir(), 'leveret-restarts-'))
    this.broker = await Broker.start({ port: 0, adminPort: 0, data: this.data, clock: this.clock })
    this.connection = await RawConnection.connect(this.broker.url)
    await this.connection.handshake()
    this.channel = await this.connection.openChannel(1)
    await this.channel.call('confirm.select')
  }

  /** A further channel, without confirms. */
  async openChannel(): Promise<RawChannel> {
    return await this.connection.openChannel(++this.channels)
  }
  private channels = 1

  /** A clean stop and a start. */
  async restart(): Promise<void> {
    await this.connection.close()
    await this.broker.stop()
    await this.open()
  }

  /** What is on disk at this moment, started by another broker. */
  async crash(): Promise<void> {
    const copy = mkdtempSync(join(tmpdir(), 'leveret-restarts-'))
    cpSync(this.data, copy, { recursive: true })
    await this.connection.close()
    await this.broker.stop()
    rmSync(this.data, { recursive: true, force: true })
    this.data = copy
    await this.open()
  }

  /** Everything so far is on disk, settlements too, which nobody waits for otherwise. */
  async flush(): Promise<void> {
    await this.channel.call('exchange.declare', { exchange: 'flush', type: 'direct', durable: true })
    await this.channel.call('exchange.delete', { exchange: 'flush' })
  }

  /** Publishes and waits for the confirm. */
  async publish(...message: Parameters<RawChannel['publish']>): Promise<void> {
    this.channel.publish(...message)
    await this.channel.expect('basic.ack')
  }

  async close(): Promise<void> {
    await this.connection.close()
    await this.broker.stop()
    rmSync(this.data, { recursive: true, force: true })
    this.data = ''
  }
}

/** To be called in a describe block: each of its tests has a broker and a directory of its own. */
export function withRestarts(): RestartingBroker {
  const broker = new RestartingBroker()
  beforeEach(() => broker.open())
  afterEach(() => broker.close())
  return broker
}
