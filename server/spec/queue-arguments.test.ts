// Arguments of queues, exchanges and consumers: what each may not be, in RabbitMQ's words, what is kept without meaning anything,
// and what is the same when something is declared again.
import { describe, expect, it } from '@jest/globals'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'

const subject = "queue '$q' in vhost '/'"

/** Values of every type, by RabbitMQ's names of the types. */
const values: Record<string, FieldValue> = {
  signedint: 7,
  byte: new Typed('b', 7),
  long: new Typed('l', 7),
  double: new Typed('d', 1.5),
  longstr: 'bogus',
  bool: true,
  void: null,
  array: [1],
  table: { a: 1 },
}
const integers = ['signedint', 'byte', 'long']
const except = (...types: string[]) => Object.keys(values).filter((type) => !types.includes(type))
const tooLong = new Typed('l', 315_360_000_001)

/** [argument, value, what is wrong with it]. */
const rows: [name: string, value: FieldValue, reason: string][] = []
for (const name of [
  'x-expires',
  'x-message-ttl',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-queue-version',
]) {
  for (const type of except(...integers)) rows.push([name, values[type], `"expected integer, got ${type}"`])
  rows.push([name, -1, '{value_negative,-1}'])
}
for (const name of ['x-overflow', 'x-queue-mode', 'x-queue-type', 'x-dead-letter-routing-key']) {
  for (const type of except('longstr')) rows.push([name, values[type], `{unacceptable_type,${type}}`])
}
for (const type of except('bool')) rows.push(['x-single-active-consumer', values[type], `{unacceptable_type,${type}}`])
rows.push(
  ['x-expires', 0, '{value_zero,0}'],
  ['x-expires', tooLong, '{value_too_large,315360000001}'],
  ['x-message-ttl', tooLong, '{value_too_large,315360000001}'],
  ['x-max-priority', 256, '{max_value_exceeded,256}'],
  ['x-overflow', 'bogus', 'invalid_overflow'],
  ['x-overflow', '', 'invalid_overflow'],
  ['x-queue-mode', 'bogus', `"unsupported queue mode 'bogus'"`],
  ['x-queue-version', 0, `"unsupported queue version '0'"`],
  ['x-queue-version', 3, `"unsupported queue version '3'"`],
  ['x-queue-type', 'bogus', `"unsupported queue type 'bogus'"`],
  ['x-queue-type', '', `"unsupported queue type ''"`],
  ['x-dead-letter-routing-key', 'k', 'routing_key_but_no_dlx_defined'],
)

/** Of quorum queues in RabbitMQ, of every queue here. */
const quorumRows: typeof rows = [
  ['x-dead-letter-strategy', 1, '{unacceptable_type,signedint}'],
  ['x-dead-letter-strategy', 'bogus', 'invalid_dlx_strategy'],
  ['x-quorum-initial-group-size', 0, '{value_zero,0}'],
  ['x-quorum-initial-group-size', 'a', '"expected integer, got longstr"'],
  ['x-queue-leader-locator', 5, '{unacceptable_type,signedint}'],
  ['x-queue-leader-locator', 'bogus', 'invalid_queue_locator_arg'],
]

const refusal = (args: FieldTable, text: string, durable = false): Refusal => ({
  when: JSON.stringify(args),
  does: ['queue.declare', { queue: '$q', durable, arguments: args }],
  scope: 'channel',
  code: 406,
  text: `PRECONDITION_FAILED - ${text}`,
})

/** RabbitMQ takes these. */
const ownRows: typeof rows = [
  ['x-dead-letter-exchange', 'x'.repeat(256), '"at most 255 bytes"'],
  ['x-dead-letter-routing-key', 'a.'.repeat(10_000), '"at most 255 bytes"'],
]

describe('a queue is refused with', () => {
  const broker = withBroker()
  if (process.env.AMQP_SPEC_URL === undefined) {
    itRefuses(
      broker,
      ownRows.map(([name, value, reason]) =>
        refusal({ 'x-dead-letter-exchange': 'x', [name]: value }, `invalid arg '${name}' for ${subject}: ${reason}`),
      ),
    )
  }
  itRefuses(
    broker,
    rows.map(([name, value, reason]) => refusal({ [name]: value }, `invalid arg '${name}' for ${subject}: ${reason}`)),
  )
  itRefuses(
    broker,
    except('longstr').map((type) =>
      refusal(
        { 'x-dead-letter-exchange': values[type] },
        `invalid type '${type}' for arg 'x-dead-letter-exchange' in ${subject}`,
      ),
    ),
  )
  itRefuses(
    broker,
    quorumRows.map(([name, value, reason]) =>
      refusal({ 'x-queue-type': 'quorum', [name]: value }, `invalid arg '${name}' for ${subject}: ${reason}`, true),
    ),
  )
})

describe('a quorum queue is refused', () => {
  const flags: [string, { durable?: boolean; exclusive?: boolean }, string][] = [
    ['exclusive', { durable: true, exclusive: true }, 'exclusive-owner'],
    ['not durable', { durable: false }, 'non-durable'],
  ]
  itRefuses(
    withBroker(),
    flags.map(([when, properties, property]) => ({
      when,
      does: ['queue.declare', { queue: '$q', ...properties, arguments: { 'x-queue-type': 'quorum' } }],
      scope: 'channel',
      code: 406,
      text: `PRECONDITION_FAILED - invalid property '${property}' for ${subject}`,
    })),
  )
})

describe('a queue is declared, and declared again, with', () => {
  const broker = withBroker()

  it.each<[string, FieldTable, FieldTable?]>([
    [
      'the least',
      { 'x-message-ttl': 0, 'x-max-length': 0, 'x-max-length-bytes': 0, 'x-max-priority': 0, 'x-expires': 1 },
    ],
    ['the most', { 'x-max-priority': 255, 'x-message-ttl': new Typed('l', 315_360_000_000) }],
    ['historic arguments', { 'x-queue-mode': 'lazy', 'x-queue-version': 2, 'x-ha-policy': 'all' }],
    ['arguments nobody knows', { 'x-unknown': 1, whatever: { deep: [1, null] } }],
    ['other integer widths', { 'x-max-length': new Typed('b', 5) }, { 'x-max-length': new Typed('l', 5) }],
    ['the type that is the default', { 'x-queue-type': 'classic' }, {}],
    ['other arguments nobody knows', { 'x-unknown': 1 }, { 'x-unknown': 2 }],
    ['without arguments nobody knows', { 'x-unknown': 1 }, {}],
    ['a dead letter exchange that is not there', { 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': '' }],
  ])('%s', async (_what, args, again = args) => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, arguments: args })
    await channel.call('queue.declare', { queue, arguments: again })
  })

  itRefuses(
    broker,
    [
      [{ 'x-max-length': 5 }, { 'x-max-length': 6 }, 'x-max-length', "received '6' but current is '5'"],
      [{ 'x-max-length': 5 }, {}, 'x-max-length', "received none but current is the value '5' of type 'signedint'"],
      [
        {},
        { 'x-queue-version': 1 },
        'x-queue-version',
        "received the value '1' of type 'signedint' but current is none",
      ],
      [
        {},
        { 'x-queue-mode': 'lazy' },
        'x-queue-mode',
        "received the value 'lazy' of type 'longstr' but current is none",
      ],
      [
        {},
        { 'x-overflow': 'drop-head' },
        'x-overflow',
        "received the value 'drop-head' of type 'longstr' but current is none",
      ],
    ].map(
      ([there, asked, name, difference]): Refusal => ({
        ...refusal(asked as FieldTable, `inequivalent arg '${name}' for ${subject}: ${difference}`),
        when: `another ${name}: ${JSON.stringify(asked)}`,
        given: [['queue.declare', { queue: '$q', arguments: there as FieldTable }]],
      }),
    ),
  )
})

describe('a consumer is refused with', () => {
  const broker = withBroker()
  const rows: [string, string, string][] = [
    ...except(...integers).map((type): [string, string, string] => [
      'x-priority',
      type,
      `"expected integer, got ${type}"`,
    ]),
    ...except('bool').map((type): [string, string, string] => [
      'x-cancel-on-ha-failover',
      type,
      `{unacceptable_type,${type}}`,
    ]),
  ]
  itRefuses(
    broker,
    rows.map(
      ([name, type, reason]): Refusal => ({
        when: `${name} of type ${type}`,
        given: [['queue.declare', { queue: '$q' }]],
        does: ['basic.consume', { queue: '$q', arguments: { [name]: values[type] } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid arg '${name}' for ${subject}: ${reason}`,
      }),
    ),
  )
})

describe('an exchange', () => {
  const broker = withBroker()
  itRefuses(
    broker,
    except('longstr').map(
      (type): Refusal => ({
        when: `has an alternate exchange of type ${type}`,
        does: [
          'exchange.declare',
          { exchange: '$x', type: 'direct', arguments: { 'alternate-exchange': values[type] } },
        ],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid type '${type}' for arg 'alternate-exchange' in exchange '$x' in vhost '/'`,
      }),
    ),
  )

  it('in circles gives each queue one copy', async () => {
    const channel = await broker.channel()
    const ring: string[] = []
    for (let i = 0; i < 50; i++) ring.push(await broker.exchange(channel, 'fanout'))
    for (let i = 0; i < 50; i++) {
      for (const step of [0, 1, 7]) {
        await channel.call('exchange.bind', { source: ring[i], destination: ring[(i + step) % 50] })
      }
    }
    const queue = await broker.queue(channel)
    for (const exchange of ring) await channel.call('queue.bind', { queue, exchange })
    channel.publish({ exchange: ring[3] }, 'once')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['once'])
  })

  it('of type headers matches a thousand headers', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const headers: FieldTable = {}
    for (let i = 0; i < 1000; i++) headers[`header-${i}`] = i
    for (const match of ['all', 'any'])
      await channel.call('queue.bind', { queue, exchange: 'amq.headers', arguments: { ...headers, 'x-match': match } })
    const publish = (body: string, some: FieldTable) =>
      channel.publish({ exchange: 'amq.headers' }, body, { headers: some })
    publish('all', headers)
    publish('one', { 'header-999': 999 })
    publish('none', { 'header-999': 998 })
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['all', 'one'])
  })

  it('of type topic matches a routing key of as many words as fit', async () => {
    if (broker.kind !== 'leveret') return // RabbitMQ 3.10 fails this one
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const routingKey of ['#.#.#.#.#.#.#.#.#.#.end', '*.#.*.#.*.#.*.#.never'])
      await channel.call('queue.bind', { queue, exchange: 'amq.topic', routingKey })
    channel.publish({ exchange: 'amq.topic', routingKey: '.'.repeat(255) }, 'dots')
    channel.publish({ exchange: 'amq.topic', routingKey: `${'a.'.repeat(126)}end` }, 'end')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['end'])
  })
})
