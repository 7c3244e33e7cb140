// Curves as files for readers: CURVES.md with a table and a chart for each, CURVES.json for programs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeMachine, formatNumber } from '../report'
import { lineChart } from '../svg-chart'
import type { Curve } from './curves'

export interface Point {
  x: number
  costUs: number
  rssMiB: number
}

export interface MeasuredCurve {
  curve: Curve
  points: Point[]
}

/** How much more the dearest point costs than the cheapest. */
export function spreadOfCosts(points: readonly Point[]): number {
  const costs = points.map(({ costUs }) => costUs)
  return Math.max(...costs) / Math.min(...costs)
}

export function writeCurves(folder: string, measured: readonly MeasuredCurve[], command: string): void {
  mkdirSync(join(folder, 'curves-svg'), { recursive: true })
  for (const { curve, points } of measured) writeFileSync(join(folder, chartOf(curve)), draw(curve, points))
  const about = { command, startedAt: new Date().toISOString(), machine: describeMachine(null) }
  const curves = measured.map(({ curve: { id, title, xName, per }, points }) => ({ id, title, xName, per, points }))
  writeFileSync(join(folder, 'CURVES.json'), `${JSON.stringify({ ...about, curves }, null, 2)}\n`)
  const { cpu, cores, memoryGiB, node } = about.machine
  const head = [
    '# Curves',
    '',
    "Written by the bench; not edited by hand. Cost: microseconds of the broker's CPU time, all threads, for each message published and",
    'delivered (for large messages: for each KiB). Each point is a fresh broker and the median of five runs; counts are verified.',
    '',
    `- command: \`${command}\``,
    `- machine: ${cores} × ${cpu}, ${memoryGiB} GiB, Node ${node}`,
    '',
  ]
  writeFileSync(join(folder, 'CURVES.md'), `${[...head, ...measured.flatMap(sectionOf)].join('\n')}\n`)
}

function sectionOf({ curve, points }: MeasuredCurve): string[] {
  const rows = points.map(({ x, costUs, rssMiB }) => {
    return `| ${formatNumber(x, 0)} | ${formatNumber(costUs, 2)} | ${formatNumber(rssMiB, 0)} |`
  })
  return [
    `## ${curve.title}`,
    '',
    `Dearest to cheapest: ${formatNumber(spreadOfCosts(points), 1)}. ${curve.note ?? ''}`.trimEnd(),
    '',
    `| ${curve.xName} | µs per ${curve.per} | RSS, MiB |`,
    '| ---: | ---: | ---: |',
    ...rows,
    '',
    `![${curve.title}](${chartOf(curve)})`,
    '',
  ]
}

function chartOf({ id }: Curve): string {
  return join('curves-svg', `${id}.svg`)
}

function draw({ title, xName, per }: Curve, points: readonly Point[]): string {
  const line = (value: (point: Point) => number): [number, number][] =>
    points.map((point) => [Math.max(1, point.x), value(point)])
  return lineChart({
    title,
    xName,
    yName: `µs of CPU per ${per}`,
    rightName: 'MiB resident',
    isLogX: true,
    lines: [
      { name: 'cost', points: line(({ costUs }) => costUs) },
      { name: 'resident memory', points: line(({ rssMiB }) => rssMiB), isRight: true },
    ],
  })
}
