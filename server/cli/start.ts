// `leveret start`: runs a broker, says where it listens, and stops it when the process is told to. Called by
// command-line.ts.
import { resolve } from 'node:path'
import type { SqliteBackend } from '../../storage/sqlite-backend'
import type { Broker } from '../broker'
import type { CliConfig } from '../config'
import { createLineLogger } from '../logger'
import { type CliContext, CommandError } from './context'
import { readConfig } from './read-config'

/** A second signal wants the process gone: it does not live longer than this. */
const hurryMs = 3000

/** Ctrl-C under `npm start` arrives twice, from the terminal and passed on by npm: that is one wish, not two. */
const echoMs = 500

/** Resolves with the exit code when the broker has stopped. Rejects when it cannot start or not stop properly. */
export async function start(options: Readonly<Record<string, unknown>>, context: CliContext): Promise<number> {
  const { logLevel, ...config } = await readConfig(options, context)
  const stopSignals = watchStopSignals(context)
  const disk = config.data === null ? null : await diskThread(config.data)
  const { Broker } = await import('../broker')
  const logger = createLineLogger(logLevel, context.print)
  const broker = await Broker.start({ ...config, logger }, disk).catch(explainMissingBinding)
  for (const line of describeBroker(broker, config)) context.print(line)
  context.print('Server startup complete') // what test containers and scripts wait for, word for word
  const failure = await Promise.race([stopSignals.first, broker.failed])
  if (failure) {
    logger.error(`The broker cannot go on and stops: ${failure.message}. Nothing confirmed is lost. Start it again`)
    await broker.stop().catch(() => {})
    return 1
  }
  context.print('Stopping')
  const stopped = broker.stop()
  void stopSignals.second.then(() => broker.stop({ hurry: true })).catch(() => {}) // `stopped` rejects with the same
  await stopped
  return 0
}

/** Its thread starts while the broker is loaded. */
async function diskThread(data: string): Promise<SqliteBackend> {
  const { SqliteBackend } = await import('../../storage/sqlite-backend')
  return new SqliteBackend(data).prepare()
}

interface StopSignals {
  first: Promise<void>
  second: Promise<void>
}

/** A signal that comes while the broker is still starting is kept until it has started. */
function watchStopSignals(context: CliContext): StopSignals {
  let onFirst = () => {}
  let onSecond = () => {}
  const first = new Promise<void>((resolve) => {
    onFirst = resolve
  })
  const second = new Promise<void>((resolve) => {
    onSecond = resolve
  })
  let takesSecond = false
  context.onStopSignal(() => {
    onFirst()
    setTimeout(() => {
      takesSecond = true
    }, echoMs).unref()
    if (!takesSecond) return
    onSecond()
    setTimeout(() => context.exit(1), hurryMs).unref()
  })
  return { first, second }
}

/** npm 11 holds back the install scripts of a project that has not approved them; a new major Node.js needs a new build. */
function explainMissingBinding(error: Error): never {
  if (!/locate the bindings file|NODE_MODULE_VERSION|invalid ELF header/.test(error.message)) throw error
  throw new CommandError(
    `better-sqlite3, which writes the data directory, is not built for this version of Node.js.
Build it with "npm rebuild better-sqlite3"; it needs Python 3, make and a C++ compiler. Where npm says that install
scripts are held back, run "npm install-scripts approve better-sqlite3" first. --in-memory works without it.`,
  )
}

function describeBroker(broker: Broker, config: Omit<CliConfig, 'logLevel'>): string[] {
  return [
    ...broker.listeners.map(
      ({ protocol, host, port }) => `${titles[protocol] ?? protocol} on ${joinAddress(host, port)}`,
    ),
    config.data === null ? 'Nothing is written to disk' : `Data in ${resolve(config.data)}`,
  ]
}

const titles: Record<string, string> = {
  amqp: 'AMQP 0-9-1',
  'amqp/ssl': 'AMQP 0-9-1 with TLS',
  http: 'HTTP API and metrics',
}

function joinAddress(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
