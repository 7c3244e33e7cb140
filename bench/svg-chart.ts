// Line charts as SVG text, drawn by ECharts without a browser.
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
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}
