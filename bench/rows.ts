// The table of what is measured: one plain object per row, nothing computed. To measure something new, add a row.
// A row's letter (`--row a`) picks all rows that start with it; its full id picks one.

/** Publishers and consumers on queues of their own, with exact counts. */
export interface LoadRow {
  kind: 'load'
  id: string
  title: string
  /** together: published and consumed at the same time. fill-then-drain: all is queued before the first consumer starts. */
  phases: 'together' | 'fill-then-drain'
  bodyBytes: number
  /** Durable queues and persistent messages. */
  durable: boolean
  /** How many publishing connections, queues with one consuming connection each. */
  publishers: number
  /** Encrypted connections. */
  tls: boolean
  queues: number
  /** own: publisher i feeds queue i. fanout: each message reaches every queue through a fanout exchange. */
  routing: 'own' | 'fanout'
  /** At most this many unconfirmed messages per publisher; 0: no confirms. */
  confirmWindow: number
  /** basic.qos prefetch count; 0: no limit. */
  prefetch: number
  /** Acknowledge every so many deliveries (multiple when more than 1); 0: consume with no-ack. */
  ackEvery: number
  /** Messages per second over all publishers; 0: as fast as the broker takes them. */
  ratePerSecond: number
  /** Stops publishing at whichever comes first. */
  limit: { seconds: number } | { messages: number }
}

/** What a broker costs before any message: start, idle memory, connections, queues. */
export interface FootprintRow {
  kind: 'footprint'
  id: string
  title: string
  /** Idle connections to open (each with one channel), durable queues to declare one by one. */
  connections: number
  queues: number
}

export type Row = LoadRow | FootprintRow

const load = {
  kind: 'load',
  phases: 'together',
  durable: false,
  publishers: 1,
  tls: false,
  queues: 1,
  routing: 'own',
  confirmWindow: 0,
  prefetch: 0,
  ackEvery: 0,
  ratePerSecond: 0,
  limit: { seconds: 5 },
} as const

// By count: RabbitMQ takes what comes with TLS as fast as it is sent, and then works on it for minutes.
const encrypted = { ...load, tls: true, limit: { messages: 1_000_000 } } as const
const durable = { ...load, durable: true, confirmWindow: 1000, prefetch: 1000, ackEvery: 100 } as const
const backlog = {
  ...load,
  phases: 'fill-then-drain',
  confirmWindow: 1000,
  prefetch: 100,
  limit: { messages: 300_000 },
} as const

export const rows: readonly Row[] = [
  { ...load, id: 'a-16B', title: '16 B, transient, auto-ack', bodyBytes: 16 },
  { ...load, id: 'a-1KiB', title: '1 KiB, transient, auto-ack', bodyBytes: 1024 },
  { ...backlog, id: 'b-multiple', title: '1 KiB queued, drain, ack each 50', bodyBytes: 1024, ackEvery: 50 },
  { ...backlog, id: 'b-single', title: '1 KiB queued, drain, single acks', bodyBytes: 1024, ackEvery: 1 },
  { ...durable, id: 'c-window-1000', title: '1 KiB, durable, window 1,000, ack each 100', bodyBytes: 1024 },
  {
    ...durable,
    id: 'c-window-1',
    title: '1 KiB, durable, window 1, single acks',
    bodyBytes: 1024,
    confirmWindow: 1,
    ackEvery: 1,
  },
  { ...load, id: 'd', title: '100 B, fanout 1 to 10, auto-ack', bodyBytes: 100, queues: 10, routing: 'fanout' },
  { ...load, id: 'e', title: '100 B, 10 publishers, 10 queues, auto-ack', bodyBytes: 100, publishers: 10, queues: 10 },
  {
    ...backlog,
    id: 'f',
    title: '1 KiB, durable, fill 1 M without confirms, then drain',
    bodyBytes: 1024,
    durable: true,
    confirmWindow: 0,
    prefetch: 1000,
    ackEvery: 100,
    limit: { messages: 1_000_000 },
  },
  {
    ...load,
    id: 'g-transient',
    title: '16 B at 5,000/s, transient, auto-ack',
    bodyBytes: 16,
    ratePerSecond: 5000,
    limit: { seconds: 10 },
  },
  {
    ...durable,
    id: 'g-persistent',
    title: '1 KiB at 5,000/s, durable, confirms, single acks',
    bodyBytes: 1024,
    confirmWindow: 100_000, // never reached at this rate: the rate alone decides when a message leaves
    ackEvery: 1,
    ratePerSecond: 5000,
    limit: { seconds: 10 },
  },
  { ...encrypted, id: 'i-tls-16B', title: '16 B, transient, auto-ack, TLS', bodyBytes: 16 },
  { ...encrypted, id: 'i-tls-1KiB', title: '1 KiB, transient, auto-ack, TLS', bodyBytes: 1024 },
  {
    kind: 'footprint',
    id: 'h-connections',
    title: 'start, idle, 1,000 idle connections',
    connections: 1000,
    queues: 0,
  },
  { kind: 'footprint', id: 'h-queues', title: 'start, idle, 10,000 durable queues', connections: 0, queues: 10_000 },
]

/** Small counts of every kind of load: proves broker and generator against each other, measures nothing. */
export const smokeRows: readonly Row[] = rows.map(shrink)

function shrink(row: Row): Row {
  if (row.kind === 'footprint')
    return { ...row, connections: Math.min(20, row.connections), queues: Math.min(50, row.queues) }
  const messages = row.confirmWindow === 1 ? 200 : row.ratePerSecond > 0 ? 1000 : 5000
  return { ...row, limit: { messages } }
}

export function selectRows(all: readonly Row[], ids: readonly string[]): readonly Row[] {
  if (ids.length === 0) return all
  for (const id of ids) {
    if (!all.some((row) => isPicked(row, id))) {
      throw new Error(`no row "${id}"; there are ${all.map((row) => row.id).join(', ')}`)
    }
  }
  return all.filter((row) => ids.some((id) => isPicked(row, id)))
}

function isPicked(row: Row, id: string): boolean {
  return row.id === id || row.id.startsWith(`${id}-`)
}
