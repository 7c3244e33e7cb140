// A real broker with its admin API on free ports, and a client that asks it. For the tests in server/admin.
import { afterAll, beforeAll, expect } from '@jest/globals'
import { type ChannelModel, connect } from 'amqplib'
import { Broker, type BrokerOptions } from '../index'

// biome-ignore lint/suspicious/noExplicitAny: JSON of many shapes; the tests say what they expect
export type Json = any

export interface Answer {
  status: number
  headers: Headers
  text: string
  json: Json // undefined where the text is none
}

export class AdminUnderTest {
  broker!: Broker
  private readonly clients: ChannelModel[] = []

  async request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.broker.adminUrl + path, {
      method,
      headers: { authorization: basic('guest', 'guest'), ...headers },
      body: body === undefined || typeof body === 'string' ? (body as string | undefined) : JSON.stringify(body),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parsed(text) }
  }

  /** The JSON of a GET that must succeed. */
  async get(path: string): Promise<Json> {
    const { status, json } = await this.request('GET', path)
    expect({ path, status }).toEqual({ path, status: 200 })
    return json
  }

  async put(path: string, body: unknown = {}): Promise<void> {
    const { status } = await this.request('PUT', path, body)
    expect([201, 204]).toContain(status)
  }

  async publish(routingKey: string, payload: string, properties: unknown = {}): Promise<Json> {
    const body = { routing_key: routingKey, payload, payload_encoding: 'string', properties }
    return (await this.request('POST', '/api/exchanges/%2F/amq.default/publish', body)).json
  }

  /** An AMQP client, closed at the end. */
  async client(name = 'test'): Promise<ChannelModel> {
    const client = await connect(this.broker.url, { clientProperties: { connection_name: name } })
    client.on('error', () => {}) // a test may have it closed
    this.clients.push(client)
    return client
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close().catch(() => {})))
    await this.broker.stop()
  }
}

/** To be called in a describe block: its tests, and only they, share one broker. */
export function withAdmin(options: BrokerOptions = {}): AdminUnderTest {
  const admin = new AdminUnderTest()
  beforeAll(async () => {
    admin.broker = await Broker.start({ port: 0, adminPort: 0, ...options })
  })
  afterAll(() => admin.stop())
  return admin
}

export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
