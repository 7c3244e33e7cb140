// Brokers to measure: ours and Debian's RabbitMQ, each started on free ports with a data folder of its own, or one
// that runs already. Whoever starts one gets its process id, for its CPU seconds and memory, and must stop it.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type CertificateFiles, makeCertificate } from '../clients/raw'
import { parseAmqpUrl } from './generator/amqp-url'
import { Link } from './generator/link'
import { nowUs } from './generator/monotonic'
import { Probe } from './probe/probe'

const startTimeoutMs = 90_000
const stopTimeoutMs = 30_000
const connectRetryMs = 3

export interface RunningBroker {
  url: string
  /** The same with TLS; null where the broker has no such port, as far as we know. */
  tlsUrl: string | null
  pid: number | null
  /** From the start of its process to the first connection that was opened in full; null when it ran already. */
  startMs: number | null
  /** Product and version, as it says in connection.start. */
  product: string
  /** null when it ran already. */
  dataDirectory: string | null
  /** A look inside; null where none was asked for. */
  probe: Probe | null
  stop(): Promise<void>
}

export interface BrokerSource {
  name: string
  /** `hasTls`: with a port for TLS, too; takes the openssl command. */
  start(hasTls?: boolean): Promise<RunningBroker>
}

interface Settings {
  dataParent: string | null
  profile: string | null
  /** More options for the broker's command line. */
  options?: string[]
  /** Lets the bench look inside the process while it works. */
  isProbed?: boolean
}

export function runningBroker(url: string, pid: number | null): BrokerSource {
  const start = async (): Promise<RunningBroker> => {
    const product = await productAt(url)
    const tlsUrl = parseAmqpUrl(url).tls ? url : null
    return { url, tlsUrl, pid, startMs: null, product, dataDirectory: null, probe: null, stop: async () => {} }
  }
  return { name: 'broker', start }
}

export function leveret(settings: Settings): BrokerSource {
  const start = async (hasTls = false): Promise<RunningBroker> => {
    const folder = makeFolder(settings)
    const [port, tlsPort, adminPort] = await freePorts(3)
    const profile = settings.profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${settings.profile}`]
    const main = join(__dirname, '..', 'server', 'main.js')
    const { isProbed = false, options = [] } = settings
    const probe = isProbed ? ['--require', join(__dirname, 'probe', 'inside.js')] : []
    const args = [...profile, ...probe, ...NODE_FLAGS, main, 'start', '--data', join(folder, 'data'), ...options]
    const amqp = ['--host', '127.0.0.1', '--port', String(port)]
    const tls = hasTls ? tlsOptions(tlsPort, makeCertificate(folder)) : []
    const admin = ['--admin-host', '127.0.0.1', '--admin-port', String(adminPort)]
    const { env, execPath: command } = process
    return launch({
      folder,
      port,
      tlsPort: hasTls ? tlsPort : null,
      command,
      args: [...args, ...amqp, ...tls, ...admin],
      env,
      isProbed,
    })
  }
  return { name: 'leveret', start }
}

const tlsOptions = (port: number, { cert, key }: CertificateFiles): string[] => [
  ...['--tls-port', String(port)],
  ...['--tls-cert', cert, '--tls-key', key],
]

const rabbitmqTls = (port: number, { cert, key }: CertificateFiles): string[] => [
  `listeners.ssl.1 = 127.0.0.1:${port}`,
  `ssl_options.certfile = ${cert}`,
  `ssl_options.keyfile = ${key}`,
]

/** Those that `npm start` and the leveret command give. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--heap-growing-percent=25']

const rabbitmqServer = '/usr/lib/rabbitmq/bin/rabbitmq-server'

/** Debian's package as it comes, but for ports, folders and a log level that leaves the disk alone. Installed if it is not there.
 *  Throws where that cannot be. */
export function rabbitmq(settings: Settings): BrokerSource {
  if (!existsSync(rabbitmqServer)) installRabbitmq()
  const start = async (hasTls = false): Promise<RunningBroker> => {
    const folder = makeFolder(settings)
    const [port, tlsPort, distributionPort, epmdPort] = await freePorts(4)
    const tls = hasTls ? rabbitmqTls(tlsPort, makeCertificate(folder)) : []
    const env = rabbitmqEnvironment(folder, port, distributionPort, epmdPort, tls)
    const pidFile = env.RABBITMQ_PID_FILE
    const onStopped = (): void => stopEpmd(epmdPort)
    return launch({
      folder,
      port,
      tlsPort: hasTls ? tlsPort : null,
      command: rabbitmqServer,
      args: [],
      env,
      pidFile,
      onStopped,
    })
  }
  return { name: 'rabbitmq', start }
}

function installRabbitmq(): void {
  const install = ['install', '-y', '--no-install-recommends', 'rabbitmq-server']
  const command = `apt-get ${install.join(' ')}`
  if (process.getuid?.() !== 0) throw new Error(`RabbitMQ is not installed. As root: ${command}`)
  console.error(`RabbitMQ is not installed: ${command}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    execFileSync('apt-get', ['update', '-q'], { env, stdio: ['ignore', 2, 2] })
    execFileSync('apt-get', install, { env, stdio: ['ignore', 2, 2] })
  } catch (error) {
    throw new Error(`RabbitMQ could not be installed: ${(error as Error).message}`)
  }
}

function rabbitmqEnvironment(
  folder: string,
  port: number,
  distributionPort: number,
  epmdPort: number,
  tls: readonly string[],
) {
  const at = (name: string): string => join(folder, name)
  for (const name of ['home', 'data', 'log']) mkdirSync(at(name))
  writeFileSync(at('plugins'), '[].')
  const config = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    ...tls,
    `distribution.listener.interface = 127.0.0.1`,
    `distribution.listener.port_range.min = ${distributionPort}`,
    `distribution.listener.port_range.max = ${distributionPort}`,
    'log.console = false',
    'log.file.level = warning',
    'disk_free_limit.absolute = 1GB',
  ]
  writeFileSync(at('rabbitmq.conf'), `${config.join('\n')}\n`)
  return {
    ...process.env,
    HOME: at('home'), // the Erlang cookie goes there
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort), // not the machine's own epmd, if it has one
    RABBITMQ_NODENAME: `bench${port}@localhost`,
    RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_ENABLED_PLUGINS_FILE: at('plugins'),
    RABBITMQ_MNESIA_BASE: at('data'),
    RABBITMQ_LOG_BASE: at('log'),
    RABBITMQ_PID_FILE: at('pid'),
  }
}

function stopEpmd(port: number): void {
  try {
    execFileSync('epmd', ['-port', String(port), '-kill'], { stdio: 'ignore' })
  } catch {
    // Gone already.
  }
}

interface Launch {
  folder: string
  port: number
  tlsPort: number | null
  command: string
  args: string[]
  env: NodeJS.ProcessEnv
  /** Where the broker writes its process id when the command is only a script around it. */
  pidFile?: string
  isProbed?: boolean
  onStopped?: () => void
}

async function launch(how: Launch): Promise<RunningBroker> {
  const logPath = join(how.folder, 'output')
  const log = openSync(logPath, 'w')
  const startedUs = nowUs()
  // A process group of its own: an interrupt at the terminal is the bench's to handle, and all of it can be ended at once.
  const child = spawn(how.command, how.args, {
    cwd: how.folder,
    env: how.env,
    stdio: ['ignore', log, log, ...(how.isProbed ? (['ipc'] as const) : [])],
    detached: true,
  })
  closeSync(log)
  const cleanUp = (): void => {
    how.onStopped?.()
    rmSync(how.folder, { recursive: true, force: true })
  }
  const onAbort = (): void => {
    if (child.pid !== undefined) signal(-child.pid, 'SIGKILL')
    cleanUp()
  }
  process.once('exit', onAbort)
  const url = `amqp://guest:guest@127.0.0.1:${how.port}`
  const tlsUrl = how.tlsPort === null ? null : `amqps://guest:guest@127.0.0.1:${how.tlsPort}`
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async (): Promise<void> => {
    await terminate(brokerPid(how, child), exited)
    process.off('exit', onAbort)
    cleanUp()
  }
  try {
    const product = await firstConnection(url, child)
    const startMs = (nowUs() - startedUs) / 1000
    const probe = how.isProbed ? new Probe(child) : null
    return {
      url,
      tlsUrl,
      pid: brokerPid(how, child),
      startMs,
      product,
      dataDirectory: join(how.folder, 'data'),
      probe,
      stop,
    }
  } catch (error) {
    const output = readFileSync(logPath, 'utf8').trim().split('\n').slice(-10).join('\n')
    await stop()
    throw new Error(`${how.command} did not start: ${(error as Error).message}\n${output}`)
  }
}

async function firstConnection(url: string, child: ChildProcess): Promise<string> {
  const deadlineUs = nowUs() + startTimeoutMs * 1000
  for (;;) {
    try {
      return await productAt(url)
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('it exited')
      if (child.pid === undefined) throw new Error('its program is not there')
      if (nowUs() > deadlineUs) throw error
    }
    await delay(connectRetryMs)
  }
}

function brokerPid(how: Launch, child: ChildProcess): number | null {
  if (how.pidFile === undefined) return child.pid ?? null
  return existsSync(how.pidFile) ? Number(readFileSync(how.pidFile, 'utf8')) : (child.pid ?? null)
}

async function terminate(pid: number | null, exited: Promise<void>): Promise<void> {
  if (pid === null) return
  signal(pid, 'SIGTERM')
  const timeout = new AbortController()
  const killer = delay(stopTimeoutMs, undefined, { signal: timeout.signal }).then(
    () => signal(pid, 'SIGKILL'),
    () => {},
  )
  await exited
  timeout.abort()
  await killer
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has exited by itself.
  }
}

async function productAt(url: string): Promise<string> {
  const link = await Link.open(parseAmqpUrl(url))
  const product = link.product
  await link.close()
  return product
}

function makeFolder(settings: Settings): string {
  return mkdtempSync(join(settings.dataParent ?? tmpdir(), 'bench-broker-'))
}

/** All held open until the last is known, so that none comes twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
