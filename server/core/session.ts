// A connection as the queue machine sees it: who it is, what it may do, and the exclusive queues that end with it.
import { ChannelError, ReplyCode } from '../../protocol'
import type { AnyQueue } from './any-queue'
import type { Right, User } from './users'

export class Session {
  readonly exclusiveQueues = new Set<AnyQueue>()
  /** The name last found writable; a publisher stays with one exchange. */
  private writable: string | null = null

  constructor(
    readonly connectionName: string,
    readonly user: User,
    readonly vhostName: string,
  ) {}

  /** Throws 403 in RabbitMQ 4.3's words. */
  authorize(right: Right, kind: 'queue' | 'exchange', name: string): void {
    const shown = kind === 'exchange' && name === '' ? 'amq.default' : name
    if (this.user.permissions.get(this.vhostName)?.allows(right, shown)) return
    throw new ChannelError(
      ReplyCode.ACCESS_REFUSED,
      `${right} access to ${kind} '${shown}' in vhost '${this.vhostName}' refused for user '${this.user.name}'`,
    )
  }

  /** On the per-message lane. */
  authorizePublish(exchange: string): void {
    if (exchange === this.writable) return
    this.authorize('write', 'exchange', exchange)
    this.writable = exchange
  }
}
