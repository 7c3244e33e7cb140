// The figures that the bench reports, each with its name for readers, its format and which direction is good. Rows
// produce some of them; tables and ratios are made from this list, so a new figure is one line here and one where it is measured.

export interface FigureKind {
  label: string
  decimals: number
  /** Whether a ratio between brokers says anything, and which way round it is told. */
  better: 'more' | 'less' | null
}

const kinds = {
  deliveredPerSecond: { label: 'delivered/s', decimals: 0, better: 'more' },
  pacedPerSecond: { label: 'paced, delivered/s', decimals: 0, better: null },
  fillPerSecond: { label: 'filled/s', decimals: 0, better: 'more' },
  drainPerSecond: { label: 'drained/s', decimals: 0, better: 'more' },
  deliveryP50Ms: { label: 'delivery p50, ms', decimals: 3, better: 'less' },
  deliveryP99Ms: { label: 'delivery p99, ms', decimals: 3, better: 'less' },
  confirmP50Ms: { label: 'confirm p50, ms', decimals: 3, better: 'less' },
  confirmP99Ms: { label: 'confirm p99, ms', decimals: 3, better: 'less' },
  startMs: { label: 'start to first connection, ms', decimals: 0, better: 'less' },
  idleRssMiB: { label: 'idle RSS, MiB', decimals: 1, better: 'less' },
  connectionsPerSecond: { label: 'connections opened/s', decimals: 0, better: 'more' },
  connectionsRssMiB: { label: 'RSS added by connections, MiB', decimals: 1, better: 'less' },
  queuesSeconds: { label: 'queues declared, s', decimals: 2, better: 'less' },
  queuesRssMiB: { label: 'RSS added by queues, MiB', decimals: 1, better: 'less' },
  brokerCpuPerMillion: { label: 'broker CPU s per million delivered', decimals: 2, better: 'less' },
  brokerBusyPercent: { label: 'broker busy, % of a core', decimals: 0, better: null },
  publisherBusyPercent: { label: 'publisher busy, % of a core', decimals: 0, better: null },
  consumerBusyPercent: { label: 'consumer busy, % of a core', decimals: 0, better: null },
  rssMiB: { label: 'RSS after, MiB', decimals: 1, better: 'less' },
  rssPeakMiB: { label: 'RSS peak, MiB', decimals: 1, better: 'less' },
} as const satisfies Record<string, FigureKind>

export type FigureName = keyof typeof kinds

export const figureKinds: Readonly<Record<FigureName, FigureKind>> = kinds
export const figureNames = Object.keys(kinds) as FigureName[]

export type Figures = Partial<Record<FigureName, number>>

/** One measurement of one row: its figures, and in words what was wrong (empty: all counts and orders agreed). */
export interface Outcome {
  figures: Figures
  faults: string[]
}
