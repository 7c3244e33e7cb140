// Turns measurements into what people and programs read: a text table, RESULTS.md with its chart, and JSON.
import { statfsSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { type FigureKind, type FigureName, figureKinds, figureNames, type Outcome } from './figures'
import type { Row } from './rows'
import { plusMinusPercent, ratioOfPairs, type Spread, spreadOf } from './statistics'
import { barChart } from './svg-chart'

/** One row, measured `repeats` times on each broker; outcomes of the same index ran one after the other. */
export interface RowReport {
  row: Row
  brokers: { name: string; outcomes: Outcome[] }[]
}

export interface Report {
  command: string
  startedAt: string
  machine: Machine
  products: Record<string, string> // broker name -> what it calls itself
  rows: RowReport[]
}

interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  kernel: string
  node: string
  /** The brokers' data lay in memory: a sync costs nothing there, and durable rows say nothing about disks. */
  isDataInMemory: boolean
}

/** statfs(2)'s type of a file system that lives in memory. */
const tmpfsType = 0x01021994

export function describeMachine(dataParent: string | null): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    isDataInMemory: statfsSync(dataParent ?? tmpdir()).type === tmpfsType,
  }
}

/** For a terminal: a block per row, a line per figure, a column per broker and one for their ratio. */
export function toText(report: RowReport): string {
  const lines = cellsOf(report).map((cells) => `  ${cells.map((cell, i) => pad(cell, i)).join('')}`.trimEnd())
  return [`${report.row.id}  ${report.row.title}`, ...lines, ...faultLines(report), ''].join('\n')
}

function pad(cell: string, column: number): string {
  return column === 0 ? cell.padEnd(38) : cell.padStart(22)
}

export function toMarkdown(report: Report): string {
  const { machine } = report
  const products = Object.entries(report.products).map(([name, product]) => `- ${name}: ${product}`)
  return [
    '# Results',
    '',
    'Written by the bench; not edited by hand. Medians; ± is half the distance between the extremes of the repeats.',
    'Ratios are medians over pairs that ran one after the other, with their extremes; above 1 is in favour of the first.',
    '',
    `- command: \`${report.command}\``,
    `- started: ${report.startedAt}`,
    `- machine: ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}`,
    ...(machine.isDataInMemory ? ['- data lay in memory (tmpfs): the durable rows say nothing about disks'] : []),
    ...products,
    '',
    ...(isPair(report) ? [`![How many times better, by row](${CHART_FILE})`, ''] : []),
    ...report.rows.flatMap(markdownOfRow),
  ].join('\n')
}

export const CHART_FILE = 'RESULTS.svg'

/** What users feel: not what it costs the broker. */
const CHARTED: readonly FigureName[] = [
  'deliveredPerSecond',
  'fillPerSecond',
  'drainPerSecond',
  'deliveryP99Ms',
  'confirmP99Ms',
  'startMs',
  'queuesSeconds',
  'idleRssMiB',
  'rssPeakMiB',
]

const isPair = (report: Report): boolean => report.rows.every(({ brokers }) => brokers.length === 2)

/** How many times better the first broker is than the second, a bar for each figure; null where there are not two. */
export function toChart(report: Report): string | null {
  if (!isPair(report)) return null
  const [first, second] = Object.keys(report.products)
  const bars = report.rows.flatMap((row) =>
    CHARTED.flatMap((figure) => {
      const ratio = ratioFor(row, figure)
      return ratio === null ? [] : [{ name: `${row.row.id}: ${figureKinds[figure].label}`, value: ratio.median }]
    }),
  )
  return barChart({ title: `How many times better than ${second} is ${first}? (1: as good)`, bars, mark: 1 })
}

function markdownOfRow(report: RowReport): string[] {
  const [head, ...body] = cellsOf(report)
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const rule = line(head.map((_, i) => (i === 0 ? '---' : '---:')))
  return [
    `## ${report.row.id}: ${report.row.title}`,
    '',
    line(head),
    rule,
    ...body.map(line),
    ...faultLines(report),
    '',
  ]
}

export function toJson(report: Report): string {
  const rows = report.rows.map((row) => ({ ...row, summary: summaryOf(row) }))
  return `${JSON.stringify({ ...report, rows }, null, 2)}\n`
}

/** Medians and extremes per broker, and the ratio of the first broker to the second, figure by figure. */
function summaryOf(report: RowReport) {
  return presentFigures(report).map((name) => ({
    figure: name,
    label: figureKinds[name].label,
    brokers: Object.fromEntries(
      report.brokers.map((broker) => [broker.name, spreadOf(valuesOf(broker.outcomes, name))]),
    ),
    ratio: ratioFor(report, name),
  }))
}

function cellsOf(report: RowReport): string[][] {
  const isPair = report.brokers.length === 2
  const head = ['', ...report.brokers.map((broker) => broker.name), ...(isPair ? ['ratio'] : [])]
  const lines = presentFigures(report).map((name) => {
    const kind = figureKinds[name]
    const cells = report.brokers.map((broker) => cellOf(valuesOf(broker.outcomes, name), kind))
    return [kind.label, ...cells, ...(isPair ? [ratioCell(ratioFor(report, name))] : [])]
  })
  return [head, ...lines]
}

function presentFigures(report: RowReport): FigureName[] {
  return figureNames.filter((name) => report.brokers.some((broker) => valuesOf(broker.outcomes, name).length > 0))
}

function valuesOf(outcomes: readonly Outcome[], name: FigureName): number[] {
  return outcomes.map((outcome) => outcome.figures[name]).filter((value) => value !== undefined)
}

function cellOf(values: readonly number[], kind: FigureKind): string {
  if (values.length === 0) return ''
  const spread = spreadOf(values)
  const median = formatNumber(spread.median, kind.decimals)
  return values.length === 1 ? median : `${median} ±${Math.round(plusMinusPercent(spread))} %`
}

/** How many times better the first broker is: faster, or smaller where less is better. */
function ratioFor(report: RowReport, name: FigureName): Spread | null {
  const { better } = figureKinds[name]
  if (better === null || report.brokers.length !== 2) return null
  const [first, second] = report.brokers.map((broker) => valuesOf(broker.outcomes, name))
  if (first.length === 0 || second.length === 0) return null
  return better === 'more' ? ratioOfPairs(first, second) : ratioOfPairs(second, first)
}

function ratioCell(ratio: Spread | null): string {
  if (ratio === null || !Number.isFinite(ratio.median)) return ''
  const [median, min, max] = [ratio.median, ratio.min, ratio.max].map((value) =>
    formatNumber(value, value < 10 ? 2 : 1),
  )
  return min === max ? median : `${median} (${min}–${max})`
}

function faultLines(report: RowReport): string[] {
  return report.brokers.flatMap((broker) =>
    broker.outcomes.flatMap((outcome, i) =>
      outcome.faults.map((fault) => `  FAULT ${broker.name} #${i + 1}: ${fault}`),
    ),
  )
}

export function formatNumber(value: number, decimals: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
}
