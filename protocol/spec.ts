// One row per method of AMQP 0-9-1 and of RabbitMQ's extensions (marked R): types, cold codecs, log names and tests all
// come from here. Only the hot methods are also read and written by hand (basic-codec.ts), and a test proves they agree.
import type { FieldTable } from './field-value'

export type ArgumentType = 'bit' | 'octet' | 'short' | 'long' | 'longlong' | 'shortstr' | 'longstr' | 'table'

type Arguments = readonly (readonly [name: string, type: ArgumentType])[]

interface Row {
  readonly id: readonly [classId: number, methodId: number]
  readonly args: Arguments
  /** A content header and body follow. */
  readonly hasContent?: true
}

const row = <const A extends Arguments>(classId: number, methodId: number, args: A) =>
  ({ id: [classId, methodId], args }) as const
const withContent = <const A extends Arguments>(classId: number, methodId: number, args: A) =>
  ({ id: [classId, methodId], args, hasContent: true }) as const

const CLOSE = [
  ['replyCode', 'short'],
  ['replyText', 'shortstr'],
  ['classId', 'short'],
  ['methodId', 'short'],
] as const

const TUNE = [
  ['channelMax', 'short'],
  ['frameMax', 'long'],
  ['heartbeat', 'short'],
] as const

const EXCHANGE_BINDING = [
  ['reserved1', 'short'],
  ['destination', 'shortstr'],
  ['source', 'shortstr'],
  ['routingKey', 'shortstr'],
  ['noWait', 'bit'],
  ['arguments', 'table'],
] as const

const DELIVERED = [
  ['deliveryTag', 'longlong'],
  ['redelivered', 'bit'],
  ['exchange', 'shortstr'],
  ['routingKey', 'shortstr'],
] as const

export const METHODS = {
  'connection.start': row(10, 10, [
    ['versionMajor', 'octet'],
    ['versionMinor', 'octet'],
    ['serverProperties', 'table'],
    ['mechanisms', 'longstr'],
    ['locales', 'longstr'],
  ]),
  'connection.start-ok': row(10, 11, [
    ['clientProperties', 'table'],
    ['mechanism', 'shortstr'],
    ['response', 'longstr'],
    ['locale', 'shortstr'],
  ]),
  'connection.secure': row(10, 20, [['challenge', 'longstr']]),
  'connection.secure-ok': row(10, 21, [['response', 'longstr']]),
  'connection.tune': row(10, 30, TUNE),
  'connection.tune-ok': row(10, 31, TUNE),
  'connection.open': row(10, 40, [
    ['virtualHost', 'shortstr'],
    ['reserved1', 'shortstr'],
    ['reserved2', 'bit'],
  ]),
  'connection.open-ok': row(10, 41, [['reserved1', 'shortstr']]),
  'connection.close': row(10, 50, CLOSE),
  'connection.close-ok': row(10, 51, []),
  'connection.blocked': row(10, 60, [['reason', 'shortstr']]), // R
  'connection.unblocked': row(10, 61, []), // R
  'connection.update-secret': row(10, 70, [
    ['newSecret', 'longstr'],
    ['reason', 'shortstr'],
  ]), // R
  'connection.update-secret-ok': row(10, 71, []), // R

  'channel.open': row(20, 10, [['reserved1', 'shortstr']]),
  'channel.open-ok': row(20, 11, [['reserved1', 'longstr']]),
  'channel.flow': row(20, 20, [['active', 'bit']]),
  'channel.flow-ok': row(20, 21, [['active', 'bit']]),
  'channel.close': row(20, 40, CLOSE),
  'channel.close-ok': row(20, 41, []),

  // Of 0-8, gone from 0-9-1; RabbitMQ still answers it, for very old clients.
  'access.request': row(30, 10, [
    ['realm', 'shortstr'],
    ['exclusive', 'bit'],
    ['passive', 'bit'],
    ['active', 'bit'],
    ['write', 'bit'],
    ['read', 'bit'],
  ]),
  'access.request-ok': row(30, 11, [['ticket', 'short']]),

  'exchange.declare': row(40, 10, [
    ['reserved1', 'short'],
    ['exchange', 'shortstr'],
    ['type', 'shortstr'],
    ['passive', 'bit'],
    ['durable', 'bit'],
    ['autoDelete', 'bit'],
    ['internal', 'bit'],
    ['noWait', 'bit'],
    ['arguments', 'table'],
  ]),
  'exchange.declare-ok': row(40, 11, []),
  'exchange.delete': row(40, 20, [
    ['reserved1', 'short'],
    ['exchange', 'shortstr'],
    ['ifUnused', 'bit'],
    ['noWait', 'bit'],
  ]),
  'exchange.delete-ok': row(40, 21, []),
  'exchange.bind': row(40, 30, EXCHANGE_BINDING), // R
  'exchange.bind-ok': row(40, 31, []), // R
  'exchange.unbind': row(40, 40, EXCHANGE_BINDING), // R
  'exchange.unbind-ok': row(40, 51, []), // R, 51 indeed

  'queue.declare': row(50, 10, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['passive', 'bit'],
    ['durable', 'bit'],
    ['exclusive', 'bit'],
    ['autoDelete', 'bit'],
    ['noWait', 'bit'],
    ['arguments', 'table'],
  ]),
  'queue.declare-ok': row(50, 11, [
    ['queue', 'shortstr'],
    ['messageCount', 'long'],
    ['consumerCount', 'long'],
  ]),
  'queue.bind': row(50, 20, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['exchange', 'shortstr'],
    ['routingKey', 'shortstr'],
    ['noWait', 'bit'],
    ['arguments', 'table'],
  ]),
  'queue.bind-ok': row(50, 21, []),
  'queue.purge': row(50, 30, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['noWait', 'bit'],
  ]),
  'queue.purge-ok': row(50, 31, [['messageCount', 'long']]),
  'queue.delete': row(50, 40, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['ifUnused', 'bit'],
    ['ifEmpty', 'bit'],
    ['noWait', 'bit'],
  ]),
  'queue.delete-ok': row(50, 41, [['messageCount', 'long']]),
  'queue.unbind': row(50, 50, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['exchange', 'shortstr'],
    ['routingKey', 'shortstr'],
    ['arguments', 'table'],
  ]),
  'queue.unbind-ok': row(50, 51, []),

  'basic.qos': row(60, 10, [
    ['prefetchSize', 'long'],
    ['prefetchCount', 'short'],
    ['global', 'bit'],
  ]),
  'basic.qos-ok': row(60, 11, []),
  'basic.consume': row(60, 20, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['consumerTag', 'shortstr'],
    ['noLocal', 'bit'],
    ['noAck', 'bit'],
    ['exclusive', 'bit'],
    ['noWait', 'bit'],
    ['arguments', 'table'],
  ]),
  'basic.consume-ok': row(60, 21, [['consumerTag', 'shortstr']]),
  'basic.cancel': row(60, 30, [
    ['consumerTag', 'shortstr'],
    ['noWait', 'bit'],
  ]),
  'basic.cancel-ok': row(60, 31, [['consumerTag', 'shortstr']]),
  'basic.publish': withContent(60, 40, [
    ['reserved1', 'short'],
    ['exchange', 'shortstr'],
    ['routingKey', 'shortstr'],
    ['mandatory', 'bit'],
    ['immediate', 'bit'],
  ]),
  'basic.return': withContent(60, 50, [
    ['replyCode', 'short'],
    ['replyText', 'shortstr'],
    ['exchange', 'shortstr'],
    ['routingKey', 'shortstr'],
  ]),
  'basic.deliver': withContent(60, 60, [['consumerTag', 'shortstr'], ...DELIVERED]),
  'basic.get': row(60, 70, [
    ['reserved1', 'short'],
    ['queue', 'shortstr'],
    ['noAck', 'bit'],
  ]),
  'basic.get-ok': withContent(60, 71, [...DELIVERED, ['messageCount', 'long']]),
  'basic.get-empty': row(60, 72, [['reserved1', 'shortstr']]),
  'basic.ack': row(60, 80, [
    ['deliveryTag', 'longlong'],
    ['multiple', 'bit'],
  ]),
  'basic.reject': row(60, 90, [
    ['deliveryTag', 'longlong'],
    ['requeue', 'bit'],
  ]),
  'basic.recover-async': row(60, 100, [['requeue', 'bit']]),
  'basic.recover': row(60, 110, [['requeue', 'bit']]),
  'basic.recover-ok': row(60, 111, []),
  'basic.nack': row(60, 120, [
    ['deliveryTag', 'longlong'],
    ['multiple', 'bit'],
    ['requeue', 'bit'],
  ]), // R

  'confirm.select': row(85, 10, [['noWait', 'bit']]), // R
  'confirm.select-ok': row(85, 11, []), // R

  'tx.select': row(90, 10, []),
  'tx.select-ok': row(90, 11, []),
  'tx.commit': row(90, 20, []),
  'tx.commit-ok': row(90, 21, []),
  'tx.rollback': row(90, 30, []),
  'tx.rollback-ok': row(90, 31, []),
} as const satisfies Record<string, Row>

export type MethodName = keyof typeof METHODS

interface Types {
  bit: boolean
  octet: number
  short: number
  long: number
  longlong: number
  shortstr: string
  longstr: Buffer
  table: FieldTable
}

type ArgumentsOf<A extends Arguments> = { [E in A[number] as E[0]]: Types[E[1]] }

/** The arguments of a method, by name. */
export type MethodArgs<N extends MethodName> = ArgumentsOf<(typeof METHODS)[N]['args']>

export interface MethodSpec {
  readonly name: MethodName
  readonly id: number
  readonly args: Arguments
  readonly hasContent: boolean
  /** What answers it, one of these; nothing where no-wait is set. */
  readonly replies: readonly MethodName[]
}

export const METHOD_BY_NAME: ReadonlyMap<MethodName, MethodSpec> = new Map(
  (Object.entries(METHODS) as [MethodName, Row][]).map(([name, { id, args, hasContent = false }]) => [
    name,
    { name, id: (id[0] << 16) | id[1], args, hasContent, replies: repliesTo(name) },
  ]),
)

/** The names tell: x is answered by x-ok, and basic.get by basic.get-empty too. */
function repliesTo(name: MethodName): MethodName[] {
  return [`${name}-ok`, `${name}-empty`].filter((reply) => Object.hasOwn(METHODS, reply)) as MethodName[]
}

export const METHOD_BY_ID: ReadonlyMap<number, MethodSpec> = new Map([...METHOD_BY_NAME.values()].map((m) => [m.id, m]))

type Camel<S extends string> = S extends `${infer A}.${infer B}`
  ? `${A}${Capitalize<Camel<B>>}`
  : S extends `${infer A}-${infer B}`
    ? `${A}${Capitalize<Camel<B>>}`
    : S

/** Method ids by camel-case name: M.queueDeclareOk. */
export const M = Object.fromEntries(
  [...METHOD_BY_NAME.values()].map((m) => [m.name.replace(/[.-](.)/g, (_, c: string) => c.toUpperCase()), m.id]),
) as { readonly [N in MethodName as Camel<N>]: number }
