// A client's connection: socket, frames in and out, channel 0, and its channels. The handshake is handshake.ts. Knows when
// the peer takes what is written (isWritable), and parks the parser while a reply waits for the disk.
import type { Socket } from 'node:net'
import {
  ChannelError,
  ConnectionError,
  decodeMethod,
  encodeMethod,
  type FieldTable,
  FrameParser,
  type FrameSink,
  M,
  NO_METHOD,
  ProtocolError,
  ReplyCode,
} from '../../protocol'
import type { ConnectionView, Return } from '../core/core-api'
import { Declarations } from '../core/declarations'
import type { Session } from '../core/session'
import type { Vhost } from '../core/vhost'
import { Channel } from './channel'
import { describeChannel, describeConnection } from './connection-events'
import { Handshake } from './handshake'
import { Heartbeat } from './heartbeat'
import type { Hub } from './hub'
import { Hold, Intake } from './intake'
import type { OutBuffer } from './out-buffer'
import { Outlet } from './outlet'
import type { Transaction } from './transaction'

/** How long a peer may take to answer connection.close. */
const CLOSE_OK_MS = 5000
const { basicPublish } = M
const HEARTBEAT_FRAME = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce])

export class Connection implements ConnectionView, FrameSink {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly peerHost: string
  readonly peerPort: number
  readonly connectedAtMs: number
  readonly channels = new Map<number, Channel>()
  private readonly outlet: Outlet
  readonly parser: FrameParser
  state: 'starting' | 'running' | 'blocked' | 'closing' = 'starting'
  authMechanism = ''
  clientProperties: FieldTable = {}
  channelMax: number
  frameMax: number
  session!: Session
  vhost!: Vhost
  declarations!: Declarations
  wantsCancelNotify = false
  /** basic.qos changes consumers that are there, see Channel.onQos. */
  wantsLivePrefetch = false
  receivedBytes = 0
  receivedFrames = 0
  private readonly handshake: Handshake
  readonly heartbeat: Heartbeat
  private readonly intake: Intake
  /** Has published, so that it is blocked when memory is short. */
  private isPublisher = false
  /** Has published something for the disk since it last waited for it. */
  hasLogged = false
  isFinishing = false
  finishTurn = 0
  private receivedAtBeat = 0
  private wantsBlockedNotify = false
  private isParked = false
  /** Against the limits of its vhost and user. */
  private isCounted = false
  /** Parked until the peer takes what was written. */
  private isHeld = false
  private closingSinceMs = 0

  constructor(
    socket: Socket,
    readonly hub: Hub,
    readonly tls: { protocol: string; cipher: string } | null = null,
  ) {
    this.host = socket.localAddress ?? ''
    this.port = socket.localPort ?? 0
    this.peerHost = socket.remoteAddress ?? ''
    this.peerPort = socket.remotePort ?? 0
    this.name = `${this.peerHost}:${this.peerPort} -> ${this.host}:${this.port}`
    this.connectedAtMs = hub.clock.now()
    this.heartbeat = new Heartbeat(this.connectedAtMs)
    this.intake = new Intake(socket)
    this.channelMax = hub.limits.channelMax
    this.frameMax = hub.limits.frameMax
    this.outlet = new Outlet(socket, hub.pool, {
      onDirty: () => hub.addDirty(this),
      onTurnFull: () => hub.onTurnFull(),
      onRoom: () => this.onRoom(),
    })
    this.parser = new FrameParser(this, hub.limits.frameMax)
    this.handshake = new Handshake(this)
    hub.add(this)
    socket.setNoDelay(true)
    socket.on('close', () => this.onSocketClosed())
    socket.on('error', () => {}) // 'close' follows
    socket.on('end', () => this.onPeerEnded())
  }

  // -- in -------------------------------------------------------------------------------------------------------------

  /** The chunk is not kept. */
  readonly onData = (chunk: Buffer): void => {
    this.receivedBytes += chunk.length
    this.heartbeat.heardMs = this.hub.now
    const { store } = this.hub.core.journal
    store.startBorrowing(chunk)
    try {
      this.guard(() => {
        const rest = this.handshake.isHeaderDue ? this.handshake.onHeaderBytes(chunk) : chunk
        if (rest !== null && rest.length > 0) this.parser.push(rest)
      })
    } finally {
      store.stopBorrowing()
      this.keepBorrowed()
    }
    const { core } = this.hub
    if (this.isFinishing && !this.isAssembling) this.finish()
    if (core.blockedFor !== null) this.blockIfPublishing(core.blockedFor)
    if ((core.journal.isFull && this.hasLogged) || (core.isPressed && this.isPublisher)) this.waitForRoom()
    else if (this.hub.hasReadEnough(chunk.length) && this.isPublisher) this.waitForRoom()
  }

  // -- flow control ---------------------------------------------------------------------------------------------------

  private waitForRoom(): void {
    if (this.intake.isHeldBy(Hold.NoRoom)) return
    this.intake.hold(Hold.NoRoom)
    this.hub.whenRoom(() => {
      this.hasLogged = false
      this.intake.free(Hold.NoRoom)
    })
  }

  blockIfPublishing(reason: string): void {
    if (!this.isPublisher || this.state !== 'running') return
    this.state = 'blocked'
    this.intake.hold(Hold.Blocked)
    if (this.wantsBlockedNotify) this.write(encodeMethod('connection.blocked', 0, { reason }))
  }

  unblock(): void {
    if (this.state !== 'blocked') return
    this.state = 'running'
    this.isFinishing = false
    this.intake.free(Hold.Blocked)
    if (this.wantsBlockedNotify) this.write(encodeMethod('connection.unblocked', 0, {}))
  }

  // See Hub.letOneFinish.

  get canFinish(): boolean {
    return this.state === 'blocked' && this.isAssembling
  }

  /** Reads on until the message under way is whole. */
  letFinish(turn: number): void {
    this.finishTurn = turn
    this.isFinishing = true
    this.receivedAtBeat = this.receivedBytes
    this.intake.free(Hold.Blocked)
  }

  hasReceivedSinceBeat(): boolean {
    const has = this.receivedBytes > this.receivedAtBeat
    this.receivedAtBeat = this.receivedBytes
    return has
  }

  stopFinishing(): void {
    this.isFinishing = false
    if (this.state === 'blocked') this.intake.hold(Hold.Blocked)
  }

  private finish(): void {
    this.stopFinishing()
    this.hub.letOneFinish()
  }

  /** In the middle of a message whose body came in part. */
  private get isAssembling(): boolean {
    for (const channel of this.channels.values()) if (channel.assembly.openBytes > 0) return true
    return false
  }

  /** What a transaction holds cannot leave memory. */
  checkTransaction(tx: Transaction): void {
    const bytesMax = this.hub.limits.transactionBytesMax
    if (tx.bytes <= bytesMax) return
    throw new ConnectionError(
      ReplyCode.RESOURCE_ERROR,
      `transaction holds more than ${bytesMax} bytes of messages`,
      M.basicPublish,
    )
  }

  // -- frames ---------------------------------------------------------------------------------------------------------

  /** Everything that can go wrong with a peer's bytes ends here, in one close frame of the right scope. */
  private guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (error instanceof ProtocolError) this.fail(error)
      else {
        this.hub.log.warn('Internal error', { connection: this.name, error: (error as Error).stack })
        this.fail(new ConnectionError(ReplyCode.INTERNAL_ERROR, 'internal error'))
      }
    }
  }

  /** Messages that the chunk's end has cut keep what they need of it. */
  private keepBorrowed(): void {
    if (!this.isAnyOpen) return
    this.isAnyOpen = false
    for (const { assembly } of this.channels.values()) {
      if (!assembly.isOpen) continue
      assembly.keep()
      this.isAnyOpen = true
    }
  }
  /** Some channel may be in the middle of a message: one was begun since none was. */
  private isAnyOpen = false

  /** Of the frame before: those of one message come one after the other. */
  private lastChannel: Channel | undefined = undefined

  private channelOf(number: number): Channel | undefined {
    if (this.lastChannel?.number !== number) this.lastChannel = this.channels.get(number)
    return this.lastChannel
  }

  onMethod(number: number, id: number, buf: Buffer, start: number, end: number): void {
    this.receivedFrames++
    const channel = this.channelOf(number)
    try {
      if (channel === undefined) this.onOtherMethod(number, id, buf, start, end)
      else if (this.state !== 'closing') {
        channel.onMethod(id, buf, start, end)
        if (id === basicPublish) this.onPublishBegun()
      }
    } catch (error) {
      this.onError(error, id, channel)
    }
  }

  private onPublishBegun(): void {
    this.isAnyOpen = true
    this.isPublisher = true
  }

  onHeader(number: number, buf: Buffer, start: number, end: number): void {
    this.receivedFrames++
    if (this.state === 'closing') return
    const channel = this.channelOf(number)
    try {
      if (channel === undefined) throw this.strayContent(number)
      channel.onHeader(buf, start, end)
    } catch (error) {
      this.onError(error, basicPublish, channel)
    }
  }

  onBody(number: number, buf: Buffer, start: number, end: number): void {
    this.receivedFrames++
    this.onBodyPart(number, buf, start, end, 0)
  }

  onBodyPart(number: number, buf: Buffer, start: number, end: number, left: number): void {
    if (this.state === 'closing') return
    const channel = this.channelOf(number)
    try {
      if (channel === undefined) throw this.strayContent(number)
      channel.onBody(buf, start, end, left)
    } catch (error) {
      this.onError(error, basicPublish, channel)
    }
  }

  onHeartbeat(number: number): void {
    if (number !== 0) throw new ConnectionError(ReplyCode.FRAME_ERROR, 'heartbeat on a channel other than 0')
  }

  private strayContent(number: number): ConnectionError {
    if (number === 0 || this.state === 'starting') {
      return new ConnectionError(ReplyCode.UNEXPECTED_FRAME, 'expected method frame, got non method frame instead')
    }
    return new ConnectionError(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'")
  }

  /** Closes what the error is about. The rest of the chunk is still walked: the peer's answer may be in it. */
  private onError(error: unknown, methodId: number, channel: Channel | undefined): void {
    if (!(error instanceof ProtocolError) || isFraming(error.replyCode)) throw error
    if (error.methodId === 0) error.methodId = methodId
    else if (error.methodId === NO_METHOD) error.methodId = 0
    if (error instanceof ChannelError && channel !== undefined) this.closeChannel(channel, error)
    else this.fail(error)
  }

  // -- channel 0 ------------------------------------------------------------------------------------------------------

  private onOtherMethod(number: number, id: number, buf: Buffer, start: number, end: number): void {
    if (number === 0) this.onConnectionMethod(id, buf, start, end)
    else if (this.state !== 'closing') this.openChannel(number, id, buf, start, end)
  }

  private onConnectionMethod(id: number, buf: Buffer, start: number, end: number): void {
    if (this.state === 'closing') {
      if (id === M.connectionCloseOk) this.end()
      else if (id === M.connectionClose) this.write(encodeMethod('connection.close-ok', 0, {}))
      return
    }
    const method = decodeMethod(id, buf, start, end)
    if (method.name === 'connection.close') {
      this.release()
      this.state = 'closing'
      this.write(encodeMethod('connection.close-ok', 0, {}))
      this.endAfterFlush()
    } else if (this.state === 'starting') this.handshake.onMethod(method)
    else if (method.name === 'connection.update-secret') this.write(encodeMethod('connection.update-secret-ok', 0, {}))
    else if (method.name === 'connection.blocked' || method.name === 'connection.unblocked') return
    else throw new ConnectionError(ReplyCode.CHANNEL_ERROR, 'unexpected method in connection state running')
  }

  /** The handshake is done. */
  start(session: Session, vhost: Vhost): void {
    const { capabilities = {} } = this.clientProperties as { capabilities?: FieldTable }
    this.wantsCancelNotify = capabilities.consumer_cancel_notify === true
    this.wantsBlockedNotify = capabilities['connection.blocked'] === true
    this.wantsLivePrefetch = this.clientProperties.product === 'py-amqp'
    this.session = session
    this.vhost = vhost
    this.declarations = new Declarations(vhost, session)
    this.state = 'running'
    this.hub.connections.set(this.name, this)
    this.hub.core.churn.connectionsOpened++
    this.hub.core.limits.onConnection(vhost.name, this.user, 1)
    this.emit('connection.created', () => describeConnection(this))
    this.isCounted = true
  }

  private openChannel(number: number, id: number, buf: Buffer, start: number, end: number): void {
    if (this.state === 'starting') throw new ConnectionError(ReplyCode.CHANNEL_ERROR, 'connection is not open', id)
    if (id === M.channelCloseOk) return // answers a close that crossed ours
    if (id !== M.channelOpen) throw new ConnectionError(ReplyCode.CHANNEL_ERROR, "expected 'channel.open'", id)
    decodeMethod(id, buf, start, end)
    if (this.channels.size >= this.channelMax) {
      throw new ConnectionError(
        ReplyCode.NOT_ALLOWED,
        `number of channels opened (${this.channels.size}) has reached the negotiated channel_max (${this.channelMax})`,
        NO_METHOD,
      )
    }
    this.hub.core.limits.checkChannel(this.user)
    this.channels.set(number, new Channel(number, this))
    this.hub.core.churn.channelsOpened++
    this.hub.core.limits.onChannel(this.user, 1)
    this.emit('channel.created', () => describeChannel(this, number))
    this.write(encodeMethod('channel.open-ok', number, {}))
  }

  removeChannel(channel: Channel): void {
    if (!this.channels.delete(channel.number)) return
    this.lastChannel = undefined
    this.hub.removeConfirming(channel)
    this.hub.core.churn.channelsClosed++
    this.hub.core.limits.onChannel(this.user, -1)
    this.emit('channel.closed', () => describeChannel(this, channel.number))
  }

  private closeChannel(channel: Channel, error: ChannelError): void {
    this.hub.log.info('Channel error', { connection: this.name, channel: channel.number, reply: error.text })
    channel.release()
    channel.isClosing = true
    this.hub.removeConfirming(channel)
    this.write(encodeMethod('channel.close', channel.number, closeArgs(error)))
  }

  // -- out ------------------------------------------------------------------------------------------------------------

  get isWritable(): boolean {
    return this.outlet.isWritable
  }

  get isTurnOver(): boolean {
    return this.outlet.isTurnOver
  }

  /** Where frames are written to; markDirty says that one was. */
  get out(): OutBuffer {
    return this.outlet.out
  }

  markDirty(): void {
    this.outlet.markDirty()
  }

  write(frame: Uint8Array): void {
    this.outlet.write(frame)
  }

  /** The end of a turn. Called by the hub. */
  flush(): void {
    this.outlet.flush()
  }

  private onRoom(): void {
    for (const channel of this.channels.values()) channel.wakeConsumers()
    if (!this.isHeld) return
    this.isHeld = false
    if (this.state !== 'closing') this.unpark()
  }

  /** Sends `frame` once everything done so far is durable. Until then nothing more is read from this connection, so that
   *  replies keep their order. */
  replyWhenDurable(frame: Buffer): void {
    this.park()
    const done = () => {
      if (this.outlet.isEnded || this.state === 'closing') return
      this.write(frame)
      this.unpark()
    }
    const failed = (error: Error) => {
      this.fail(new ConnectionError(ReplyCode.INTERNAL_ERROR, `not stored: ${error.message}`))
      this.unpark()
    }
    this.hub.core.journal.whenDurable().then(done, failed)
  }

  /** For basic.get of a message whose bytes are on disk. */
  parkUntilLoaded(channel: Channel, retry: () => void): void {
    this.park()
    this.hub.whenLoaded(() => {
      if (this.outlet.isEnded || this.state === 'closing') return
      this.isParked = false
      try {
        retry()
      } catch (error) {
        this.guard(() => this.onError(error, M.basicGet, channel))
      }
      if (!this.isParked) this.unpark()
    })
  }

  /** A peer that asks for more than it takes is not read from until it has taken it. For replies that carry messages. */
  holdWhileFull(): void {
    if (this.isParked || !this.outlet.isOverfull) return
    this.isHeld = true
    this.park()
  }

  private park(): void {
    this.isParked = true
    this.parser.pause()
    this.intake.hold(Hold.Parked)
  }

  private unpark(): void {
    this.isParked = false
    this.guard(() => this.parser.resume())
    this.keepBorrowed()
    if (!this.isParked) this.intake.free(Hold.Parked)
  }

  // -- time -----------------------------------------------------------------------------------------------------------

  /** About twice a second. */
  onBeat(now: number): void {
    if (this.state === 'starting' && now - this.connectedAtMs > this.hub.limits.handshakeMs) {
      this.hub.log.warn('Handshake not finished in time', { connection: this.name })
      this.destroy()
    } else if (this.state === 'closing' && now - this.closingSinceMs > CLOSE_OK_MS) this.destroy()
    else if (this.state !== 'starting') {
      this.beat(now)
      for (const channel of this.channels.values()) this.checkDeadlines(channel, now)
    }
  }

  private checkDeadlines(channel: Channel, now: number): void {
    try {
      channel.onBeat(now)
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error
      this.closeChannel(channel, error)
    }
  }

  private beat(now: number): void {
    const canBeHeard = !this.intake.isHeld && this.state !== 'blocked'
    const is = this.heartbeat.check(now, this.outlet.sentBytes, canBeHeard)
    if (is === 'due') this.write(HEARTBEAT_FRAME)
    else if (is === 'missed') {
      const timeoutSeconds = this.heartbeatSeconds
      this.hub.log.warn('Missed heartbeats from client', { connection: this.name, timeoutSeconds })
      this.destroy()
    }
  }

  private emit(key: string, describe: () => FieldTable): void {
    const { systemEvents } = this.hub.core
    systemEvents.as(this.user, () =>
      systemEvents.emit(key, () => ({ ...describe(), node: this.hub.identity.nodeName })),
    )
  }

  // -- the end --------------------------------------------------------------------------------------------------------

  close(reason: string): void {
    this.fail(new ConnectionError(ReplyCode.CONNECTION_FORCED, reason))
  }

  /** Says why, stops listening, and waits a little for close-ok. */
  fail(error: ProtocolError): void {
    if (this.outlet.isEnded || this.state === 'closing') return
    this.hub.log.warn('Closing connection', { connection: this.name, reply: error.text })
    // Where we stop, or somebody at the admin API says so, no consumer has failed.
    this.release(error.replyCode === ReplyCode.CONNECTION_FORCED ? 'undone' : 'failed')
    this.state = 'closing'
    this.intake.free(Hold.Blocked)
    this.closingSinceMs = this.hub.clock.now()
    this.write(encodeMethod('connection.close', 0, closeArgs(error)))
    if (isFraming(error.replyCode)) {
      // What follows in the stream cannot be told apart from garbage.
      this.parser.stop()
      this.endAfterFlush()
    }
  }

  /** Writes raw bytes and closes: for a peer that does not speak our protocol. */
  refuse(bytes: Buffer): void {
    this.state = 'closing'
    this.closingSinceMs = this.hub.clock.now()
    this.parser.stop()
    if (bytes.length > 0) this.write(bytes)
    this.end()
  }

  private endAfterFlush(): void {
    this.closingSinceMs = this.hub.clock.now()
    setImmediate(() => this.end())
  }

  end(): void {
    if (!this.outlet.isEnded) this.outlet.end()
    // A peer that never closes its side is cut off by onBeat.
  }

  destroy(): void {
    this.outlet.destroy()
  }

  private onPeerEnded(): void {
    this.end()
  }

  private onSocketClosed(): void {
    this.outlet.isEnded = true
    const wasRunning = this.hub.connections.get(this.name) === this
    this.release()
    this.state = 'closing'
    this.parser.stop()
    this.hub.remove(this)
    if (wasRunning) this.hub.core.churn.connectionsClosed++
  }

  /** Channels end, exclusive queues go. Idempotent. */
  private release(unacked: Return = 'failed'): void {
    for (const channel of [...this.channels.values()]) {
      channel.release(unacked)
      this.removeChannel(channel)
    }
    if (this.session === undefined) return
    if (this.isCounted) this.emit('connection.closed', () => ({ name: this.name }))
    // Before the socket is gone: a client may be back sooner.
    if (this.isCounted) this.hub.core.limits.onConnection(this.vhostName, this.user, -1)
    this.isCounted = false
    for (const queue of [...this.session.exclusiveQueues]) this.vhost.removeQueue(queue)
  }

  get heartbeatSeconds(): number {
    return this.heartbeat.seconds
  }
  get sentBytes(): number {
    return this.outlet.sentBytes
  }
  get sentFrames(): number {
    return this.outlet.sentFrames
  }
  get pendingBytes(): number {
    return this.outlet.pendingBytes
  }
  get vhostName(): string {
    return this.vhost?.name ?? ''
  }
  get user(): string {
    return this.session?.user.name ?? ''
  }
}

function closeArgs(error: ProtocolError) {
  const classId = error.methodId >>> 16
  return { replyCode: error.replyCode, replyText: error.text, classId, methodId: error.methodId & 0xffff }
}

/** After these the position in the stream is lost. */
function isFraming(code: number): boolean {
  return code === ReplyCode.FRAME_ERROR
}
