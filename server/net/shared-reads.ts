// All sockets of a broker read into one buffer. A socket of a server gives each chunk a fresh buffer of 64 KiB and passes it
// through a stream, which is a fifth of what messages of 1 KiB cost; the option `onread` of net.Socket avoids both, but a
// server gives the sockets it makes no options. So the connection's handle goes on to a socket made here. Called by the listener.
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'

/** What Node.js reads at most in one go. */
const READ_BYTES = 64 * 1024

/** What the documentation of net.Socket leaves out. */
interface WithHandle {
  _handle: object | null
}

export class SharedReads {
  private readonly buffer = Buffer.allocUnsafeSlow(READ_BYTES)

  /** Takes over a socket that is paused since it was accepted (`pauseOnConnect`), and is not to be used any more. `connect` gets the one to
   *  use, and returns who is called with each chunk, which is gone when the call returns. */
  takeOver(accepted: Socket, connect: (socket: Socket) => (chunk: Buffer) => void): void {
    const { _handle: handle } = accepted as unknown as WithHandle
    if (handle === null || typeof handle !== 'object') {
      accepted.on('data', connect(accepted)).resume()
      return
    }
    ;(accepted as unknown as WithHandle)._handle = null
    let onChunk: (chunk: Buffer) => void = () => {}
    const options: SocketConstructorOpts & { handle: object; onread: OnReadOpts } = {
      handle,
      allowHalfOpen: true,
      onread: {
        buffer: this.buffer,
        callback: (bytes) => {
          onChunk(this.buffer.subarray(0, bytes))
          return true
        },
      },
    }
    const socket = new Socket(options)
    onChunk = connect(socket)
    socket.resume()
  }
}
