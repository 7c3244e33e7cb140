// Charts as SVG text, drawn by ECharts without a browser.
import * as echarts from 'echarts'

export interface Line {
  name: string
  points: [x: number, y: number][]
  /** Measured at the right-hand axis. */
  isRight?: boolean
}

export interface LineChart {
  title: string
  xName: string
  yName: string
  rightName?: string
  /** Equal ratios are equally far apart; points at 0 are not drawn. */
  isLogX?: boolean
  lines: Line[]
}

export function lineChart({ title, xName, yName, rightName, isLogX = false, lines }: LineChart): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 860, height: 380 })
  const axis = { type: 'value' as const, nameLocation: 'middle' as const, min: 0 }
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff', // legible on a dark page too
    title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
    legend: { bottom: 0 },
    grid: { left: 70, right: rightName === undefined ? 30 : 80, top: 50, bottom: 75 },
    xAxis: isLogX
      ? { type: 'log' as const, nameLocation: 'middle' as const, name: xName, nameGap: 28 }
      : { ...axis, name: xName, nameGap: 28, max: 'dataMax' },
    yAxis: [
      { ...axis, name: yName, nameGap: 48 },
      ...(rightName === undefined ? [] : [{ ...axis, name: rightName, nameGap: 55, splitLine: { show: false } }]),
    ],
    series: lines.map(({ name, points, isRight = false }) => ({
      type: 'line' as const,
      name,
      data: points,
      showSymbol: isLogX,
      yAxisIndex: isRight ? 1 : 0,
      lineStyle: isRight ? { type: 'dotted' as const, width: 1.5 } : { width: 2 },
    })),
  })
  return toSvg(chart)
}

export interface BarChart {
  title: string
  /** From the top. */
  bars: { name: string; value: number }[]
  /** A line across the bars. */
  mark: number
}

/** Horizontal bars on a logarithmic axis, each with its value. */
export function barChart({ title, bars, mark }: BarChart): string {
  const height = 90 + 22 * bars.length
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 900, height })
  const shown = (value: number): string => value.toFixed(value < 10 ? 1 : 0)
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
    grid: { left: 290, right: 60, top: 45, bottom: 30 },
    xAxis: { type: 'log' as const, min: 0.5 },
    yAxis: { type: 'category' as const, inverse: true, data: bars.map(({ name }) => name), axisTick: { show: false } },
    series: [
      {
        type: 'bar' as const,
        data: bars.map(({ value }) => value),
        barWidth: 13,
        label: {
          show: true,
          position: 'right' as const,
          formatter: ({ value }: { value?: unknown }) => shown(Number(value)),
        },
        markLine: { symbol: 'none', silent: true, label: { show: false }, data: [{ xAxis: mark }] },
      },
    ],
  })
  return toSvg(chart)
}

function toSvg(chart: echarts.ECharts): string {
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}
