// Lists: pages, filters, order, columns; and that long ones and hostile patterns hold nobody up for good.
import { beforeAll, describe, expect, it } from '@jest/globals'
import { type Json, withAdmin } from '../spec/with-admin'

const admin = withAdmin()
const COUNT = 230

const names = (items: Json[]) => items.map(({ name }) => name)
const bad = (reason: string) => ({ error: 'bad_request', reason })
const invalid = (page: number, size: number) => ({
  error: 'invalid_pagination_parameters',
  reason: `Invalid pagination parameters: page number ${page}, page size ${size}`,
})

beforeAll(async () => {
  const channel = await (await admin.client()).createChannel()
  for (let i = COUNT - 1; i >= 0; i--)
    await channel.assertQueue(`queue-${String(i).padStart(4, '0')}`, { durable: false })
  for (let i = 0; i < 3; i++) channel.sendToQueue('queue-0007', Buffer.from('x'))
  channel.sendToQueue('queue-0011', Buffer.from('x'))
  await channel.checkQueue('queue-0011')
})

describe('pages', () => {
  it('hold what they should', async () => {
    const { items, ...counts } = await admin.get('/api/queues?page=3&page_size=100')
    expect(counts).toEqual({
      filtered_count: COUNT,
      item_count: 30,
      page: 3,
      page_count: 3,
      page_size: 100,
      total_count: COUNT,
    })
    expect(names(items)[0]).toBe('queue-0200')
  })

  it('are of a hundred when nothing is said', async () => {
    const { items, page_size } = await admin.get('/api/queues?page=1')
    expect([items.length, page_size]).toEqual([100, 100])
  })

  it('put together are the list', async () => {
    const all: string[] = []
    for (let page = 1; page <= 5; page++)
      all.push(...names((await admin.get(`/api/queues?page=${page}&page_size=50`)).items))
    expect(all).toEqual(names(await admin.get('/api/queues')))
    expect(all).toEqual([...all].sort())
    expect(new Set(all).size).toBe(COUNT)
  })

  it.each<[query: string, answer: Json]>([
    ['page=x', bad('Pagination parameters are invalid')],
    ['page=1&page_size=x', bad('Pagination parameters are invalid')],
    ['page=0', invalid(0, 100)],
    ['page=-1', invalid(-1, 100)],
    ['page=1&page_size=0', invalid(1, 0)],
    ['page=1&page_size=501', invalid(1, 501)],
    ['page=9', { error: 'page_out_of_range', reason: `Page out of range, page: 9 page size: 100, len: ${COUNT}` }],
    ['page=1&use_regex=true&name=(', bad('Invalid regular expression: /(/i: Unterminated group')],
    [`page=1&use_regex=true&name=${'a'.repeat(1001)}`, bad('The regular expression is too long')],
  ])('%s is refused', async (query, answer) => {
    const { status, json } = await admin.request('GET', `/api/queues?${query}`)
    expect({ status, json }).toEqual({ status: 400, json: answer })
  })
})

describe('a name', () => {
  it.each<[query: string, count: number]>([
    ['name=QUEUE-000', 10],
    ['name=nosuch', 0],
    ['name=', COUNT],
    ['name=.', 0],
    ['name=.&use_regex=true', COUNT],
    ['name=^queue-0{3}[12]$&use_regex=true', 2],
    ['name=&use_regex=true&pagination=false', COUNT], // as KEDA asks
  ])('%s leaves %i', async (query, count) => {
    const { filtered_count, total_count } = await admin.get(`/api/queues?page=1&${query}`)
    expect([filtered_count, total_count]).toEqual([count, COUNT])
  })

  it('counts only with a page, as in RabbitMQ', async () => {
    expect(await admin.get('/api/queues?name=nosuch')).toHaveLength(COUNT)
  })
})

describe('a pattern that takes forever to match', () => {
  const victim = withAdmin()

  it('is given up, and the broker goes on', async () => {
    await victim.put(`/api/queues/%2F/${'a'.repeat(100)}!`)
    const hostile = victim.request('GET', '/api/queues?page=1&use_regex=true&name=(a%2B)%2B$')
    expect(await victim.publish('nowhere', 'x')).toEqual({ routed: false })
    const { status, json } = await hostile
    expect({ status, json }).toEqual({ status: 400, json: bad('The regular expression takes too long') })
  })
})

describe('order and columns', () => {
  it('sorts by a number, most first', async () => {
    const list = await admin.get('/api/queues?sort=messages&sort_reverse=true&columns=name,messages')
    expect(list.slice(0, 3)).toEqual([
      { name: 'queue-0007', messages: 3 },
      { name: 'queue-0011', messages: 1 },
      { name: expect.any(String), messages: 0 },
    ])
  })

  it('sorts by a nested number and pages the outcome', async () => {
    const { items } = await admin.get('/api/queues?sort=message_stats.publish&sort_reverse=true&page=1&page_size=2')
    expect(names(items)).toEqual(['queue-0007', 'queue-0011'])
  })

  it('leaves the order alone for a column that is not there', async () => {
    expect(names(await admin.get('/api/queues?sort=nosuch'))).toEqual(names(await admin.get('/api/queues')))
  })

  it('picks columns, nested ones at their place', async () => {
    const [first] = await admin.get(
      '/api/queues?columns=name,message_stats.publish,message_stats.ack,nosuch,name.length',
    )
    expect(first).toEqual({ name: 'queue-0000', message_stats: { publish: 0, ack: 0 } })
  })

  it.each(['__proto__', 'constructor', 'name.__proto__.x'])('%s is no column', async (columns) => {
    expect((await admin.get(`/api/queues?page=1&page_size=1&columns=${columns}&sort=${columns}`)).items).toEqual([{}])
  })

  it('picks columns of one object, too', async () => {
    expect(await admin.get('/api/queues/%2F/queue-0007?columns=messages')).toEqual({ messages: 3 })
  })
})

describe('lists at the same time', () => {
  it('all come, whole', async () => {
    const lists = await Promise.all(Array.from({ length: 8 }, () => admin.get('/api/queues')))
    for (const list of lists) expect(list).toHaveLength(COUNT)
  })
})
