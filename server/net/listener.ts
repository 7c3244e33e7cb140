// Accepts AMQP connections.
import { createServer, type Server } from 'node:net'
import { Connection } from './connection'
import type { Hub } from './hub'
import { SharedReads } from './shared-reads'

export class Listener {
  private constructor(
    private readonly server: Server,
    readonly host: string,
    readonly port: number,
  ) {}

  /** Port 0 takes a free one. Rejects with the system's error (EADDRINUSE, EACCES). */
  static open(hub: Hub, host: string, port: number): Promise<Listener> {
    return new Promise((resolve, reject) => {
      const reads = new SharedReads()
      const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        if (hub.open.size >= hub.limits.connectionsMax) {
          hub.log.warn('Connection refused: limit reached', { limit: hub.limits.connectionsMax })
          socket.destroy()
        } else reads.takeOver(socket, (taken) => new Connection(taken, hub).onData)
      })
      server.once('error', reject)
      server.listen({ host, port, backlog: 1024 }, () => {
        server.removeListener('error', reject)
        server.on('error', (error) => hub.log.warn('Listener error', { error: error.message }))
        const address = server.address() as { address: string; port: number }
        resolve(new Listener(server, address.address, address.port))
      })
    })
  }

  /** No new connections; those open stay. */
  close(): void {
    this.server.close()
  }
}
