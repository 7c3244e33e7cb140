// Turns what a person or a program asked for into a complete configuration: `leveret start` takes options, environment
// and file in that order of precedence, an embedding program passes BrokerOptions. All settings and their defaults stand
// in config-settings.ts. Reads no file and no environment itself. Called by cli/start.ts and broker.ts.
import { environmentName, type Setting, type SettingValues, settings } from './config-settings'
import { didYouMean } from './did-you-mean'
import type { Logger, LogLevel } from './logger'

/** What a program may pass to Broker.start(); everything has a default. */
export interface BrokerOptions extends Partial<ResolvedConfig> {
  logger?: Logger // default: says nothing
}

export interface ResolvedConfig {
  data: string | null // the data directory; null keeps everything in memory
  host: string
  port: number // 0: any free one
  tlsPort: number | null // null: no TLS
  tlsCert: string | null // file
  tlsKey: string | null // file
  adminHost: string
  adminPort: number | null // null: no HTTP API
  memoryLimit: number // bytes
  diskFreeLimit: number // bytes
  heartbeat: number // seconds, as the protocol negotiates it; 0: none
  frameMax: number // bytes
  channelMax: number
  maxMessageSize: number // bytes
  maxConnections: number
  consumerMaxPerChannel: number
  consumerTimeout: number | null // milliseconds that a consumer may hold a message; null: any time
  handshakeTimeout: number // milliseconds
  loopbackUsers: readonly string[]
  defaultUser: string
  defaultPassword: string
  defaultVhost: string
  nodeName: string
}

export interface CliConfig extends ResolvedConfig {
  logLevel: LogLevel
}

export interface ConfigSources {
  options: Readonly<Record<string, unknown>> // of the command line, by key: memoryLimit
  env: Readonly<Record<string, string | undefined>>
  file?: { path: string; values: Readonly<Record<string, unknown>> } // by setting name: memory-limit
}

/** What is wrong, one line for each mistake, fit to be shown to the user as it is. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
  }
}

/** The configuration of a broker inside a program: in memory, on 127.0.0.1, without HTTP API unless options say so. */
export function resolveOptions(options: BrokerOptions = {}): ResolvedConfig {
  const { logger: _, ...given } = options
  const problems = unknownNames(Object.keys(given), embeddedKeys, '')
  const { logLevel: __, ...config } = resolve(problems, 'embedded', (key) => {
    if (key === 'inMemory') return [given.data === null ? { source: 'data', raw: true } : undefined]
    if (key === 'data' && given.data === null) return []
    return [{ source: key, raw: given[key as keyof typeof given] }]
  })
  return config
}

/** The configuration of `leveret start`: option, else environment variable, else file, else default. */
export function resolveCliConfig({ options, env: wholeEnv, file }: ConfigSources): CliConfig {
  const env = withoutServiceLinks(wholeEnv)
  const rows = Object.values(settings)
  const environmentNames = [...rows.map(environmentName), 'LEVERET_CONFIG']
  const problems = unknownNames(
    Object.keys(env).filter((name) => name.startsWith('LEVERET_')),
    environmentNames,
    'the environment',
  )
  const fileNames = rows.map((setting) => setting.name)
  problems.push(...unknownNames(Object.keys(file?.values ?? {}), fileNames, file?.path ?? ''))
  return resolve(problems, 'standard', (key) => {
    const setting = settings[key]
    const variables = [environmentName(setting), ...(setting.environmentAliases ?? [])]
    return [
      { source: `--${setting.name}`, raw: options[key] },
      firstGiven(variables.map((name) => ({ source: name, raw: env[name] || undefined }))), // empty counts as not set
      file && { source: `${setting.name} in ${file.path}`, raw: file.values[setting.name] },
    ]
  })
}

const embeddedKeys = Object.keys(settings).filter((key) => key !== 'inMemory' && key !== 'logLevel')

type SettingKey = keyof SettingValues

/** A value as one source gave it; `raw` undefined where that source says nothing. */
interface Candidate {
  source: string
  raw: unknown
}

interface Chosen<T> {
  value: T
  rank: number // of the source: 0 is the strongest, Infinity a default
  source: string
}

function resolve(
  problems: string[],
  defaults: 'standard' | 'embedded',
  candidates: (key: SettingKey) => (Candidate | undefined)[],
): CliConfig {
  const read = <K extends SettingKey>(key: K): Chosen<SettingValues[K]> =>
    choose<SettingValues[K]>(settings[key], candidates(key), defaults, problems)
  const data = chooseData(read('data'), read('inMemory'), problems)
  const others = Object.keys(settings)
    .filter((key) => key !== 'data' && key !== 'inMemory')
    .map((key) => [key, read(key as SettingKey).value])
  const config = { ...Object.fromEntries(others), data } as CliConfig
  if (config.tlsPort !== null && (config.tlsCert === null || config.tlsKey === null)) {
    problems.push('tls-port needs tls-cert and tls-key, the files with the certificate and its key')
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** The strongest source wins, and alone is checked. */
function choose<T>(
  setting: Setting<T>,
  candidates: (Candidate | undefined)[],
  defaults: 'standard' | 'embedded',
  problems: string[],
): Chosen<T> {
  const fallback = defaults === 'embedded' && setting.embedded ? setting.embedded : setting.standard
  const rank = candidates.findIndex((candidate) => candidate?.raw !== undefined)
  const candidate = candidates[rank]
  if (!candidate) return { value: fallback(), rank: Infinity, source: 'default' }
  const value = setting.kind.parse(candidate.raw)
  if (value !== undefined) return { value, rank, source: candidate.source }
  const got = setting.secret ? '' : `, not ${show(candidate.raw)}`
  problems.push(`${candidate.source} must be ${setting.kind.accepts}${got}`)
  return { value: fallback(), rank, source: candidate.source }
}

/** `data` and `in-memory` contradict each other: the stronger source decides, and one source must not say both. */
function chooseData(data: Chosen<string>, inMemory: Chosen<boolean>, problems: string[]): string | null {
  if (!inMemory.value) return data.value
  if (data.rank === inMemory.rank && data.rank !== Infinity)
    problems.push(`${inMemory.source} and ${data.source} contradict each other: give one of them`)
  return data.rank < inMemory.rank ? data.value : null
}

/** Kubernetes gives every container LEVERET_PORT=tcp://…, LEVERET_SERVICE_HOST and more where a service is called leveret. */
function withoutServiceLinks(env: ConfigSources['env']): ConfigSources['env'] {
  const isLink = (name: string, value = '') =>
    /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => !isLink(name, value)))
}

function firstGiven(candidates: Candidate[]): Candidate | undefined {
  return candidates.find((candidate) => candidate.raw !== undefined)
}

function unknownNames(names: readonly string[], known: readonly string[], where: string): string[] {
  return names
    .filter((name) => !known.includes(name))
    .map((name) => `Unknown setting ${name}${where && ` in ${where}`}${didYouMean(name, known)}`)
}

function show(raw: unknown): string {
  return typeof raw === 'bigint' || typeof raw === 'function' ? String(raw) : (JSON.stringify(raw) ?? String(raw))
}
