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
    private readonly strangers: Strangers,
    readonly host: string,
    readonly port: number,
  ) {}

  /** Port 0 takes a free one. Rejects with the system's error (EADDRINUSE, EACCES). */
  static async open(hub: Hub, host: string, port: number, tls: TlsIdentity | null = null): Promise<Listener> {
    const strangers: Strangers = new Map()
    const server = tls === null ? plainServer(hub) : await tlsServer(hub, tls, strangers)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 1024 }, () => {
        server.removeListener('error', reject)
        resolve()
      })
    })
    server.on('error', (error) => hub.log.warn('Listener error', { error: error.message }))
    const address = server.address() as { address: string; port: number }
    return new Listener(server, strangers, address.address, address.port)
  }

  /** No new connections; those open stay. */
  close(): void {
    this.server.close()
    for (const socket of this.strangers.values()) socket.destroy()
  }
}

/** By address and port: who is in the middle of a TLS handshake, and is no connection yet. */
type Strangers = Map<string, Socket>
const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

const SOCKETS = { allowHalfOpen: true, noDelay: true }

function plainServer(hub: Hub): Server {
  const reads = new SharedReads()
  return createServer({ ...SOCKETS, pauseOnConnect: true }, (socket) => {
    if (hasRoom(hub, socket)) reads.takeOver(socket, (taken) => new Connection(taken, hub).onData)
  })
}

async function tlsServer(hub: Hub, identity: TlsIdentity, strangers: Strangers): Promise<Server> {
  const tls = await import('node:tls') // takes 6 ms of the start
  const server = tls.createServer({ ...SOCKETS, ...identity, handshakeTimeout: hub.limits.handshakeMs }, (socket) => {
    strangers.delete(peerOf(socket))
    const agreed = { protocol: socket.getProtocol() ?? '', cipher: socket.getCipher().name }
    if (hasRoom(hub, socket)) socket.on('data', new Connection(socket, hub, agreed).onData)
  })
  server.on('connection', (socket: Socket) => {
    if (!hasRoom(hub, socket, strangers.size)) return
    const peer = peerOf(socket)
    strangers.set(peer, socket)
    socket.once('close', () => strangers.delete(peer))
  })
  server.on('tlsClientError', (error, { remoteAddress }) => {
    hub.log.warn('TLS handshake failed', { peer: remoteAddress, error: error.message })
  })
  return server
}

function hasRoom(hub: Hub, socket: Socket, more = 0): boolean {
  if (hub.open.size + more < hub.limits.connectionsMax) return true
  hub.log.warn('Connection refused: limit reached', { limit: hub.limits.connectionsMax })
  socket.destroy()
  return false
}
