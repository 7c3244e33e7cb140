// The kinds of values that settings have: how each is written by a person and what it becomes. A kind reads text (from
// the command line, the environment, the file) as well as values (from the file or a program), so that all four sources
// accept the same. Knows no particular setting. Called by config-settings.ts.

/** Reads a raw value, or returns undefined where it is not of this kind; `accepts` then tells the user what is. */
export interface ValueKind<T> {
  placeholder: string // in the help: --port <number>
  accepts: string // continues the sentence 'must be …'
  parse(raw: unknown): T | undefined
  format(value: T): string // as a person would write it; parse(format(x)) is x
}

export function integer(min: number, max: number): ValueKind<number> {
  return {
    placeholder: '<number>',
    accepts: `a whole number from ${min} to ${max}`,
    parse: (raw) => within(min, max, typeof raw === 'string' && /^\d+$/.test(raw.trim()) ? Number(raw) : raw),
    format: String,
  }
}

const sizeUnits: Record<string, number> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 }
for (const [index, unit] of ['kib', 'mib', 'gib', 'tib'].entries()) sizeUnits[unit] = 1024 ** (index + 1)

/** Bytes. KB, MB and GB are powers of 1000; KiB, MiB and GiB of 1024. */
export function size(min: number, max: number): ValueKind<number> {
  return {
    placeholder: '<size>',
    accepts: `a size from ${formatSize(min)} to ${formatSize(max)}: a number of bytes, or with KB, MB, GB, KiB, MiB or GiB, such as 256MB`,
    parse: (raw) => within(min, max, typeof raw === 'string' ? parseWithUnit(raw, sizeUnits) : raw),
    format: formatSize,
  }
}

/** As size, or a share of a whole, such as 40%. */
export function sizeOrShare(min: number, max: number, whole: () => number): ValueKind<number> {
  const plain = size(min, max)
  return {
    ...plain,
    accepts: `${plain.accepts}, or a share of the memory, such as 40%`,
    parse: (raw) => {
      const share = typeof raw === 'string' ? /^(\d{1,3})\s*%$/.exec(raw.trim()) : null
      return share ? within(min, max, Math.floor((whole() * Number(share[1])) / 100)) : plain.parse(raw)
    },
  }
}

const durationUnits: Record<string, number> = { '': 1, ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }

/** Milliseconds. */
export function duration(minMs: number, maxMs: number): ValueKind<number> {
  return {
    placeholder: '<duration>',
    accepts: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}: milliseconds, or with ms, s, m or h, such as 10s`,
    parse: (raw) => within(minMs, maxMs, typeof raw === 'string' ? parseWithUnit(raw, durationUnits) : raw),
    format: formatDuration,
  }
}

export function boolean(): ValueKind<boolean> {
  return {
    placeholder: '', // an option without a value
    accepts: 'true or false',
    parse: (raw) => {
      if (typeof raw === 'boolean') return raw
      const word = typeof raw === 'string' ? raw.trim().toLowerCase() : ''
      if (['true', 'yes', 'on', '1'].includes(word)) return true
      return ['false', 'no', 'off', '0'].includes(word) ? false : undefined
    },
    format: String,
  }
}

/** Text that AMQP carries as a short string: user names, vhosts. */
export function text(placeholder: string, maxBytes = 255): ValueKind<string> {
  return {
    placeholder,
    accepts: `text of 1 to ${maxBytes} bytes`,
    parse: (raw) =>
      typeof raw === 'string' && raw.length > 0 && Buffer.byteLength(raw) <= maxBytes && !raw.includes('\0')
        ? raw
        : undefined,
    format: String,
  }
}

export function oneOf<T extends string>(words: readonly T[]): ValueKind<T> {
  return {
    placeholder: '<word>',
    accepts: `one of ${words.join(', ')}`,
    parse: (raw) => words.find((word) => typeof raw === 'string' && word === raw.trim().toLowerCase()),
    format: String,
  }
}

/** Names separated by commas; `none` for an empty list. */
export function nameList(): ValueKind<readonly string[]> {
  return {
    placeholder: '<names>',
    accepts: 'names separated by commas, or none',
    parse: (raw) => {
      const names = typeof raw === 'string' ? raw.split(',').map((name) => name.trim()) : raw
      if (!Array.isArray(names) || names.some((name) => typeof name !== 'string' || name === '')) return undefined
      return names.length === 1 && names[0] === 'none' ? [] : names
    },
    format: (names) => (names.length === 0 ? 'none' : names.join(',')),
  }
}

/** The same kind, with a word that switches the thing off. */
export function orOff<T>(kind: ValueKind<T>, word: string): ValueKind<T | null> {
  return {
    placeholder: kind.placeholder,
    accepts: `${kind.accepts}, or ${word}`,
    parse: (raw) =>
      raw === null || (typeof raw === 'string' && raw.trim().toLowerCase() === word) ? null : kind.parse(raw),
    format: (value) => (value === null ? word : kind.format(value)),
  }
}

function within(min: number, max: number, value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined
}

function parseWithUnit(raw: string, units: Record<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(raw.trim())
  const unit = match && units[match[2].toLowerCase()]
  return match && unit ? Math.round(Number(match[1]) * unit) : undefined
}

function formatSize(bytes: number): string {
  return formatWithUnit(bytes, [
    [1024 ** 4, 'TiB'],
    [1024 ** 3, 'GiB'],
    [1024 ** 2, 'MiB'],
    [1024, 'KiB'],
    [1, 'B'],
  ])
}

function formatDuration(ms: number): string {
  return formatWithUnit(ms, [
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1000, 's'],
    [1, 'ms'],
  ])
}

/** The largest unit that divides the number, so that nothing is rounded away. */
function formatWithUnit(value: number, units: [number, string][]): string {
  const [unit, name] = units.find(([unit]) => value >= unit && value % unit === 0) ?? [1, units[units.length - 1][1]]
  return `${value / unit}${name}`
}
