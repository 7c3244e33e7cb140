// The composition root: builds a broker from a configuration, starts it and stops it. The one place that knows every part.
// Used by the command line (cli/start.ts) and by programs that embed a broker (index.ts).
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { StartupError } from '../storage/log-backend'
import { MemoryBackend } from '../storage/memory-backend'
import { SqliteBackend } from '../storage/sqlite-backend'
import { type BrokerOptions as ConfigOptions, type ResolvedConfig, resolveOptions } from './config'
import { type Clock, systemClock } from './core/clock'
import { Core } from './core/core'
import type { Listener as ListenerView } from './core/core-api'
import { CoreManagement } from './core/management'
import { toLogExchange } from './log-exchange'
import { type Logger, silentLogger } from './logger'
import { Hub } from './net/hub'
import { Listener, type TlsIdentity } from './net/listener'
import { version } from './version'

export interface BrokerOptions extends ConfigOptions {
  /** For tests: a ManualClock stands still until it is advanced. Default: the system's. */
  clock?: Clock
}

export interface StopOptions {
  /** Do not wait for clients to answer the close. */
  hurry?: boolean
}

/** In the data directory, for as long as a backup is made and fetched. */
const BACKUP_FILE = 'leveret.db-backup'

/** Clients that wait for the broker's start try again every few milliseconds, and say four things before they are in. */
const FIRST_CLIENTS_MS = 30

/** How long clients get to answer connection.close when the broker stops. */
const STOP_GRACE_MS = 2000

interface AdminServer {
  host: string
  port: number
  close(): Promise<void>
}

const diskOf = ({ data }: ResolvedConfig): SqliteBackend | null => (data === null ? null : new SqliteBackend(data))

export class Broker {
  private listener: Listener | null = null
  private tlsListener: Listener | null = null
  private admin: AdminServer | null = null
  private stopping: Promise<void> | null = null
  /** Resolves with the reason when the broker cannot go on, and should be stopped. */
  readonly failed: Promise<Error>
  private hurry: () => void = () => {}

  private constructor(
    private readonly config: ResolvedConfig,
    private readonly logger: Logger,
    private readonly hub: Hub,
    private readonly core: Core,
    private readonly management: CoreManagement,
    readonly listeners: ListenerView[],
    disk: SqliteBackend | null,
  ) {
    this.failed = new Promise((resolve) => {
      if (disk !== null) disk.onLost = resolve
    })
  }

  /** Resolves when connections are accepted. Rejects with StartupError or ConfigError, whose messages are for people. `disk`: of the
   *  data directory, when whoever calls has prepared it already. */
  static async start(options: BrokerOptions = {}, disk: SqliteBackend | null = null): Promise<Broker> {
    const { clock = systemClock, ...rest } = options
    const config = resolveOptions(rest)
    const broker = Broker.build(config, options.logger ?? silentLogger, clock, disk ?? diskOf(config))
    await broker.open()
    return broker
  }

  private static build(config: ResolvedConfig, to: Logger, clock: Clock, disk: SqliteBackend | null): Broker {
    const backend = disk ?? new MemoryBackend()
    const identity = { version, nodeName: config.nodeName, clusterName: config.nodeName }
    const limits = {
      channelMax: config.channelMax,
      frameMax: config.frameMax,
      heartbeatSeconds: config.heartbeat,
      messageSizeMax: config.maxMessageSize,
      transactionBytesMax: Math.floor(config.memoryLimit / 4),
      handshakeMs: config.handshakeTimeout,
      connectionsMax: config.maxConnections,
      consumersPerChannelMax: config.consumerMaxPerChannel,
    }
    const logger = toLogExchange(to, (level, text) => core.systemEvents.log(level, text))
    const hub = new Hub(limits, identity, clock, logger)
    const spillPath = config.data === null ? null : join(config.data, 'spill')
    const core: Core = new Core(backend, { ...config, spillPath, clock, log: (message) => logger.warn(message) }, hub)
    hub.attach(core)
    const listeners: ListenerView[] = []
    const management = new CoreManagement(core, {
      ...identity,
      startedAtMs: clock.now(),
      connections: hub.connections,
      listeners,
      memoryLimit: config.memoryLimit,
      now: () => clock.now(),
      after: (ms, callback) => clock.after(ms, callback),
      storage: () => backend.stats(),
      backup: disk === null ? null : () => backUp(disk, join(config.data as string, BACKUP_FILE)),
      whenLoaded: (callback) => hub.whenLoaded(callback),
    })
    return new Broker(config, logger, hub, core, management, listeners, disk)
  }

  private async open(): Promise<void> {
    const { config, hub } = this
    await this.core.start()
    try {
      const identity = config.tlsPort === null ? null : await readIdentity(config)
      this.listener = await Listener.open(hub, config.host, config.port).catch((e) =>
        refuse(e, 'port', config.host, config.port),
      )
      this.listeners.push({ protocol: 'amqp', host: this.listener.host, port: this.listener.port })
      if (config.tlsPort !== null) await this.openTls(config, config.tlsPort, identity)
      if (config.adminPort !== null) await this.openAdmin(config.adminHost, config.adminPort)
    } catch (error) {
      this.listener?.close()
      this.tlsListener?.close()
      for (const connection of [...hub.open]) connection.destroy()
      await new Promise(setImmediate) // the sockets' close events
      hub.stop()
      await this.core.stop()
      throw error
    }
  }

  private async openTls({ host }: ResolvedConfig, port: number, identity: TlsIdentity | null): Promise<void> {
    const open = Listener.open(this.hub, host, port, identity)
    this.tlsListener = await open.catch((error) => refuse(error, 'tls-port', host, port))
    this.listeners.push({ protocol: 'amqp/ssl', host: this.tlsListener.host, port: this.tlsListener.port })
  }

  /** Loaded after AMQP listens, and after those who waited for that were served: Fastify takes longer to load than the rest to start. */
  private async openAdmin(host: string, port: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, FIRST_CLIENTS_MS))
    const { startAdmin } = await import('./admin')
    const options = { host, port, logger: this.logger }
    this.admin = await startAdmin(this.management, options).catch((e: Error) => refuse(e, 'admin-port', host, port))
    this.listeners.push({ protocol: 'http', host: this.admin.host, port: this.admin.port })
  }

  /** Accepts nothing new, closes connections with 320 CONNECTION_FORCED, writes what is left to disk. Call again with `hurry`
   *  to stop waiting for clients. Rejects when the log could not take the rest. */
  stop(options: StopOptions = {}): Promise<void> {
    this.stopping ??= this.shutDown()
    if (options.hurry) this.hurry()
    return this.stopping
  }

  private async shutDown(): Promise<void> {
    this.listener?.close()
    this.tlsListener?.close()
    await this.admin?.close()
    for (const connection of [...this.hub.open])
      connection.close("broker forced connection closure with reason 'shutdown'")
    await this.clientsGone()
    for (const connection of [...this.hub.open]) connection.destroy()
    await new Promise(setImmediate) // the sockets' close events
    this.hub.stop()
    await this.core.stop()
  }

  private clientsGone(): Promise<void> {
    if (this.hub.open.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, STOP_GRACE_MS) // the wall's time: a manual clock must not hang a stop
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      this.hurry = done
      this.hub.whenEmpty(done)
    })
  }

  get port(): number {
    return this.listener?.port ?? 0
  }

  get tlsPort(): number | null {
    return this.tlsListener?.port ?? null
  }

  get adminPort(): number | null {
    return this.admin?.port ?? null
  }

  /** For a client on this machine, as the default user, in the default vhost. */
  get url(): string {
    const { defaultUser, defaultPassword, defaultVhost } = this.config
    const login = `${encodeURIComponent(defaultUser)}:${encodeURIComponent(defaultPassword)}`
    return `amqp://${login}@${reachable(this.config.host)}:${this.port}/${defaultVhost === '/' ? '' : encodeURIComponent(defaultVhost)}`
  }

  get adminUrl(): string | null {
    return this.admin === null ? null : `http://${reachable(this.config.adminHost)}:${this.admin.port}`
  }
}

async function readIdentity({ tlsCert, tlsKey }: ResolvedConfig): Promise<TlsIdentity> {
  const [cert, key] = await Promise.all([readPem('certificate', tlsCert), readPem('key', tlsKey)])
  const { createSecureContext } = await import('node:tls')
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const why = (error as Error).message
    throw new StartupError('unusable', `${tlsCert} and ${tlsKey} are not a certificate and its key: ${why}.`)
  }
  return { cert, key }
}

function readPem(what: string, file: string | null): Promise<Buffer> {
  return readFile(file ?? '').catch((error: Error) => {
    throw new StartupError('unusable', `Cannot read the TLS ${what}: ${error.message}. Check --tls-cert and --tls-key.`)
  })
}

/** Whole, or not there. What an earlier process left is overwritten. */
async function backUp(disk: SqliteBackend, file: string): Promise<string> {
  await rm(file, { force: true })
  await disk.backup(file)
  return file
}

/** A listener on all interfaces is reached through loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::' || host === '') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

function refuse(error: NodeJS.ErrnoException, option: string, host: string, port: number): never {
  const where = `${host}:${port}`
  if (error.code === 'EADDRINUSE') {
    throw new StartupError(
      'unusable',
      `${where} is in use by another program. Stop it, or choose another port with --${option}.`,
    )
  }
  if (error.code === 'EACCES') {
    throw new StartupError('unusable', `No right to listen on ${where}. Choose a port above 1023 with --${option}.`)
  }
  throw new StartupError('unusable', `Cannot listen on ${where}: ${error.message}`)
}
