// Content properties on their way through: every property, every type of header value, byte for byte.
import { describe, expect, it } from '@jest/globals'
import { encodeProperties, type Properties } from '../../protocol'
import { withBroker } from './with-broker'

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const sized = (bytes: Buffer) => Buffer.concat([u32(bytes.length), bytes])
const field = (name: string, type: string, value: Buffer) =>
  Buffer.concat([Buffer.from([name.length]), Buffer.from(name + type, 'latin1'), value])
const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
/** Flags and values of a header that has this table alone. */
const headersOnly = (...fields: Buffer[]) => Buffer.concat([hex('2000'), sized(Buffer.concat(fields))])

/** Name (sorted: RabbitMQ 4 sorts the outermost table), type, value. */
const everyType: [string, string, Buffer][] = [
  ['a', 't', hex('01')],
  ['b', 't', hex('00')],
  ['c', 'b', hex('80')],
  ['d', 'B', hex('ff')],
  ['e', 's', hex('8000')],
  ['f', 'u', hex('ffff')],
  ['g', 'I', hex('80000000')],
  ['h', 'i', hex('ffffffff')],
  ['i', 'l', hex('8000000000000000')],
  ['j', 'f', hex('3dcccccd')],
  ['k', 'd', hex('8000000000000000')],
  ['l', 'D', hex('02 ffffffff')],
  ['m', 'S', sized(Buffer.from('text é'))],
  ['n', 'S', sized(hex('fffe00'))],
  ['o', 'x', sized(hex('00ff'))],
  ['p', 'T', hex('ffffffffffffffff')],
  ['q', 'V', Buffer.alloc(0)],
  ['r', 'F', sized(field('z', 'I', hex('00000001')))],
  [
    's',
    'A',
    sized(Buffer.concat([Buffer.from('I'), u32(7), Buffer.from('V'), Buffer.from('S'), sized(Buffer.from('x'))])),
  ],
  ['t', 'F', sized(Buffer.alloc(0))],
  ['u', 'A', sized(Buffer.alloc(0))],
  ['v', 'S', sized(Buffer.alloc(0))],
  [
    'w',
    'F',
    sized(field('b', 'F', sized(field('a', 'A', sized(Buffer.concat([Buffer.from('A'), sized(Buffer.alloc(0))])))))),
  ],
]

const everyProperty: Properties = {
  contentType: 'application/json',
  contentEncoding: 'gzip',
  headers: { a: 1, b: 'two' },
  deliveryMode: 1,
  priority: 9,
  correlationId: 'c',
  replyTo: 'r',
  expiration: '60000',
  messageId: 'm',
  timestamp: 1_700_000_000,
  type: 't',
  userId: 'guest',
  appId: 'a',
  clusterId: 'k',
}

describe('properties', () => {
  const broker = withBroker()

  async function through(properties: Buffer, how: 'get' | 'deliver' | 'return'): Promise<Buffer> {
    const channel = await broker.channel()
    if (how === 'return') {
      channel.publish({ routingKey: 'spec.nobody', mandatory: true }, 'body', properties)
      return (await channel.message('basic.return')).rawProperties
    }
    const queue = await broker.queue(channel)
    channel.publishTo(queue, 'body', properties)
    await channel.sync(queue)
    if (how === 'get') return (await channel.get(queue))?.rawProperties as Buffer
    await channel.call('basic.consume', { queue })
    return (await channel.message()).rawProperties
  }

  it.each(['get', 'deliver', 'return'] as const)('all of them, by %s', async (how) => {
    const bytes = encodeProperties(everyProperty)
    expect((await through(bytes, how)).toString('hex')).toBe(bytes.toString('hex'))
  })

  it.each(Object.entries(everyProperty))('%s alone', async (name, value) => {
    const bytes = encodeProperties({ [name]: value })
    expect((await through(bytes, 'get')).toString('hex')).toBe(bytes.toString('hex'))
  })

  it('none', async () => {
    expect((await through(hex('0000'), 'get')).toString('hex')).toBe('0000')
  })

  it('texts of 255 bytes', async () => {
    const long = `${'é'.repeat(127)}x`
    const bytes = encodeProperties({ contentType: long, correlationId: long, messageId: long, appId: long })
    expect((await through(bytes, 'deliver')).toString('hex')).toBe(bytes.toString('hex'))
  })

  it.each(everyType)('header %s of type %s', async (name, type, value) => {
    const bytes = headersOnly(field(name, type, value))
    expect((await through(bytes, 'get')).toString('hex')).toBe(bytes.toString('hex'))
  })

  it('headers of every type in one table', async () => {
    const bytes = headersOnly(...everyType.map((entry) => field(...entry)))
    expect((await through(bytes, 'deliver')).toString('hex')).toBe(bytes.toString('hex'))
  })

  it('a table of headers that fills its frame', async () => {
    const bytes = headersOnly(field('a', 'S', sized(Buffer.alloc(131_000, 'x'))))
    expect((await through(bytes, 'get')).equals(bytes)).toBe(true)
  })

  it('an arbitrary order of headers arrives in that order, or sorted as RabbitMQ 4 does', async () => {
    const fields = ['b', 'C', '_', 'a'].map((name) => field(name, 'I', u32(1)))
    const sorted = [1, 2, 3, 0].map((index) => fields[index])
    const seen = await through(headersOnly(...fields), 'get')
    const expected = broker.pick({
      rabbitmq4: headersOnly(...sorted),
      rabbitmq3: headersOnly(...fields),
      leveret: headersOnly(...fields),
    })
    expect(seen.toString('hex')).toBe(expected.toString('hex'))
  })
})
