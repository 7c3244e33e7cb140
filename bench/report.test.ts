import { describe, expect, it } from '@jest/globals'
import type { Figures, Outcome } from './figures'
import {
  describeMachine,
  formatNumber,
  type Report,
  type RowReport,
  toChart,
  toJson,
  toMarkdown,
  toText,
} from './report'
import { rows } from './rows'

const outcome = (figures: Figures, faults: string[] = []): Outcome => ({ figures, faults })

const pair: RowReport = {
  row: rows[0],
  brokers: [
    {
      name: 'ours',
      outcomes: [outcome({ deliveredPerSecond: 2000, rssMiB: 50 }), outcome({ deliveredPerSecond: 4000, rssMiB: 50 })],
    },
    {
      name: 'theirs',
      outcomes: [
        outcome({ deliveredPerSecond: 1000, rssMiB: 200 }),
        outcome({ deliveredPerSecond: 1000, rssMiB: 200 }),
      ],
    },
  ],
}

const reportOf = (row: RowReport): Report => ({
  command: 'npm run bench --',
  startedAt: 'now',
  machine: describeMachine(null),
  products: { ours: 'Ours 1.0' },
  rows: [row],
})

describe('report', () => {
  it('shows median, spread and ratio, the better way round', () => {
    const text = toText(pair)
    expect(text).toMatch(/delivered\/s +3,000 ±33 % +1,000 ±0 % +3\.00 \(2\.00–4\.00\)/)
    expect(text).toMatch(/RSS after, MiB +50\.0 ±0 % +200\.0 ±0 % +4\.00$/m) // less is better: four times better
  })

  it('shows one broker without a ratio, and one repeat without a spread', () => {
    const single = { row: rows[0], brokers: [{ name: 'broker', outcomes: [outcome({ deliveredPerSecond: 1234.4 })] }] }
    expect(toText(single)).toMatch(/delivered\/s +1,234$/m)
    expect(toText(single)).not.toContain('ratio')
  })

  it('never hides a fault', () => {
    const faulty = { row: rows[0], brokers: [{ name: 'broker', outcomes: [outcome({}, ['3 messages nacked'])] }] }
    expect(toText(faulty)).toContain('FAULT broker #1: 3 messages nacked')
    expect(toMarkdown(reportOf(faulty))).toContain('FAULT broker #1: 3 messages nacked')
  })

  it('writes the same figures as JSON, every repeat and the summary', () => {
    const parsed = JSON.parse(toJson(reportOf(pair)))
    expect(parsed.rows[0].brokers[0].outcomes).toHaveLength(2)
    expect(parsed.rows[0].summary[0]).toMatchObject({
      figure: 'deliveredPerSecond',
      brokers: { ours: { median: 3000 } },
      ratio: { median: 3 },
    })
  })

  it('names machine, command and products in the results', () => {
    const markdown = toMarkdown(reportOf(pair))
    for (const text of ['npm run bench --', process.version, 'ours: Ours 1.0', '| delivered/s |']) {
      expect(markdown).toContain(text)
    }
  })

  it('draws how many times better the first of two is, and nothing for one', () => {
    const products = { ours: 'Ours 1.0', theirs: 'Theirs' }
    const chart = toChart({ ...reportOf(pair), products })
    for (const text of ['theirs is ours', `${rows[0].id}: delivered/s`, '>3.0<']) expect(chart).toContain(text)
    expect(toMarkdown(reportOf(pair))).toContain('RESULTS.svg')
    const alone = reportOf({ ...pair, brokers: pair.brokers.slice(0, 1) })
    expect(toChart(alone)).toBeNull()
    expect(toMarkdown(alone)).not.toContain('RESULTS.svg')
  })

  it('groups thousands', () => {
    expect(formatNumber(1234567.891, 1)).toBe('1,234,567.9')
  })
})
