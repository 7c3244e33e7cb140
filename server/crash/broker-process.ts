// A broker in a process of its own, on a data directory, to be killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface BrokerProcess {
  child: ChildProcess
  amqp: string
  http: string
}

/** null: it ended before it was ready. */
export async function startBroker(directory: string, onSpawned: (child: ChildProcess) => void = () => {}) {
  const args = ['start', '--data', directory, '--host', '127.0.0.1', '--port', '0']
  const more = ['--admin-host', '127.0.0.1', '--admin-port', '0', '--memory-limit', '32MB']
  const child = spawn(process.execPath, [join(__dirname, '..', 'main.js'), ...args, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onSpawned(child)
  let amqp = ''
  let http = ''
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    amqp = /^AMQP 0-9-1 on (.*)$/.exec(line)?.[1] ?? amqp
    http = /^HTTP API.* on (.*)$/.exec(line)?.[1] ?? http
    if (line === 'Server startup complete')
      return { child, amqp: withScheme(amqp, 'amqp'), http: withScheme(http, 'http') }
  }
  return null
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
