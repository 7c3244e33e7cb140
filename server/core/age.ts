// Ages as stream arguments give them: 7D, 12h. RabbitMQ docs "Streams".
const DAY = 86_400_000
const UNITS: Record<string, number> = { Y: 365 * DAY, M: 30 * DAY, D: DAY, h: 3_600_000, m: 60_000, s: 1000 }

/** In ms; null for what is no age. */
export function parseAge(text: string): number | null {
  const parts = /^(\d+)([YMDhms])$/.exec(text)
  if (parts === null || Number(parts[1]) === 0) return null
  return Number(parts[1]) * UNITS[parts[2]]
}
