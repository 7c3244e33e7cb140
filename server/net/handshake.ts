// From the first bytes to connection.open: protocol header, start, tune, open, with the rights checked on the way.
// 0-9-1 §4.2.2 and §1.4; RabbitMQ docs "Authentication failure notification".
import {
  ConnectionError,
  type DecodedMethod,
  decodeSasl,
  encodeMethod,
  type FieldTable,
  NO_METHOD,
  PROTOCOL_HEADER,
  ReplyCode,
  saslMechanisms,
} from '../../protocol'
import { Session } from '../core/session'
import type { User } from '../core/users'
import type { Connection } from './connection'

/** 0-9-1 §4.2.3: no peer may ask for frames smaller than this. */
const FRAME_MAX_LEAST = 4096

/** 0-9 said the same in another way, and clients that speak 0-9-1 still say it so: Perl's Net::AMQP. */
const ACCEPTED_HEADERS = [PROTOCOL_HEADER, Buffer.from('AMQP\x01\x01\x00\x09', 'latin1')]

/** RabbitMQ's names of the states. */
const STATE_NAMES: Record<Step, string> = {
  header: 'starting',
  'start-ok': 'starting',
  'tune-ok': 'tuning',
  open: 'opening',
  done: 'running',
}

type Step = 'header' | 'start-ok' | 'tune-ok' | 'open' | 'done'

export class Handshake {
  private step: Step = 'header'
  private header: Buffer = Buffer.alloc(0)
  private user: User | null = null

  constructor(private readonly connection: Connection) {}

  get isHeaderDue(): boolean {
    return this.step === 'header'
  }

  /** Returns what follows the header, or null while it is incomplete or when it was refused. */
  onHeaderBytes(chunk: Buffer): Buffer | null {
    const bytes = this.header.length === 0 ? chunk : Buffer.concat([this.header, chunk])
    const length = Math.min(bytes.length, PROTOCOL_HEADER.length)
    if (!ACCEPTED_HEADERS.some((header) => bytes.compare(header, 0, length, 0, length) === 0)) {
      const shown = bytes.toString('latin1', 0, Math.min(8, bytes.length)).replace(/[^\x20-\x7e]/g, '.')
      this.connection.hub.log.warn('Not AMQP 0-9-1', { connection: this.connection.name, firstBytes: shown })
      this.connection.refuse(PROTOCOL_HEADER)
      return null
    }
    if (length < PROTOCOL_HEADER.length) {
      this.header = Buffer.from(bytes)
      return null
    }
    this.step = 'start-ok'
    this.header = Buffer.alloc(0)
    this.sendStart()
    return bytes.subarray(PROTOCOL_HEADER.length)
  }

  onMethod(method: DecodedMethod): void {
    if (this.step === 'start-ok' && method.name === 'connection.start-ok') this.onStartOk(method.args)
    else if (this.step === 'tune-ok' && method.name === 'connection.tune-ok') this.onTuneOk(method.args)
    else if (this.step === 'open' && method.name === 'connection.open') this.onOpen(method.args.virtualHost)
    else {
      const state = STATE_NAMES[this.step]
      throw new ConnectionError(ReplyCode.CHANNEL_ERROR, `unexpected method in connection state ${state}`)
    }
  }

  private sendStart(): void {
    const { identity } = this.connection.hub
    const serverProperties: FieldTable = {
      capabilities: {
        publisher_confirms: true,
        exchange_exchange_bindings: true,
        'basic.nack': true,
        consumer_cancel_notify: true,
        'connection.blocked': true,
        consumer_priorities: true,
        authentication_failure_close: true,
        per_consumer_qos: true,
        direct_reply_to: true,
      },
      cluster_name: identity.clusterName,
      copyright: 'The Leveret authors',
      information: 'Licensed under the Apache License 2.0',
      platform: `Node.js ${process.versions.node}`,
      product: 'Leveret',
      version: identity.version,
    }
    const mechanisms = Buffer.from(saslMechanisms.join(' '))
    const args = { versionMajor: 0, versionMinor: 9, serverProperties, mechanisms, locales: Buffer.from('en_US') }
    this.connection.write(encodeMethod('connection.start', 0, args))
  }

  private onStartOk(args: { clientProperties: FieldTable; mechanism: string; response: Buffer }): void {
    const { connection } = this
    const { hub } = connection
    connection.clientProperties = args.clientProperties
    connection.authMechanism = args.mechanism
    if (!saslMechanisms.includes(args.mechanism)) {
      throw new ConnectionError(
        ReplyCode.ACCESS_REFUSED,
        `unknown authentication mechanism '${args.mechanism.slice(0, 32)}'`,
      )
    }
    hub.core.churn.authAttempts++
    const login = decodeSasl(args.mechanism, args.response)
    this.user = login === null ? null : hub.core.users.authenticate(login.user, login.password, connection.peerHost)
    this.emitLogin(login?.user ?? '')
    if (this.user === null) {
      this.refuseLogin(login?.user ?? '', args)
      return
    }
    const { channelMax, frameMax, heartbeatSeconds } = hub.limits
    this.step = 'tune-ok'
    connection.write(encodeMethod('connection.tune', 0, { channelMax, frameMax, heartbeat: heartbeatSeconds }))
  }

  private emitLogin(name: string): void {
    const { connection } = this
    const key = this.user === null ? 'user.authentication.failure' : 'user.authentication.success'
    connection.hub.core.systemEvents.emit(key, () => ({
      name,
      connection_name: connection.name,
      connection_type: 'network',
      peer_host: connection.peerHost,
      peer_port: connection.peerPort,
      auth_mechanism: connection.authMechanism,
      ...(this.user === null && { error: 'Login was refused' }),
    }))
  }

  private refuseLogin(user: string, args: { clientProperties: FieldTable; mechanism: string }): void {
    const { connection } = this
    connection.hub.core.churn.authFailures++
    connection.hub.log.warn('Login refused', { connection: connection.name, user, mechanism: args.mechanism })
    const capabilities = (args.clientProperties.capabilities ?? {}) as FieldTable
    if (capabilities.authentication_failure_close !== true) {
      connection.refuse(Buffer.alloc(0))
      return
    }
    throw new ConnectionError(
      ReplyCode.ACCESS_REFUSED,
      `Login was refused using authentication mechanism ${args.mechanism}. For details see the broker logfile.`,
      NO_METHOD,
    )
  }

  /** Values may be lowered, never raised; 0 would mean no limit, which is more than ours. */
  private onTuneOk(args: { channelMax: number; frameMax: number; heartbeat: number }): void {
    const { connection } = this
    const { limits } = connection.hub
    connection.channelMax = negotiated('channel_max', args.channelMax, limits.channelMax, 1)
    connection.frameMax = negotiated('frame_max', args.frameMax, limits.frameMax, FRAME_MAX_LEAST)
    connection.heartbeat.seconds = args.heartbeat
    connection.parser.frameMax = connection.frameMax
    this.step = 'open'
  }

  private onOpen(name: string): void {
    const { connection } = this
    const { hub } = connection
    const user = this.user as User
    const vhost = hub.core.vhosts.get(name)
    if (vhost === undefined) throw new ConnectionError(ReplyCode.NOT_ALLOWED, `vhost ${name} not found`)
    hub.core.limits.checkConnection(name, user.name)
    if (!user.permissions.has(name)) {
      throw new ConnectionError(ReplyCode.NOT_ALLOWED, `access to vhost '${name}' refused for user '${user.name}'`)
    }
    this.step = 'done'
    connection.start(new Session(connection.name, user, name), vhost)
    connection.write(encodeMethod('connection.open-ok', 0, { reserved1: '' }))
    hub.log.info('Connection opened', { connection: connection.name, user: user.name, vhost: name })
  }
}

function negotiated(what: string, asked: number, ours: number, least: number): number {
  if (asked >= least && asked <= ours) return asked
  throw new ConnectionError(
    ReplyCode.NOT_ALLOWED,
    `negotiated ${what} = ${asked} is outside the accepted range ${least} to ${ours}`,
  )
}
