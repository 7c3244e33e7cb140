// Accepts AMQP connections, with TLS or without.
import { createServer, type Server, type Socket } from 'node:net'
import { Connection } from './connection'
import type { Hub } from './hub'
import { SharedReads } from './shared-reads'

/** In PEM form. */
export interface TlsIdentity {
  cert: Buffer
  key: Buffer
}

export class Listener {
  private constructor(
    private readonly server: Server,
    readonly host: string,
    readonly port: number,
  ) {}

  /** Port 0 takes a free one. Rejects with the system's error (EADDRINUSE, EACCES), or with that of a certificate that is none. */
  static async open(hub: Hub, host: string, port: number, tls: TlsIdentity | null = null): Promise<Listener> {
    const server = tls === null ? plainServer(hub) : await tlsServer(hub, tls)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 1024 }, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
    server.on('error', (error) => hub.log.warn('Listener error', { error: error.message }))
    const address = server.address() as { address: string; port: number }
    return new Listener(server, address.address, address.port)
  }

  /** No new connections; those open stay. */
  close(): void {
    this.server.close()
  }
}

const SOCKETS = { allowHalfOpen: true, noDelay: true }

function plainServer(hub: Hub): Server {
  const reads = new SharedReads()
  return createServer({ ...SOCKETS, pauseOnConnect: true }, (socket) => {
    if (hasRoom(hub, socket)) reads.takeOver(socket, (taken) => new Connection(taken, hub).onData)
  })
}

async function tlsServer(hub: Hub, identity: TlsIdentity): Promise<Server> {
  const tls = await import('node:tls') // takes 6 ms of the start
  const server = tls.createServer({ ...SOCKETS, ...identity, handshakeTimeout: hub.limits.handshakeMs }, (socket) => {
    const agreed = { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name }
    if (hasRoom(hub, socket)) socket.on('data', new Connection(socket, hub, agreed).onData)
  })
  server.on('tlsClientError', (error, { remoteAddress }) => {
    hub.log.warn('TLS handshake failed', { peer: remoteAddress, error: error.message })
  })
  return server
}

function hasRoom(hub: Hub, socket: Socket): boolean {
  if (hub.open.size < hub.limits.connectionsMax) return true
  hub.log.warn('Connection refused: limit reached', { limit: hub.limits.connectionsMax })
  socket.destroy()
  return false
}
