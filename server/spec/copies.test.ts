// Sender-selected distribution: further routing keys in the headers CC and BCC.
import { describe, expect, it } from '@jest/globals'
import { type FieldTable, type FieldValue, Typed } from '../../protocol'
import { itRefuses, type Refusal } from './refusals'
import { withBroker } from './with-broker'

const wrongTypes: [FieldValue, string][] = [
  ['a', 'longstr'],
  [5, 'signedint'],
  [true, 'bool'],
  [null, 'void'],
  [{ a: 1 }, 'table'],
]

describe('refusals', () => {
  const broker = withBroker()
  const refused = (header: string, value: FieldValue, type: string): Refusal => ({
    when: `${header} is of type ${type}`,
    does: ['basic.publish', { exchange: 'amq.direct' }, { headers: { [header]: value } }],
    scope: 'channel',
    code: 406,
    text: {
      rabbitmq3: `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,<<"${header}">>,${type}}`,
      rabbitmq4: `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"${header}",${type}}`,
    },
  })
  itRefuses(broker, [
    ...wrongTypes.map(([value, type]) => refused('CC', value, type)),
    ...wrongTypes.map(([value, type]) => refused('BCC', value, type)),
    {
      ...refused('CC', 5, 'signedint'),
      when: 'both are wrong, CC is named',
      does: ['basic.publish', { exchange: 'amq.direct' }, { headers: { BCC: 'b', CC: 5 } }],
    },
    {
      ...refused('CC', 5, 'signedint'),
      when: 'in a transaction, at once',
      given: [['tx.select']],
    },
    {
      when: 'the exchange is not there either',
      does: ['basic.publish', { exchange: '$x' }, { headers: { CC: 5 } }],
      scope: 'channel',
      code: 404,
      text: "NOT_FOUND - no exchange '$x' in vhost '/'",
    },
  ])
})

describe('CC and BCC', () => {
  const broker = withBroker()

  /** Publishes to `exchange` with key 0 of three queues' keys; the headers as each queue got them. */
  async function received(exchange: string, headers: (keys: string[]) => FieldTable, type?: string) {
    const channel = await broker.channel()
    const source = type === undefined ? exchange : await broker.exchange(channel, type)
    const queues: string[] = []
    for (let i = 0; i < 3; i++) queues.push(await broker.queue(channel))
    if (source !== '') {
      for (const queue of queues) await channel.call('queue.bind', { queue, exchange: source, routingKey: queue })
    }
    channel.publish({ exchange: source, routingKey: queues[0] }, 'm', { headers: headers(queues), messageId: 'id' })
    await channel.sync(queues[0])
    const got = []
    for (const queue of queues) got.push(await channel.get(queue, { noAck: true }))
    return { got, queues, source }
  }

  it.each<[string, string, string | undefined]>([
    ['the default exchange', '', undefined],
    ['a direct exchange', 'x', 'direct'],
    ['a topic exchange', 'x', 'topic'],
  ])('are further keys of %s', async (_title, exchange, type) => {
    const { got, queues, source } = await received(exchange, (keys) => ({ CC: [keys[1]], BCC: [keys[2]] }), type)
    for (const message of got) {
      expect(message?.args).toMatchObject({ exchange: source, routingKey: queues[0] })
      expect(message?.properties).toEqual({ headers: { CC: [queues[1]] }, messageId: 'id' })
      expect(message?.body.toString()).toBe('m')
    }
  })

  it('bring one copy, however often a queue is named', async () => {
    const { got, queues } = await received('', (keys) => ({ CC: [keys[0], keys[1], keys[1]], BCC: [keys[1]] }))
    expect(got.map((message) => message !== null)).toEqual([true, true, false])
    expect(got[1]?.args.messageCount).toBe(0)
    expect(queues).toHaveLength(3)
  })

  it('pass over what is no string', async () => {
    const binary = new Typed('x', Buffer.from('a'))
    const { got } = await received('', (keys) => ({ CC: [5, null, keys[1], ['a'], binary, '', 'a'.repeat(300)] }))
    expect(got.map((message) => message !== null)).toEqual([true, true, false])
  })

  it('leave the other headers as they are', async () => {
    const others = { a: 1, B: 'b', CCC: ['c'], BC: 1, cc: 1, n: { BCC: ['x'] } }
    const { got } = await received('', (keys) => ({ ...others, BCC: [keys[1]], z: 'last' }))
    for (const message of got.slice(0, 2)) expect(message?.properties.headers).toEqual({ ...others, z: 'last' })
  })

  it('can be empty', async () => {
    const { got } = await received('', () => ({ CC: [], BCC: [] }))
    expect(got[0]?.properties.headers).toEqual({ CC: [] })
    expect(got[1]).toBeNull()
  })

  it('make no difference to exchanges that do not look at keys', async () => {
    const { got } = await received('x', (keys) => ({ CC: [keys[1]] }), 'fanout')
    expect(got.map((message) => message !== null)).toEqual([true, true, true])
  })

  it('of a returned message: CC is there, BCC is not', async () => {
    const channel = await broker.channel()
    const headers = { BCC: ['no queue of ours'], CC: ['nor this'], z: 1 }
    channel.publish({ exchange: 'amq.direct', routingKey: 'nowhere', mandatory: true }, 'm', { headers })
    const returned = await channel.message('basic.return')
    expect(returned.properties.headers).toEqual({ CC: ['nor this'], z: 1 })
    expect(returned.body.toString()).toBe('m')
  })

  it('are enough for a mandatory message', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    channel.publish({ routingKey: `${queue}.not`, mandatory: true }, 'm', { headers: { BCC: [queue] } })
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })

  it('count at the commit of a transaction', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    await channel.call('tx.select')
    channel.publish({ routingKey: `${queue}.not` }, 'm', { headers: { BCC: [queue] } })
    await channel.call('tx.commit')
    expect(await channel.empty(queue)).toEqual(['m'])
  })

  it('come through bindings between exchanges', async () => {
    const channel = await broker.channel()
    const queue = await broker.queue(channel)
    const [source, destination] = [await broker.exchange(channel, 'topic'), await broker.exchange(channel, 'direct')]
    await channel.call('exchange.bind', { source, destination, routingKey: 'a.*' })
    await channel.call('queue.bind', { queue, exchange: destination, routingKey: 'k' })
    channel.publish({ exchange: source, routingKey: 'x' }, 'm', { headers: { CC: ['a.b', 'k'] } })
    await channel.sync(queue)
    expect(await channel.empty(queue)).toEqual(['m'])
  })
})
