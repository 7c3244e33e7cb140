// A broker in a process of its own, on a data directory, to be killed or to have its disk taken away.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface BrokerProcess {
  child: ChildProcess
  amqp: string
  http: string
  /** The lines it prints, as they come. */
  log: string[]
}

export interface BrokerSettings {
  memoryLimit?: string
  env?: NodeJS.ProcessEnv
  onSpawned?: (child: ChildProcess) => void
}

/** null: it ended before it was ready. */
export function startBroker(directory: string, settings: BrokerSettings = {}): Promise<BrokerProcess | null> {
  const { memoryLimit = '32MB', env = {}, onSpawned } = settings
  const args = ['start', '--data', directory, '--host', '127.0.0.1', '--port', '0', '--memory-limit', memoryLimit]
  const admin = ['--admin-host', '127.0.0.1', '--admin-port', '0']
  const child = spawn(process.execPath, [join(__dirname, '..', 'main.js'), ...args, ...admin], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  onSpawned?.(child)
  const broker: BrokerProcess = { child, amqp: '', http: '', log: [] }
  return new Promise((resolve) => {
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    lines.on('close', () => resolve(null))
    lines.on('line', (line) => {
      broker.log.push(line)
      const [, protocol, address] = /^(AMQP 0-9-1|HTTP API).* on (.*)$/.exec(line) ?? []
      if (protocol === 'HTTP API') broker.http = withScheme(address, 'http')
      else if (protocol !== undefined) broker.amqp = withScheme(address, 'amqp')
      if (line === 'Server startup complete') resolve(broker)
    })
  })
}

function withScheme(address: string, scheme: string): string {
  return address.includes('://') ? address : `${scheme}://${address}`
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
