// Checks that what went in came out, once and in order. A wrong count is a fault of the measurement, whatever its speed.
import { numberedSize } from './generator/body-stamp'
import type { LoadRun } from './load'
import type { LoadRow } from './rows'

/** What each queue must deliver, given what each publisher has sent. */
export function expectedCounts(row: LoadRow, published: readonly number[]): number[] {
  return sumPerQueue(row, published, (count) => count)
}

/** In words for a reader; empty when everything agreed. */
export function faultsOf(row: LoadRow, run: LoadRun): string[] {
  const faults: string[] = []
  const complain = (count: number, text: string): void => {
    if (count !== 0) faults.push(`${count} ${text}`)
  }
  const expectedSums = sumPerQueue(row, run.publisher.published, (count) => (count * (count - 1)) / 2)
  run.consumer.queues.forEach((seen, queue) => {
    const expected = run.expected[queue]
    if (seen.delivered !== expected) faults.push(`queue ${queue} delivered ${seen.delivered} of ${expected}`)
    else if (row.bodyBytes >= numberedSize && seen.sumOfNumbers !== expectedSums[queue]) {
      faults.push(`queue ${queue} delivered the right count but not the right messages`)
    }
    complain(seen.outOfOrder, `deliveries out of order on queue ${queue}`)
    complain(seen.wrongTags, `delivery tags out of sequence on queue ${queue}`)
    complain(seen.redelivered, `deliveries marked redelivered on queue ${queue}`)
    complain(seen.wrongSizes, `bodies of a wrong size on queue ${queue}`)
  })
  complain(run.publisher.nacked, 'messages nacked')
  complain(run.leftInQueues, 'messages left in the queues')
  return faults
}

function sumPerQueue(row: LoadRow, published: readonly number[], value: (count: number) => number): number[] {
  const sums = new Array<number>(row.queues).fill(0)
  published.forEach((count, publisher) => {
    for (let queue = 0; queue < row.queues; queue++) {
      if (row.routing === 'fanout' || publisher % row.queues === queue) sums[queue] += value(count)
    }
  })
  return sums
}
