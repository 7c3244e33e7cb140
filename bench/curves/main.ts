// npm run bench:curves: does a message cost the same with one connection as with thousands, in an empty queue as behind millions?
// Prints each point; writes CURVES.md, CURVES.json and the charts with --results.
import { Command } from 'commander'
import { leveret } from '../brokers'
import { readUsage } from '../process-usage'
import { type Curve, curves } from './curves'
import { Flow } from './flow'
import { type MeasuredCurve, type Point, spreadOfCosts, writeCurves } from './report'

const MiB = 1024 * 1024

interface Options {
  only: string
  max: string
  results?: string
}

const { only, max, results } = new Command('npm run bench:curves --')
  .description("What a message costs of the broker's CPU while something grows.")
  .option('--only <ids>', `curves, separated by commas: ${curves.map(({ id }) => id).join(', ')}`, '')
  .option('--max <n>', 'leave out points beyond this', 'Infinity')
  .option('--results <folder>', 'write CURVES.md, CURVES.json and charts there')
  .parse()
  .opts<Options>()

async function main(): Promise<void> {
  const ids = only === '' ? curves.map(({ id }) => id) : only.split(',')
  const measured: MeasuredCurve[] = []
  for (const curve of curves.filter(({ id }) => ids.includes(id))) measured.push(await measure(curve))
  if (results !== undefined)
    writeCurves(results, measured, ['npm run bench:curves --', ...process.argv.slice(2)].join(' '))
}

async function measure(curve: Curve): Promise<MeasuredCurve> {
  console.log(curve.title)
  const points: Point[] = []
  for (const x of curve.points.filter((x) => x <= Number(max))) {
    const point = await measurePoint(curve, x)
    points.push(point)
    console.log(
      `${String(x).padStart(12)} ${point.costUs.toFixed(2).padStart(8)} µs/${curve.per} ${point.rssMiB.toFixed(0)} MiB`,
    )
  }
  console.log(`  dearest to cheapest: ${spreadOfCosts(points).toFixed(1)}`)
  return { curve, points }
}

async function measurePoint(curve: Curve, x: number): Promise<Point> {
  const broker = await leveret({ dataParent: null, profile: null }).start()
  try {
    const flow = await Flow.open(broker)
    const costUs = await curve.cost(flow, x)
    const rssMiB = (readUsage(broker.pid)?.rssBytes ?? 0) / MiB
    await flow.close()
    return { x, costUs, rssMiB }
  } finally {
    await broker.stop()
  }
}

main().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message)
    process.exit(1)
  },
)
