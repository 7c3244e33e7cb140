// Every method in known bytes: a round trip alone would not see two arguments that are swapped in their row. The bytes are
// those of 0-9-1 and RabbitMQ's extensions as other implementations write them, not made by the code under test.
import { describe, expect, it } from '@jest/globals'
import { decodeMethod, encodeMethod, frame } from './method-codec'
import { METHOD_BY_NAME, type MethodName } from './spec'

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex')
const long = (text: string) => Buffer.from(text)

/** Class, method, then one group for each argument; bits that follow each other are one. No two values of a method are alike,
 *  but for bits: those are told apart below. */
const known: [name: MethodName, payload: string, args: Record<string, unknown>][] = [
  [
    'connection.start',
    '000a 000a 01 02 00000004016b7401 000000026162 000000026364',
    { versionMajor: 1, versionMinor: 2, serverProperties: { k: true }, mechanisms: long('ab'), locales: long('cd') },
  ],
  [
    'connection.start-ok',
    '000a 000b 00000004016b7401 026162 000000026364 026566',
    { clientProperties: { k: true }, mechanism: 'ab', response: long('cd'), locale: 'ef' },
  ],
  ['connection.secure', '000a 0014 000000026162', { challenge: long('ab') }],
  ['connection.secure-ok', '000a 0015 000000026162', { response: long('ab') }],
  ['connection.tune', '000a 001e 0001 00000002 0003', { channelMax: 1, frameMax: 2, heartbeat: 3 }],
  ['connection.tune-ok', '000a 001f 0001 00000002 0003', { channelMax: 1, frameMax: 2, heartbeat: 3 }],
  ['connection.open', '000a 0028 026162 026364 01', { virtualHost: 'ab', reserved1: 'cd', reserved2: true }],
  ['connection.open-ok', '000a 0029 026162', { reserved1: 'ab' }],
  ['connection.close', '000a 0032 0001 026162 0002 0003', { replyCode: 1, replyText: 'ab', classId: 2, methodId: 3 }],
  ['connection.close-ok', '000a 0033', {}],
  ['connection.blocked', '000a 003c 026162', { reason: 'ab' }],
  ['connection.unblocked', '000a 003d', {}],
  ['connection.update-secret', '000a 0046 000000026162 026364', { newSecret: long('ab'), reason: 'cd' }],
  ['connection.update-secret-ok', '000a 0047', {}],
  ['channel.open', '0014 000a 026162', { reserved1: 'ab' }],
  ['channel.open-ok', '0014 000b 000000026162', { reserved1: long('ab') }],
  ['channel.flow', '0014 0014 01', { active: true }],
  ['channel.flow-ok', '0014 0015 01', { active: true }],
  ['channel.close', '0014 0028 0001 026162 0002 0003', { replyCode: 1, replyText: 'ab', classId: 2, methodId: 3 }],
  ['channel.close-ok', '0014 0029', {}],
  [
    'access.request',
    '001e 000a 026162 15',
    { realm: 'ab', exclusive: true, passive: false, active: true, write: false, read: true },
  ],
  ['access.request-ok', '001e 000b 0001', { ticket: 1 }],
  [
    'exchange.declare',
    '0028 000a 0001 026162 026364 15 00000004016b7401',
    {
      reserved1: 1,
      exchange: 'ab',
      type: 'cd',
      passive: true,
      durable: false,
      autoDelete: true,
      internal: false,
      noWait: true,
      arguments: { k: true },
    },
  ],
  ['exchange.declare-ok', '0028 000b', {}],
  ['exchange.delete', '0028 0014 0001 026162 01', { reserved1: 1, exchange: 'ab', ifUnused: true, noWait: false }],
  ['exchange.delete-ok', '0028 0015', {}],
  [
    'exchange.bind',
    '0028 001e 0001 026162 026364 026566 01 00000004016b7401',
    { reserved1: 1, destination: 'ab', source: 'cd', routingKey: 'ef', noWait: true, arguments: { k: true } },
  ],
  ['exchange.bind-ok', '0028 001f', {}],
  [
    'exchange.unbind',
    '0028 0028 0001 026162 026364 026566 01 00000004016b7401',
    { reserved1: 1, destination: 'ab', source: 'cd', routingKey: 'ef', noWait: true, arguments: { k: true } },
  ],
  ['exchange.unbind-ok', '0028 0033', {}],
  [
    'queue.declare',
    '0032 000a 0001 026162 15 00000004016b7401',
    {
      reserved1: 1,
      queue: 'ab',
      passive: true,
      durable: false,
      exclusive: true,
      autoDelete: false,
      noWait: true,
      arguments: { k: true },
    },
  ],
  ['queue.declare-ok', '0032 000b 026162 00000001 00000002', { queue: 'ab', messageCount: 1, consumerCount: 2 }],
  [
    'queue.bind',
    '0032 0014 0001 026162 026364 026566 01 00000004016b7401',
    { reserved1: 1, queue: 'ab', exchange: 'cd', routingKey: 'ef', noWait: true, arguments: { k: true } },
  ],
  ['queue.bind-ok', '0032 0015', {}],
  ['queue.purge', '0032 001e 0001 026162 01', { reserved1: 1, queue: 'ab', noWait: true }],
  ['queue.purge-ok', '0032 001f 00000001', { messageCount: 1 }],
  [
    'queue.delete',
    '0032 0028 0001 026162 05',
    { reserved1: 1, queue: 'ab', ifUnused: true, ifEmpty: false, noWait: true },
  ],
  ['queue.delete-ok', '0032 0029 00000001', { messageCount: 1 }],
  [
    'queue.unbind',
    '0032 0032 0001 026162 026364 026566 00000004016b7401',
    { reserved1: 1, queue: 'ab', exchange: 'cd', routingKey: 'ef', arguments: { k: true } },
  ],
  ['queue.unbind-ok', '0032 0033', {}],
  ['basic.qos', '003c 000a 00000001 0002 01', { prefetchSize: 1, prefetchCount: 2, global: true }],
  ['basic.qos-ok', '003c 000b', {}],
  [
    'basic.consume',
    '003c 0014 0001 026162 026364 05 00000004016b7401',
    {
      reserved1: 1,
      queue: 'ab',
      consumerTag: 'cd',
      noLocal: true,
      noAck: false,
      exclusive: true,
      noWait: false,
      arguments: { k: true },
    },
  ],
  ['basic.consume-ok', '003c 0015 026162', { consumerTag: 'ab' }],
  ['basic.cancel', '003c 001e 026162 01', { consumerTag: 'ab', noWait: true }],
  ['basic.cancel-ok', '003c 001f 026162', { consumerTag: 'ab' }],
  [
    'basic.publish',
    '003c 0028 0001 026162 026364 01',
    { reserved1: 1, exchange: 'ab', routingKey: 'cd', mandatory: true, immediate: false },
  ],
  [
    'basic.return',
    '003c 0032 0001 026162 026364 026566',
    { replyCode: 1, replyText: 'ab', exchange: 'cd', routingKey: 'ef' },
  ],
  [
    'basic.deliver',
    '003c 003c 026162 0000000000000001 01 026364 026566',
    { consumerTag: 'ab', deliveryTag: 1, redelivered: true, exchange: 'cd', routingKey: 'ef' },
  ],
  ['basic.get', '003c 0046 0001 026162 01', { reserved1: 1, queue: 'ab', noAck: true }],
  [
    'basic.get-ok',
    '003c 0047 0000000000000001 01 026162 026364 00000002',
    { deliveryTag: 1, redelivered: true, exchange: 'ab', routingKey: 'cd', messageCount: 2 },
  ],
  ['basic.get-empty', '003c 0048 026162', { reserved1: 'ab' }],
  ['basic.ack', '003c 0050 0000000000000001 01', { deliveryTag: 1, multiple: true }],
  ['basic.reject', '003c 005a 0000000000000001 01', { deliveryTag: 1, requeue: true }],
  ['basic.recover-async', '003c 0064 01', { requeue: true }],
  ['basic.recover', '003c 006e 01', { requeue: true }],
  ['basic.recover-ok', '003c 006f', {}],
  ['basic.nack', '003c 0078 0000000000000001 01', { deliveryTag: 1, multiple: true, requeue: false }],
  ['confirm.select', '0055 000a 01', { noWait: true }],
  ['confirm.select-ok', '0055 000b', {}],
  ['tx.select', '005a 000a', {}],
  ['tx.select-ok', '005a 000b', {}],
  ['tx.commit', '005a 0014', {}],
  ['tx.commit-ok', '005a 0015', {}],
  ['tx.rollback', '005a 001e', {}],
  ['tx.rollback-ok', '005a 001f', {}],
]

/** The bits of each method that has several, lowest first. */
const bits: [name: MethodName, bits: string[]][] = [
  ['access.request', ['exclusive', 'passive', 'active', 'write', 'read']],
  ['exchange.declare', ['passive', 'durable', 'autoDelete', 'internal', 'noWait']],
  ['exchange.delete', ['ifUnused', 'noWait']],
  ['queue.declare', ['passive', 'durable', 'exclusive', 'autoDelete', 'noWait']],
  ['queue.delete', ['ifUnused', 'ifEmpty', 'noWait']],
  ['basic.consume', ['noLocal', 'noAck', 'exclusive', 'noWait']],
  ['basic.publish', ['mandatory', 'immediate']],
  ['basic.nack', ['multiple', 'requeue']],
]

const payloadOf = (name: MethodName, args: Record<string, unknown>) => encodeMethod(name, 1, args).subarray(7, -1)

function decoded(payload: Buffer): { name: MethodName; args: object } {
  const { name, args } = decodeMethod(payload.readInt32BE(0), payload, 4, payload.length)
  return { name, args }
}

describe('known bytes', () => {
  it('are there for every method', () => {
    expect(known.map(([name]) => name).sort()).toEqual([...METHOD_BY_NAME.keys()].sort())
  })

  it.each(known)('%s %s', (name, payload, args) => {
    expect(decoded(hex(payload))).toEqual({ name, args })
    expect(encodeMethod(name, 258, args).equals(frame(1, 258, hex(payload)))).toBe(true)
  })
})

describe('bits', () => {
  it('are told for every method that has several', () => {
    const several = [...METHOD_BY_NAME.values()].filter((m) => m.args.filter(([, type]) => type === 'bit').length > 1)
    expect(bits.map(([name]) => name)).toEqual(several.map((m) => m.name))
  })

  it.each(bits)('of %s: %p, each its own', (name, names) => {
    const none = payloadOf(name, {})
    names.forEach((bit, position) => {
      const changed = payloadOf(name, { [bit]: true })
      const differing = [...changed.keys()].filter((at) => changed[at] !== none[at])
      expect(differing.map((at) => changed[at])).toEqual([1 << position])
      expect(decoded(changed).args).toEqual({ ...decoded(none).args, [bit]: true })
    })
  })
})
