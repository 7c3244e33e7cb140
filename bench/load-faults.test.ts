import { describe, expect, it } from '@jest/globals'
import type { QueueCount } from './generator/jobs'
import type { LoadRun } from './load'
import { expectedCounts, faultsOf } from './load-faults'
import { type LoadRow, rows } from './rows'

const rowOf = (id: string): LoadRow => rows.find((row) => row.id === id) as LoadRow
const good: QueueCount = { delivered: 4, sumOfNumbers: 6, outOfOrder: 0, wrongTags: 0, redelivered: 0, wrongSizes: 0 }

function runWith(queue: Partial<QueueCount>, rest: Partial<LoadRun> = {}): LoadRun {
  const publisher = { published: [4], nacked: 0, startedUs: 0, finishedUs: 1, confirmLatency: null, cpuSeconds: 0 }
  const consumer = { queues: [{ ...good, ...queue }], startedUs: 0, lastUs: 1, latency: null, cpuSeconds: 0 }
  const broker = { before: null, after: null, seconds: 1 }
  return { publisher, consumer, expected: [4], leftInQueues: 0, broker, ...rest }
}

describe('expectedCounts', () => {
  it('gives each queue its own publisher, or all of them', () => {
    const own = { ...rowOf('e'), publishers: 3, queues: 3 }
    expect(expectedCounts(own, [5, 6, 7])).toEqual([5, 6, 7])
    expect(expectedCounts({ ...own, queues: 2 }, [5, 6, 7])).toEqual([12, 6])
    expect(expectedCounts({ ...own, routing: 'fanout' }, [5, 6, 7])).toEqual([18, 18, 18])
  })
})

describe('faultsOf', () => {
  it('is silent when everything agrees', () => {
    expect(faultsOf(rowOf('a-16B'), runWith({}))).toEqual([])
  })

  it.each<[Partial<QueueCount>, Partial<LoadRun>, string]>([
    [{ delivered: 3 }, {}, 'delivered 3 of 4'],
    [{ delivered: 5 }, {}, 'delivered 5 of 4'],
    [{ sumOfNumbers: 7 }, {}, 'not the right messages'],
    [{ outOfOrder: 1 }, {}, 'out of order'],
    [{ wrongTags: 1 }, {}, 'delivery tags'],
    [{ redelivered: 1 }, {}, 'redelivered'],
    [{ wrongSizes: 1 }, {}, 'wrong size'],
    [{}, { leftInQueues: 2 }, '2 messages left'],
  ])('tells %j %j', (queue, rest, text) => {
    expect(faultsOf(rowOf('a-16B'), runWith(queue, rest)).join()).toContain(text)
  })
})
