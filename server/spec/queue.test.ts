// Queues: declare, redeclare, passive, exclusive, auto-delete, server-named; delete, purge, bind, unbind.
import { describe, expect, it } from '@jest/globals'
import { type Call, itRefuses } from './refusals'
import { eventually, withBroker } from './with-broker'

const lockedText =
  "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally " +
  'declared on another connection or the exclusive property value does not match that of the original declaration.'
const inequivalent = (what: string) => `PRECONDITION_FAILED - inequivalent arg '${what}' for queue '$q' in vhost '/': `
const missing = { scope: 'channel', code: 404, text: "NOT_FOUND - no queue '$q' in vhost '/'" } as const
const undeclared = { scope: 'channel', code: 404, text: 'NOT_FOUND - no previously declared queue' } as const

describe('refusals', () => {
  const broker = withBroker()

  describe('of a queue that is not there', () => {
    itRefuses(broker, [
      { when: 'declared passively', does: ['queue.declare', { queue: '$q', passive: true }], ...missing },
      { when: 'purged', does: ['queue.purge', { queue: '$q' }], ...missing },
      { when: 'bound', does: ['queue.bind', { queue: '$q', exchange: 'amq.direct', routingKey: 'k' }], ...missing },
      { when: 'consumed', does: ['basic.consume', { queue: '$q' }], ...missing },
      { when: 'got from', does: ['basic.get', { queue: '$q' }], ...missing },
      {
        when: 'bound to an exchange that is not there',
        given: [['queue.declare', { queue: '$q', exclusive: true }]],
        does: ['queue.bind', { queue: '$q', exchange: '$x', routingKey: 'k' }],
        scope: 'channel',
        code: 404,
        text: "NOT_FOUND - no exchange '$x' in vhost '/'",
      },
    ])
  })

  describe('of the empty name before any declaration on the channel', () => {
    itRefuses(broker, [
      {
        when: 'declared passively',
        does: ['queue.declare', { queue: '', passive: true }],
        scope: 'channel',
        code: 404,
        text: "NOT_FOUND - no queue '' in vhost '/'",
      },
      { when: 'bound', does: ['queue.bind', { exchange: 'amq.direct', routingKey: 'k' }], ...undeclared },
      { when: 'unbound', does: ['queue.unbind', { exchange: 'amq.direct', routingKey: 'k' }], ...undeclared },
      { when: 'purged', does: ['queue.purge', {}], ...undeclared },
      { when: 'deleted', does: ['queue.delete', {}], ...undeclared },
      { when: 'consumed', does: ['basic.consume', {}], ...undeclared },
      { when: 'got from', does: ['basic.get', {}], ...undeclared },
    ])
  })

  describe('of a declaration that differs', () => {
    const given = (args: object) => [['queue.declare', { queue: '$q', ...args }]] as Call[]
    const differs = { scope: 'channel', code: 406 } as const
    itRefuses(broker, [
      {
        when: 'durable and not',
        given: given({ durable: true }),
        does: ['queue.declare', { queue: '$q' }],
        ...differs,
        text: `${inequivalent('durable')}received 'false' but current is 'true'`,
      },
      {
        when: 'transient and durable',
        given: given({ durable: false }),
        does: ['queue.declare', { queue: '$q', durable: true }],
        ...differs,
        text: `${inequivalent('durable')}received 'true' but current is 'false'`,
      },
      {
        when: 'auto-delete and not',
        given: given({ durable: true, autoDelete: true }),
        does: ['queue.declare', { queue: '$q', durable: true }],
        ...differs,
        text: `${inequivalent('auto_delete')}received 'false' but current is 'true'`,
      },
      {
        when: 'both: durable is named first',
        given: given({ durable: true, autoDelete: true }),
        does: ['queue.declare', { queue: '$q' }],
        ...differs,
        text: `${inequivalent('durable')}received 'false' but current is 'true'`,
      },
      {
        when: 'an argument is missing now',
        given: given({ durable: true, arguments: { 'x-message-ttl': 60000 } }),
        does: ['queue.declare', { queue: '$q', durable: true }],
        ...differs,
        text: `${inequivalent('x-message-ttl')}received none but current is the value '60000' of type 'signedint'`,
      },
      {
        when: 'an argument is new',
        given: given({ durable: true }),
        does: ['queue.declare', { queue: '$q', durable: true, arguments: { 'x-message-ttl': 70000 } }],
        ...differs,
        text: `${inequivalent('x-message-ttl')}received the value '70000' of type 'signedint' but current is none`,
      },
      {
        when: 'an argument has another value',
        given: given({ durable: true, arguments: { 'x-message-ttl': 60000 } }),
        does: ['queue.declare', { queue: '$q', durable: true, arguments: { 'x-message-ttl': 1 } }],
        ...differs,
        text: `${inequivalent('x-message-ttl')}received '1' but current is '60000'`,
      },
      {
        when: 'a text argument has another value',
        given: given({ durable: true, arguments: { 'x-dead-letter-exchange': 'a' } }),
        does: ['queue.declare', { queue: '$q', durable: true, arguments: { 'x-dead-letter-exchange': 'b' } }],
        ...differs,
        text: `${inequivalent('x-dead-letter-exchange')}received 'b' but current is 'a'`,
      },
      {
        when: 'a text argument is missing now',
        given: given({ durable: true, arguments: { 'x-dead-letter-exchange': 'a' } }),
        does: ['queue.declare', { queue: '$q', durable: true }],
        ...differs,
        text: `${inequivalent('x-dead-letter-exchange')}received none but current is the value 'a' of type 'longstr'`,
      },
    ])
  })

  describe('of names and arguments', () => {
    itRefuses(broker, [
      {
        when: 'a reserved name is declared',
        does: ['queue.declare', { queue: 'amq.mine' }],
        scope: 'channel',
        code: 403,
        text: "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
      },
      {
        when: 'a reserved name that is not there is declared passively',
        does: ['queue.declare', { queue: 'amq.mine', passive: true }],
        scope: 'channel',
        code: 404,
        text: "NOT_FOUND - no queue 'amq.mine' in vhost '/'",
      },
      {
        when: 'x-message-ttl is negative',
        does: ['queue.declare', { queue: '$q', arguments: { 'x-message-ttl': -1 } }],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '$q' in vhost '/': {value_negative,-1}",
      },
      {
        when: 'x-expires is zero',
        does: ['queue.declare', { queue: '$q', arguments: { 'x-expires': 0 } }],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - invalid arg 'x-expires' for queue '$q' in vhost '/': {value_zero,0}",
      },
      {
        when: 'x-message-ttl is text',
        does: ['queue.declare', { queue: '$q', arguments: { 'x-message-ttl': 'soon' } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue '$q' in vhost '/': "expected integer, got longstr"`,
      },
      {
        when: 'x-queue-type is unknown',
        does: ['queue.declare', { queue: '$q', durable: true, arguments: { 'x-queue-type': 'bogus' } }],
        scope: 'channel',
        code: 406,
        text: `PRECONDITION_FAILED - invalid arg 'x-queue-type' for queue '$q' in vhost '/': "unsupported queue type 'bogus'"`,
      },
    ])
  })

  describe('of a queue exclusive to another connection', () => {
    const locked = { scope: 'channel', code: 405, text: lockedText } as const
    const other: Call[] = [['queue.declare', { queue: '$q', exclusive: true }]]
    itRefuses(broker, [
      { when: 'declared', other, does: ['queue.declare', { queue: '$q' }], ...locked },
      { when: 'declared exclusive', other, does: ['queue.declare', { queue: '$q', exclusive: true }], ...locked },
      { when: 'declared passively', other, does: ['queue.declare', { queue: '$q', passive: true }], ...locked },
      {
        when: 'bound',
        other,
        does: ['queue.bind', { queue: '$q', exchange: 'amq.direct', routingKey: 'k' }],
        ...locked,
      },
      {
        when: 'unbound',
        other: [...other, ['queue.bind', { queue: '$q', exchange: 'amq.direct', routingKey: 'k' }]],
        does: ['queue.unbind', { queue: '$q', exchange: 'amq.direct', routingKey: 'k' }],
        ...locked,
      },
      { when: 'consumed', other, does: ['basic.consume', { queue: '$q' }], ...locked },
      { when: 'got from', other, does: ['basic.get', { queue: '$q' }], ...locked },
      { when: 'purged', other, does: ['queue.purge', { queue: '$q' }], ...locked },
      { when: 'deleted', other, does: ['queue.delete', { queue: '$q' }], ...locked },
      {
        when: 'a shared queue is declared exclusive',
        other: [['queue.declare', { queue: '$q' }]],
        does: ['queue.declare', { queue: '$q', exclusive: true }],
        ...locked,
      },
      {
        when: "the owner's own is declared shared",
        given: [['queue.declare', { queue: '$q', exclusive: true }]],
        does: ['queue.declare', { queue: '$q' }],
        ...locked,
      },
    ])
  })

  describe('of conditional deletes', () => {
    itRefuses(broker, [
      {
        when: 'if-unused and a consumer is there',
        given: [
          ['queue.declare', { queue: '$q', exclusive: true }],
          ['basic.consume', { queue: '$q' }],
        ],
        does: ['queue.delete', { queue: '$q', ifUnused: true }],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - queue '$q' in vhost '/' in use",
      },
      {
        when: 'if-empty and a message is there',
        given: [['queue.declare', { queue: '$q', exclusive: true }]],
        does: [
          ['basic.publish', { routingKey: '$q' }],
          ['queue.delete', { queue: '$q', ifEmpty: true }],
        ],
        scope: 'channel',
        code: 406,
        text: "PRECONDITION_FAILED - queue '$q' in vhost '/' not empty",
      },
    ])
  })

  describe('of the default exchange', () => {
    const refused = {
      given: [['queue.declare', { queue: '$q', exclusive: true }]] as Call[],
      scope: 'channel',
      code: 403,
      text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
    } as const
    itRefuses(broker, [
      { when: 'bind', does: ['queue.bind', { queue: '$q', exchange: '', routingKey: 'k' }], ...refused },
      { when: 'unbind', does: ['queue.unbind', { queue: '$q', exchange: '', routingKey: 'k' }], ...refused },
    ])
  })
})

describe('declaring', () => {
  const broker = withBroker()

  it('answers with the name and the counts', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    const args = { queue, exclusive: true }
    expect(await channel.call('queue.declare', args)).toEqual({ queue, messageCount: 0, consumerCount: 0 })
    channel.publishTo(queue, 'one')
    channel.publishTo(queue, 'two')
    await channel.get(queue) // taken, not acknowledged: ready messages alone are counted
    expect(await channel.call('queue.declare', args)).toEqual({ queue, messageCount: 1, consumerCount: 0 })
    await channel.call('basic.qos', { prefetchCount: 1 })
    await channel.call('basic.consume', { queue })
    await channel.message()
    expect(await channel.call('queue.declare', { queue, passive: true })).toEqual({
      queue,
      messageCount: 0,
      consumerCount: 1,
    })
  })

  it('passively ignores everything but the name', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, durable: true, arguments: { 'x-message-ttl': 60000 } })
    const other = await broker.channel()
    const passive = { queue, passive: true, durable: false, exclusive: false, autoDelete: true }
    expect(await other.call('queue.declare', passive)).toMatchObject({ queue })
  })

  it.each([
    ['durable', { durable: true }],
    ['transient', {}],
    ['auto-delete', { autoDelete: true, durable: true }],
    ['with arguments', { durable: true, arguments: { 'x-message-ttl': 60000, 'x-max-length': 5 } }],
    ['with unknown arguments', { durable: true, arguments: { 'x-whatever': 'yes', other: 1 } }],
    ['exclusive', { exclusive: true }],
  ])('the same again is answered: %s', async (_title, args) => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, ...args })
    expect(await channel.call('queue.declare', { queue, ...args })).toMatchObject({ queue })
  })

  it('ignores durable on an exclusive queue', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel, { durable: false })
    expect(await channel.call('queue.declare', { queue, exclusive: true, durable: true })).toMatchObject({ queue })
  })

  it('ignores arguments that are unknown when it compares', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, durable: true, arguments: { 'x-whatever': 'yes' } })
    expect(await channel.call('queue.declare', { queue, durable: true })).toMatchObject({ queue })
  })

  it('with no-wait is not answered, and done', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    channel.send('queue.declare', { queue, exclusive: true, noWait: true })
    await channel.sync(queue)
  })

  it('with no-wait still brings the refusal', async () => {
    const channel = await broker.channel()
    channel.send('queue.declare', { queue: 'amq.mine', noWait: true })
    expect(await channel.expectClose()).toMatchObject({ code: 403, method: 'queue.declare' })
  })

  it('accepts names of any characters, up to 255 bytes', async () => {
    const channel = await broker.channel()
    for (const filling of ['é', ' ', '/', "'", '~']) {
      const queue = broker.name().padEnd(100, filling)
      expect(await channel.call('queue.declare', { queue, exclusive: true })).toMatchObject({ queue })
    }
    const longest = broker.name().padEnd(255, 'x')
    expect(await channel.call('queue.declare', { queue: longest, exclusive: true })).toMatchObject({ queue: longest })
  })
})

describe('a name made by the server', () => {
  const broker = withBroker()

  it('starts with amq.gen- and is new each time', async () => {
    const channel = await broker.channel()
    const first = await channel.call('queue.declare', { exclusive: true })
    const second = await channel.call('queue.declare', { exclusive: true })
    expect(first.queue).toMatch(/^amq\.gen-[\w-]{22}$/)
    expect(second.queue).toMatch(/^amq\.gen-[\w-]{22}$/)
    expect(first.queue).not.toBe(second.queue)
  })

  it('is reserved: even its owner can declare it again only passively', async () => {
    const channel = await broker.channel()
    const { queue } = await channel.call('queue.declare', { exclusive: true })
    expect(await channel.call('queue.declare', { queue, passive: true })).toMatchObject({ queue })
    channel.send('queue.declare', { queue, exclusive: true })
    expect(await channel.expectClose()).toEqual({
      code: 403,
      text: `ACCESS_REFUSED - queue name '${queue}' contains reserved prefix 'amq.*'`,
      method: 'queue.declare',
    })
  })

  it('is meant by the empty name until the next declaration on the channel', async () => {
    const channel = await broker.channel()
    const { queue } = await channel.call('queue.declare', { exclusive: true })
    await channel.call('queue.bind', { queue: '', exchange: 'amq.direct', routingKey: queue })
    channel.publish({ exchange: 'amq.direct', routingKey: queue }, 'bound')
    await channel.sync(queue)
    expect(await channel.call('queue.purge', { queue: '' })).toEqual({ messageCount: 1 })
    const { queue: later } = await channel.call('queue.declare', { exclusive: true })
    channel.publishTo(later, 'for the later one')
    await channel.sync(later)
    expect(await channel.get('')).toMatchObject({ body: Buffer.from('for the later one') })
  })

  it('stands for the routing key too when a bind leaves both empty', async () => {
    const channel = await broker.channel()
    const { queue } = await channel.call('queue.declare', { exclusive: true })
    await channel.call('queue.bind', { queue: '', exchange: 'amq.direct', routingKey: '' })
    channel.publish({ exchange: 'amq.direct', routingKey: queue }, 'by name')
    expect(await channel.get('')).toMatchObject({ body: Buffer.from('by name') })
  })

  it('is remembered per channel', async () => {
    const channel = await broker.channel()
    await channel.call('queue.declare', { exclusive: true })
    const sibling = await channel.connection.openChannel(2)
    sibling.send('queue.purge', { queue: '' })
    expect(await sibling.expectClose()).toMatchObject({ code: 404, method: 'queue.purge' })
  })
})

describe('an exclusive queue', () => {
  const broker = withBroker()

  it('is shared by the channels of its connection', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const sibling = await channel.connection.openChannel(2)
    sibling.publishTo(queue, 'hello')
    expect(await sibling.get(queue)).toMatchObject({ body: Buffer.from('hello') })
  })

  it('takes messages from everyone', async () => {
    const owner = await broker.channel()
    const queue = await broker.queue(owner)
    const stranger = await broker.channel()
    await stranger.call('confirm.select')
    stranger.publishTo(queue, 'from afar')
    await stranger.expect('basic.ack')
    expect(await owner.get(queue)).toMatchObject({ body: Buffer.from('from afar') })
  })

  it('survives its channel and goes with its connection', async () => {
    const owner = await broker.channel()
    const queue = await broker.queue(owner)
    await owner.close()
    const next = await owner.connection.openChannel(2)
    await next.sync(queue)
    await owner.connection.close()
    const stranger = await broker.channel()
    stranger.send('queue.declare', { queue, passive: true })
    expect(await stranger.expectClose()).toMatchObject({ code: 404 })
  })

  it('goes when the connection just breaks', async () => {
    const owner = await broker.channel()
    const queue = await broker.queue(owner)
    await owner.connection.destroy()
    const stranger = await broker.channel()
    await eventually(async () => {
      const probe = await stranger.connection.openChannel(2)
      probe.send('queue.declare', { queue, passive: true })
      const { code } = await probe.expectClose()
      expect(code).toBe(404)
    })
  })
})

describe('an auto-delete queue', () => {
  const broker = withBroker()
  const gone = async (queue: string) => {
    const channel = await broker.channel()
    channel.send('queue.declare', { queue, passive: true })
    expect(await channel.expectClose()).toMatchObject({ code: 404 })
  }

  it('stays while it has never had a consumer', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, autoDelete: true })
    await channel.connection.close()
    const later = await broker.channel()
    await later.sync(queue)
    await later.call('queue.delete', { queue })
  })

  it('goes when the last consumer is cancelled', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, autoDelete: true })
    await channel.call('basic.consume', { queue, consumerTag: 'a' })
    await channel.call('basic.consume', { queue, consumerTag: 'b' })
    await channel.call('basic.cancel', { consumerTag: 'a' })
    await channel.sync(queue)
    await channel.call('basic.cancel', { consumerTag: 'b' })
    await gone(queue)
  })

  it('goes with the channel of the last consumer', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, autoDelete: true })
    await channel.call('basic.consume', { queue })
    await channel.close()
    await eventually(() => gone(queue))
  })

  it('is not touched by gets', async () => {
    const channel = await broker.channel()
    const queue = broker.name()
    await channel.call('queue.declare', { queue, autoDelete: true })
    expect(await channel.get(queue)).toBeNull()
    await channel.sync(queue)
    await channel.call('queue.delete', { queue })
  })
})

describe('deleting', () => {
  const broker = withBroker()

  it('answers with the number of messages that were ready', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const body of ['1', '2', '3']) channel.publishTo(queue, body)
    await channel.sync(queue)
    await channel.get(queue)
    expect(await channel.call('queue.delete', { queue })).toEqual({ messageCount: 2 })
  })

  it('a queue that is not there is no error', async () => {
    const channel = await broker.channel()
    expect(await channel.call('queue.delete', { queue: broker.name() })).toEqual({ messageCount: 0 })
  })

  it('if-unused and if-empty hold', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    expect(await channel.call('queue.delete', { queue, ifUnused: true, ifEmpty: true })).toEqual({ messageCount: 0 })
  })

  it('if-empty looks at ready messages only', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.publishTo(queue, 'taken')
    await channel.sync(queue)
    await channel.get(queue)
    expect(await channel.call('queue.delete', { queue, ifEmpty: true })).toEqual({ messageCount: 0 })
  })

  it('takes the bindings along', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const exchange = await broker.exchange(channel, 'fanout')
    await channel.call('queue.bind', { queue, exchange })
    await channel.call('queue.delete', { queue })
    await channel.call('queue.declare', { queue, exclusive: true })
    channel.publish({ exchange, mandatory: true }, 'nobody')
    await channel.message('basic.return')
  })
})

describe('purging', () => {
  const broker = withBroker()

  it('removes what is ready and answers with its count', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    for (const body of ['1', '2', '3']) channel.publishTo(queue, body)
    await channel.sync(queue)
    const first = await channel.get(queue)
    expect(await channel.call('queue.purge', { queue })).toEqual({ messageCount: 2 })
    channel.send('basic.nack', { deliveryTag: first?.args.deliveryTag, requeue: true })
    expect(await channel.empty(queue)).toEqual(['1'])
    expect(await channel.call('queue.purge', { queue })).toEqual({ messageCount: 0 })
  })
})

describe('binding', () => {
  const broker = withBroker()

  it('the same twice is one binding', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const exchange = await broker.exchange(channel, 'direct')
    const binding = { queue, exchange, routingKey: 'k' }
    await channel.call('queue.bind', binding)
    await channel.call('queue.bind', binding)
    channel.publish({ exchange, routingKey: 'k' }, 'once')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['once'])
    await channel.call('queue.unbind', binding)
    channel.publish({ exchange, routingKey: 'k', mandatory: true }, 'none')
    await channel.message('basic.return')
  })

  it('two keys that match bring one copy', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const exchange = await broker.exchange(channel, 'topic')
    await channel.call('queue.bind', { queue, exchange, routingKey: 'a.*' })
    await channel.call('queue.bind', { queue, exchange, routingKey: 'a.#' })
    channel.publish({ exchange, routingKey: 'a.b' }, 'one copy')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['one copy'])
  })

  it.each([
    ['what was never bound', { routingKey: 'never' }],
    ['with arguments that differ', { routingKey: 'k', arguments: { a: 1 } }],
  ])('unbinding %s is no error and changes nothing', async (_title, args) => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const exchange = await broker.exchange(channel, 'direct')
    await channel.call('queue.bind', { queue, exchange, routingKey: 'k' })
    await channel.call('queue.unbind', { queue, exchange, ...args })
    channel.publish({ exchange, routingKey: 'k' }, 'still bound')
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['still bound'])
  })

  it.each([
    ['queue', { queue: 'spec.nowhere', exchange: 'amq.direct' }],
    ['exchange', { queue: '', exchange: 'spec.nowhere' }],
  ])('unbinding where the %s is not there is no error', async (_title, args) => {
    const channel = await broker.channel()
    await channel.call('queue.declare', { exclusive: true })
    await channel.call('queue.unbind', { routingKey: 'k', ...args })
  })
})
