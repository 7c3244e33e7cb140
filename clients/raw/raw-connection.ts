// A connection that sends whatever it is told, legal or not, and hands out what comes back frame by frame. It does
// nothing by itself: no heartbeats, no close-ok, no check of states. The start of a session is `handshake`; parts of it
// can be done by hand. For specifications and experiments, not for programs.
import { connect, type Socket } from 'node:net'
import {
  decodeMethod,
  encodeMethod,
  type FieldTable,
  FrameParser,
  type FrameSink,
  type MethodArgs,
  type MethodName,
} from '../../protocol'
import { describe, Inbox, type Received } from './inbox'
import { RawChannel } from './raw-channel'
import { anyFrame, methodNameOf, protocolHeader } from './wire'

export interface RawOptions {
  /** No wait lasts longer than this unless it says so itself. */
  waitMs?: number
}

export interface HandshakeOptions {
  user?: string
  password?: string
  vhost?: string
  mechanism?: string
  response?: Buffer
  clientProperties?: FieldTable
  /** Replaces what the server proposed. */
  tune?: { channelMax?: number; frameMax?: number; heartbeat?: number }
}

const waitMsDefault = 8000

/** Capabilities of a client that understands everything a server may send. */
export const fullCapabilities = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  authentication_failure_close: true,
}

export class RawConnection {
  /** Of connection.start. */
  serverProperties: FieldTable = {}
  /** As sent in tune-ok. */
  tuned = { channelMax: 0, frameMax: 0, heartbeat: 0 }
  heartbeatCount = 0
  readonly socketClosed: Promise<void>

  private readonly inboxes = new Map<number, Inbox>()
  private readonly waitMs: number
  private readonly parser = new FrameParser(this.sink(), 0xffffffff)
  private held: Buffer[] | null = null
  private endReason: string | null = null
  private roundTripChannel: RawChannel | null = null
  private rawReader: ((bytes: Buffer) => void) | null = null

  private constructor(
    private readonly socket: Socket,
    readonly url: URL,
    options: RawOptions,
  ) {
    this.waitMs = options.waitMs ?? waitMsDefault
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.onData(chunk))
    socket.on('error', () => {}) // 'close' follows, and tells all who wait
    this.socketClosed = new Promise((resolve) => {
      socket.on('close', () => {
        this.end('the socket was closed')
        resolve()
      })
    })
  }

  /** TCP only; nothing is sent. */
  static connect(url: string, options: RawOptions = {}): Promise<RawConnection> {
    const target = new URL(url)
    return new Promise((resolve, reject) => {
      const socket = connect(Number(target.port || 5672), target.hostname)
      socket.setTimeout(options.waitMs ?? waitMsDefault, () =>
        socket.destroy(new Error(`no connection to ${target.host}`)),
      )
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        socket.setTimeout(0)
        resolve(new RawConnection(socket, target, options))
      })
    })
  }

  /** TCP and handshake. */
  static async open(url: string, options: HandshakeOptions & RawOptions = {}): Promise<RawConnection> {
    const connection = await RawConnection.connect(url, options)
    await connection.handshake(options)
    return connection
  }

  // -- sending --------------------------------------------------------------------------------------------------------

  write(...bytes: Buffer[]): void {
    if (this.held) this.held.push(...bytes)
    else this.socket.write(bytes.length === 1 ? bytes[0] : Buffer.concat(bytes))
  }

  /** Arguments not given are 0, false, empty. */
  send<N extends MethodName>(channel: number, name: N, args: Partial<MethodArgs<N>> = {}): void {
    this.write(encodeMethod(name, channel, args))
  }

  sendFrame(type: number, channel: number, payload: Buffer): void {
    this.write(anyFrame(type, channel, payload))
  }

  /** Everything sent by `action` leaves in one write. */
  inOneWrite(action: () => void): void {
    this.socket.write(this.gather(action))
  }

  /** What `action` sends, unsent. */
  gather(action: () => void): Buffer {
    this.held = []
    try {
      action()
      return Buffer.concat(this.held)
    } finally {
      this.held = null
    }
  }

  /** Everything written so far has left this process: the next write arrives as a chunk of its own, most likely. */
  written(): Promise<void> {
    return new Promise((resolve) => this.socket.write('', () => resolve()))
  }

  /** Nothing is read until `resume`: the peer's writes fill up its buffers. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  // -- receiving ------------------------------------------------------------------------------------------------------

  /** The next frame on the channel, whatever it is. */
  next(channel: number, expected = 'a frame', waitMs?: number): Promise<Received> {
    return this.inbox(channel).next(expected, waitMs)
  }

  /** The next frame on the channel, which must be this method; its arguments. */
  async expect<N extends MethodName>(channel: number, name: N, waitMs?: number): Promise<MethodArgs<N>> {
    const received = await this.next(channel, name, waitMs)
    if (received.kind !== 'method' || received.name !== name) {
      throw new Error(`channel ${channel}: expected ${name}, got ${describe(received)}`)
    }
    return received.args as MethodArgs<N>
  }

  /** What has arrived on the channel and nobody has asked for. */
  drain(channel: number): Received[] {
    return this.inboxes.get(channel)?.drain() ?? []
  }

  /** From now on received bytes are gathered and not parsed; resolves with all of them when the socket closes. */
  readRawToEnd(waitMs = this.waitMs): Promise<Buffer> {
    const chunks: Buffer[] = []
    this.rawReader = (bytes) => chunks.push(bytes)
    return this.untilClosed(waitMs).then(() => Buffer.concat(chunks))
  }

  /** As readRawToEnd, and resolves as soon as `size` bytes are there. */
  readRaw(size: number, waitMs = this.waitMs): Promise<Buffer> {
    let bytes = Buffer.alloc(0)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${bytes.length} of ${size} bytes within ${waitMs} ms`)), waitMs)
      this.rawReader = (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        if (bytes.length < size) return
        clearTimeout(timer)
        resolve(bytes)
      }
    })
  }

  /** The peer closes the socket, and has sent no connection.close before. */
  async expectDropped(waitMs = this.waitMs): Promise<void> {
    await this.untilClosed(waitMs)
    const seen = this.drain(0).filter((received) => received.kind !== 'heartbeat')
    if (seen.length > 0) throw new Error(`expected a dropped socket, got ${seen.map(describe).join(', ')}`)
  }

  /** connection.close comes, is answered, and the socket ends. */
  async expectClose(waitMs?: number): Promise<CloseReason> {
    const reason = closeReason(await this.expect(0, 'connection.close', waitMs))
    this.send(0, 'connection.close-ok')
    await this.untilClosed(this.waitMs)
    return reason
  }

  get isClosed(): boolean {
    return this.endReason !== null
  }

  // -- the session ----------------------------------------------------------------------------------------------------

  async handshake(options: HandshakeOptions = {}): Promise<void> {
    await this.authenticate(options)
    await this.tune(options.tune)
    await this.openVhost(options.vhost)
  }

  /** Protocol header to start-ok. */
  async authenticate(options: HandshakeOptions = {}): Promise<void> {
    this.write(protocolHeader)
    const start = await this.expect(0, 'connection.start')
    this.serverProperties = start.serverProperties
    const user = options.user ?? (decodeURIComponent(this.url.username) || 'guest')
    const password = options.password ?? (decodeURIComponent(this.url.password) || 'guest')
    this.send(0, 'connection.start-ok', {
      clientProperties: options.clientProperties ?? { capabilities: fullCapabilities },
      mechanism: options.mechanism ?? 'PLAIN',
      response: options.response ?? Buffer.from(`\0${user}\0${password}`),
      locale: 'en_US',
    })
  }

  /** tune and tune-ok. */
  async tune(wanted: HandshakeOptions['tune'] = {}): Promise<MethodArgs<'connection.tune'>> {
    const proposed = await this.expect(0, 'connection.tune')
    const heartbeat = 0 // beats are sent by hand only, so none are promised
    const { channelMax, frameMax } = proposed
    this.tuned = { channelMax, frameMax, heartbeat, ...wanted }
    this.send(0, 'connection.tune-ok', this.tuned)
    return proposed
  }

  async openVhost(vhost = vhostOf(this.url)): Promise<void> {
    this.send(0, 'connection.open', { virtualHost: vhost })
    await this.expect(0, 'connection.open-ok')
  }

  channel(number: number): RawChannel {
    return new RawChannel(this, number)
  }

  async openChannel(number = 1): Promise<RawChannel> {
    const channel = this.channel(number)
    await channel.call('channel.open')
    return channel
  }

  /** Everything sent before has been read by the server, on whatever channel. Opens a channel for it, once. */
  async roundTrip(): Promise<void> {
    this.roundTripChannel ??= await this.openChannel(this.tuned.channelMax)
    await this.roundTripChannel.call('channel.flow', { active: true })
  }

  /** In good order where the peer still answers; by force otherwise. Never fails. */
  async close(waitMs = 2000): Promise<void> {
    if (!this.isClosed) {
      this.drain(0)
      this.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' })
      await this.expect(0, 'connection.close-ok', waitMs).catch(() => {})
    }
    await this.destroy()
  }

  /** As a crash would. */
  async destroy(): Promise<void> {
    this.socket.destroy()
    await this.socketClosed
  }

  // -- inside ---------------------------------------------------------------------------------------------------------

  private onData(chunk: Buffer): void {
    if (this.rawReader) {
      this.rawReader(chunk)
      return
    }
    try {
      this.parser.push(chunk)
    } catch (error) {
      this.end(`what the server sent cannot be read: ${(error as Error).message}`)
      this.socket.destroy()
    }
  }

  /** Frames as they come; their bytes are copied, since the parser's ranges live for one call only. */
  private sink(): FrameSink {
    const put = (frame: Received) => this.inbox(frame.channel).put(frame)
    return {
      onMethod: (channel, methodId, buf, start, end) => {
        const frame: Received = { kind: 'method', channel, ...decodeMethod(methodId, buf, start, end) }
        put(frame)
        if (frame.name === 'connection.close') this.endChannels(describe(frame))
      },
      onHeader: (channel, buf, start, end) =>
        put({
          kind: 'header',
          channel,
          classId: buf.readUInt16BE(start),
          bodySize: Number(buf.readBigUInt64BE(start + 4)),
          properties: Buffer.from(buf.subarray(start + 12, end)),
        }),
      onBody: (channel, buf, start, end) =>
        put({ kind: 'body', channel, bytes: Buffer.from(buf.subarray(start, end)) }),
      onHeartbeat: () => {
        this.heartbeatCount++
      },
    }
  }

  private inbox(channel: number): Inbox {
    let inbox = this.inboxes.get(channel)
    if (!inbox) {
      inbox = new Inbox(`channel ${channel}`, this.waitMs)
      if (this.endReason !== null) inbox.end(this.endReason)
      this.inboxes.set(channel, inbox)
    }
    return inbox
  }

  private endChannels(reason: string): void {
    for (const [number, inbox] of this.inboxes) if (number !== 0) inbox.end(reason)
  }

  private end(reason: string): void {
    this.endReason ??= reason
    for (const inbox of this.inboxes.values()) inbox.end(reason)
  }

  private untilClosed(waitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the socket is still open after ${waitMs} ms`)), waitMs)
      this.socketClosed.then(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

/** What a close method says; `method` is the one it blames, 'none' for 0/0. */
export interface CloseReason {
  code: number
  text: string
  method: string
}

export function closeReason(args: MethodArgs<'connection.close'>): CloseReason {
  const id = (args.classId << 16) | args.methodId
  return { code: args.replyCode, text: args.replyText, method: id === 0 ? 'none' : methodNameOf(id) }
}

function vhostOf(url: URL): string {
  return url.pathname.length > 1 ? decodeURIComponent(url.pathname.slice(1)) : '/'
}
