// `leveret healthcheck`: connects as an AMQP client would and waits for the broker's connection.start. Needs no user and
// no HTTP API, so it holds whatever the settings and users are. Made for Docker's HEALTHCHECK. Called by command-line.ts.
import { connect } from 'node:net'
import { type CliContext, CommandError } from './context'
import { readConfig } from './read-config'

const timeoutMs = 3000
const protocolHeader = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
const methodFrameType = 1
const connectionStart = (10 << 16) | 10 // class and method

export async function healthcheck(options: Readonly<Record<string, unknown>>, context: CliContext): Promise<number> {
  const config = await readConfig(options, context)
  const host = reachable(config.host)
  await greet(host, config.port).catch((error: Error) => {
    throw new CommandError(`No broker greets on ${host}:${config.port}: ${error.message}`)
  })
  return 0
}

/** The address to call for a listener on all addresses. */
function reachable(host: string): string {
  return host === '0.0.0.0' || host === '::' ? 'localhost' : host
}

function greet(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: timeoutMs })
    let received = Buffer.alloc(0)
    socket.on('connect', () => socket.write(protocolHeader))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 11) return // frame header of 7 bytes, class, method
      const greeted = received[0] === methodFrameType && received.readUInt32BE(7) === connectionStart
      finish(greeted ? undefined : new Error('what answers does not speak AMQP 0-9-1'))
    })
    socket.on('timeout', () => finish(new Error(`no answer within ${timeoutMs / 1000} s`)))
    socket.on('error', finish)
    socket.on('close', () => finish(new Error('it closed the connection')))

    function finish(error?: Error): void {
      socket.destroy()
      if (error) reject(error)
      else resolve()
    }
  })
}
