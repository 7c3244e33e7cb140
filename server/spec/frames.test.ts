// Bytes that are no frames, frames that are no methods, content that is not what was announced: each ends the connection
// it came on with the right reply code, and no other.
import { describe, expect, it } from '@jest/globals'
import { anyFrame, headerPayload, methodPayload, type RawChannel } from '../../clients/raw'
import { encodeMethod, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD } from '../../protocol'
import { type PerBroker, withBroker } from './with-broker'

type Outcome = { code: number; text: string | RegExp; method: string } | 'dropped'

/** Sent on a connection with channel 1 open; `text` as RabbitMQ has it, or what is common to all. */
interface Row {
  when: string
  bytes: Buffer
  ends: PerBroker<Outcome>
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const method = (classId: number, methodId: number, ...args: (Buffer | number[] | string)[]) =>
  anyFrame(FRAME_METHOD, 1, methodPayload(classId, methodId, bytesOf(...args)))
const bytesOf = (...parts: (Buffer | number[] | string)[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)))
const publish = encodeMethod('basic.publish', 1, { routingKey: 'spec.nobody' })
const qos = encodeMethod('basic.qos', 1, {})
const header = (size: number, properties: number[] | Buffer = [0, 0], classId = 60) =>
  anyFrame(FRAME_HEADER, 1, headerPayload(size, Buffer.from(properties), classId))
const body = (text: string) => anyFrame(FRAME_BODY, 1, Buffer.from(text))
/** queue.declare with these bytes for its arguments, length included. */
const declare = (table: Buffer) => method(50, 10, [0, 0, 4], 'spec', [0], table)
const table = (...parts: (Buffer | number[] | string)[]) => bytesOf(u32(bytesOf(...parts).length), ...parts)

const frameError = (text: RegExp, blamed = 'none'): Outcome => ({ code: 501, text, method: blamed })
const unexpected = (text: string, blamed: string): Outcome => ({
  code: 505,
  text: `UNEXPECTED_FRAME - ${text}`,
  method: blamed,
})
const syntaxError = (blamed: string): Outcome => ({ code: 502, text: /^SYNTAX_ERROR - /, method: blamed })

describe('frames', () => {
  const broker = withBroker()
  itEnds([
    {
      when: 'text',
      bytes: Buffer.from('this is no frame at all, is it? 0123456789'),
      ends: frameError(/^FRAME_ERROR - /),
    },
    { when: 'zeros', bytes: Buffer.alloc(64), ends: frameError(/^FRAME_ERROR - /) },
    { when: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'), ends: frameError(/^FRAME_ERROR - /) },
    { when: 'the protocol header again', bytes: Buffer.from('AMQP\0\0\x09\x01'), ends: frameError(/^FRAME_ERROR - /) },
    { when: 'type 0', bytes: anyFrame(0, 1, Buffer.from('abcd')), ends: frameError(/^FRAME_ERROR - .*type 0/) },
    { when: 'type 99', bytes: anyFrame(99, 0, Buffer.from('abcd')), ends: frameError(/^FRAME_ERROR - .*type 99/) },
    {
      when: 'a wrong end of a method frame',
      bytes: anyFrame(FRAME_METHOD, 1, methodPayload(60, 10, Buffer.alloc(7)), 0xcd),
      ends: frameError(/^FRAME_ERROR - .*invalid.frame.end.marker/),
    },
    {
      when: 'a wrong end of a body frame',
      bytes: bytesOf(publish, header(3), anyFrame(FRAME_BODY, 1, Buffer.from('abc'), 0)),
      ends: frameError(/^FRAME_ERROR - .*invalid.frame.end.marker/),
    },
    {
      when: 'a size announced far over frame-max, before the bytes are there',
      bytes: anyFrame(FRAME_BODY, 1, Buffer.from('abc'), FRAME_END, 0x7fffffff),
      ends: frameError(/^FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,2147483647,131064}$/),
    },
    {
      when: 'a method frame over frame-max',
      bytes: method(60, 10, Buffer.alloc(200_000)),
      ends: frameError(/^FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,200004,131064}$/),
    },
    {
      when: 'a body frame over frame-max',
      bytes: bytesOf(publish, header(200_000), anyFrame(FRAME_BODY, 1, Buffer.alloc(200_000))),
      ends: frameError(/^FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,200000,131064}$/),
    },
    {
      when: 'a method frame without ids',
      bytes: anyFrame(FRAME_METHOD, 1, Buffer.alloc(0)),
      ends: frameError(/^FRAME_ERROR/),
    },
    {
      when: 'a heartbeat on channel 1',
      bytes: anyFrame(FRAME_HEARTBEAT, 1, Buffer.alloc(0)),
      ends: {
        rabbitmq4: { code: 505, text: /^UNEXPECTED_FRAME/, method: 'none' },
        leveret: frameError(/^FRAME_ERROR/),
      },
    },
  ])

  it('a heartbeat is taken any time', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const beat = () => channel.connection.sendFrame(FRAME_HEARTBEAT, 0, Buffer.alloc(0))
    channel.send('basic.publish', { routingKey: queue })
    beat()
    channel.sendHeader(2)
    beat()
    channel.sendBody(Buffer.from('ok'))
    beat()
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['ok'])
  })

  it('may be cut anywhere, with those of another connection between the pieces', async () => {
    const [one, other] = [await broker.channel(), await broker.channel()]
    const queue = await broker.queue(one)
    const text = (n: number) => `message ${n} `.repeat(3)
    const published = (n: number) =>
      one.connection.gather(() => one.publishTo(queue, text(n), { messageId: `id ${n}` }))
    const length = published(0).length
    const sent: string[] = []
    for (let cut = 1; cut < length; cut++) {
      const bytes = published(100 + cut) // numbers of as many digits each
      one.connection.write(bytes.subarray(0, cut))
      await one.connection.written()
      await other.connection.roundTrip() // by then the first piece was most likely read
      other.publishTo(queue, `between ${cut}`)
      await other.connection.roundTrip()
      one.connection.write(bytes.subarray(cut))
      await one.sync(queue)
      sent.push(`between ${cut}`, text(100 + cut))
    }
    expect(await one.empty(queue)).toEqual(sent)
  })

  it('a frame of the full negotiated size is taken', async () => {
    const channel = await broker.channel({ tune: { frameMax: 8192 } })
    const queue = await broker.queue(channel)
    channel.publishTo(queue, Buffer.alloc(8184, 'x'))
    await channel.sync(queue)
    expect((await channel.get(queue))?.frameSizes).toEqual([8184])
  })

  describe('methods', () => {
    itEnds([
      {
        when: 'an unknown class',
        bytes: method(77, 10),
        ends: {
          rabbitmq4: 'dropped',
          leveret: { code: 503, text: 'COMMAND_INVALID - unknown method 77.10', method: '77.10' },
        },
      },
      {
        when: 'an unknown method',
        bytes: method(60, 999),
        ends: {
          rabbitmq4: 'dropped',
          leveret: { code: 503, text: 'COMMAND_INVALID - unknown method 60.999', method: '60.999' },
        },
      },
      {
        when: 'arguments cut short',
        bytes: method(60, 10, [0, 0, 0]),
        ends: { rabbitmq4: frameError(/cannot decode/, 'basic.qos'), leveret: syntaxError('basic.qos') },
      },
      {
        when: 'bytes behind the arguments',
        bytes: method(60, 10, Buffer.alloc(20)),
        ends: { rabbitmq4: frameError(/cannot decode/, 'basic.qos'), leveret: syntaxError('basic.qos') },
      },
      {
        when: 'a name longer than its frame',
        bytes: method(50, 10, [0, 0, 200], 'ab'),
        ends: { rabbitmq4: frameError(/cannot decode/, 'queue.declare'), leveret: syntaxError('queue.declare') },
      },
      {
        when: 'a name that is not UTF-8',
        bytes: method(50, 10, [0, 0, 4], 'ab', [0xff, 0xfe, 0], u32(0)),
        ends: { rabbitmq4: frameError(/Malformed UTF-8 in shortstr/), leveret: syntaxError('queue.declare') },
      },
      {
        when: 'a table longer than its frame',
        bytes: declare(bytesOf(u32(1000), 'abc')),
        ends: { rabbitmq4: frameError(/cannot decode/, 'queue.declare'), leveret: syntaxError('queue.declare') },
      },
      {
        when: 'a table with a value longer than itself',
        bytes: declare(table([1], 'aS', u32(1000), 'xx')),
        ends: { rabbitmq4: 'dropped', leveret: syntaxError('queue.declare') },
      },
      {
        when: 'a table with a name longer than itself',
        bytes: declare(table([9], 'a')),
        ends: { rabbitmq4: 'dropped', leveret: syntaxError('queue.declare') },
      },
      {
        when: 'a table with a value of an unknown type',
        bytes: declare(table([1], 'aZ', u32(1))),
        ends: { rabbitmq4: 'dropped', leveret: syntaxError('queue.declare') },
      },
    ])

    it('tables nested a thousand deep end that connection at most', async () => {
      let nested = table([1], 'aV')
      for (let depth = 0; depth < 1000; depth++) nested = table([1], 'aF', nested)
      const bystander = await broker.channel()
      const channel = await broker.channel()
      channel.connection.write(declare(nested))
      await channel.next('an answer of any kind').catch(() => {})
      await bystander.sync()
    })
  })

  describe('content', () => {
    const notMethod = unexpected('expected method frame, got non method frame instead', 'none')
    const notHeader = unexpected(
      'expected content header for class 60, got non content header frame instead',
      'basic.publish',
    )
    const notBody = unexpected('expected content body, got non content body frame instead', 'basic.publish')
    const badHeader = {
      rabbitmq4: { code: 501, text: /^FRAME_ERROR - type 2, all octets = .*unknown_frame/, method: 'none' },
      leveret: syntaxError('basic.publish'),
    }
    const badProperties = {
      rabbitmq4: { code: 541, text: 'INTERNAL_ERROR', method: 'none' },
      leveret: syntaxError('basic.publish'),
    }
    itEnds([
      { when: 'a header without a method', bytes: header(0), ends: notMethod },
      { when: 'a body without a method', bytes: body('abc'), ends: notMethod },
      { when: 'a body instead of a header', bytes: bytesOf(publish, body('abc')), ends: notHeader },
      { when: 'a method instead of a header', bytes: bytesOf(publish, qos), ends: notHeader },
      { when: 'a method instead of a body', bytes: bytesOf(publish, header(3), qos), ends: notBody },
      { when: 'a method between two body frames', bytes: bytesOf(publish, header(3), body('a'), qos), ends: notBody },
      { when: 'a header instead of a body', bytes: bytesOf(publish, header(3), header(3)), ends: notBody },
      {
        when: 'a header of another class',
        bytes: bytesOf(publish, header(0, [0, 0], 10)),
        ends: unexpected('expected content header for class 60, got one for class 10 instead', 'basic.publish'),
      },
      { when: 'a body where none is due', bytes: bytesOf(publish, header(0), body('a')), ends: notMethod },
      { when: 'a body frame too many', bytes: bytesOf(publish, header(3), body('abc'), body('d')), ends: notMethod },
      {
        when: 'a header without its fields',
        bytes: bytesOf(publish, anyFrame(FRAME_HEADER, 1, Buffer.alloc(4))),
        ends: badHeader,
      },
      { when: 'an empty header', bytes: bytesOf(publish, anyFrame(FRAME_HEADER, 1, Buffer.alloc(0))), ends: badHeader },
      { when: 'properties cut short', bytes: bytesOf(publish, header(0, [0x80, 0])), ends: badProperties },
      {
        when: 'a property longer than the header',
        bytes: bytesOf(publish, header(0, [0x80, 0, 50, 65])),
        ends: badProperties,
      },
      { when: 'bytes behind the properties', bytes: bytesOf(publish, header(0, [0, 0, 1, 2, 3])), ends: badProperties },
      {
        when: 'a headers table longer than the header',
        bytes: bytesOf(publish, header(0, bytesOf([0x20, 0], u32(500), 'ab'))),
        ends: badProperties,
      },
      { when: 'a second word of flags', bytes: bytesOf(publish, header(0, [0, 1, 0, 0])), ends: badProperties },
    ])

    const tooLong = { code: 501, text: /^FRAME_ERROR - /, method: 'basic.publish' }
    // RabbitMQ 3 takes a body that is too long for a message of its own and waits for the rest.
    const rows: Row[] = [
      { when: 'a body longer than announced', bytes: bytesOf(publish, header(3), body('abcd')), ends: tooLong },
      {
        when: 'a body that outgrows what was announced',
        bytes: bytesOf(publish, header(3), body('ab'), body('cd')),
        ends: tooLong,
      },
    ]
    itEnds(rows, ['rabbitmq3'])

    it('a message over the largest size ends the channel', async () => {
      const channel = await broker.channel()
      if (broker.kind === 'rabbitmq3') return // takes up to 128 MiB
      const size = 16 * 1024 * 1024 + 1
      channel.send('basic.publish', { routingKey: 'spec.nobody' })
      channel.sendHeader(size)
      if (broker.kind === 'rabbitmq4') channel.sendBody(Buffer.alloc(size)) // it looks when all is there
      expect(await channel.expectClose()).toEqual({
        code: 406,
        text: 'PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216',
        method: 'basic.publish',
      })
    })
  })

  function itEnds(rows: Row[], except: string[] = []): void {
    it.each(rows)('$when', async ({ bytes, ends }) => {
      if (except.includes(broker.kind)) return
      const bystander = await broker.channel()
      const channel: RawChannel = await broker.channel()
      const outcome = broker.pick(ends)
      channel.connection.write(bytes)
      if (outcome === 'dropped') await channel.connection.expectDropped()
      else {
        const close = await channel.connection.expectClose()
        expect({ ...close, text: null }).toEqual({ ...outcome, text: null })
        expect(close.text).toMatch(outcome.text)
      }
      await bystander.sync()
    })
  }
})
