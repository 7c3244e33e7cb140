// How many connections and queues a vhost may have, and how many connections and channels a user. Counts what there is and
// refuses what is too much, in RabbitMQ's words. RabbitMQ docs "Virtual Hosts" and "Access Control", limits. One per broker:
// server/net says what comes and goes, management.ts sets the limits.
import { NO_METHOD, ReplyCode } from '../../protocol'
import { ChannelError, ConnectionError } from '../../protocol/errors'
import type { DefinitionChange } from '../../storage/definitions'

export type LimitKind = 'vhost' | 'user'

/** By name. A negative number is no limit, 0 lets nothing in. */
export type LimitValues = Readonly<Record<string, number>>

export const LIMIT_NAMES: Readonly<Record<LimitKind, readonly string[]>> = {
  vhost: ['max-connections', 'max-queues'],
  user: ['max-connections', 'max-channels'],
}

/** How the stored parameters are called; a vhost's as RabbitMQ calls it. */
const COMPONENTS: Readonly<Record<LimitKind, string>> = { vhost: 'vhost-limits', user: 'user-limits' }
const PARAMETER_NAME = 'limits'

/** Counts by name; what is at 0 takes no memory. */
class Tally {
  private readonly counts = new Map<string, number>()

  of(name: string): number {
    return this.counts.get(name) ?? 0
  }

  add(name: string, change: 1 | -1): void {
    const count = this.of(name) + change
    if (count === 0) this.counts.delete(name)
    else this.counts.set(name, count)
  }
}

export class Limits {
  private readonly values: Record<LimitKind, Map<string, LimitValues>> = { vhost: new Map(), user: new Map() }
  private readonly vhostConnections = new Tally()
  private readonly userConnections = new Tally()
  private readonly userChannels = new Tally()

  constructor(private readonly define: (change: DefinitionChange) => void) {}

  // -- setting --------------------------------------------------------------------------------------------------------

  /** Holds for what comes; what is there stays. Throws 406 for a limit that does not exist. */
  set(kind: LimitKind, subject: string, name: string, value: number): void {
    if (!LIMIT_NAMES[kind].includes(name)) {
      const text = `Validation failed: Unrecognised terms ["${name}"] in ${kind}-limits`
      throw new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
    }
    this.replace(kind, subject, { ...this.of(kind, subject), [name]: value })
  }

  /** false: there was none. */
  clear(kind: LimitKind, subject: string, name: string): boolean {
    const { [name]: value, ...others } = this.of(kind, subject)
    if (value === undefined) return false
    this.replace(kind, subject, others)
    return true
  }

  of(kind: LimitKind, subject: string): LimitValues {
    return this.values[kind].get(subject) ?? {}
  }

  private replace(kind: LimitKind, subject: string, values: LimitValues): void {
    const component = COMPONENTS[kind]
    const key = kind === 'vhost' ? { name: PARAMETER_NAME, vhost: subject } : { name: subject, vhost: '' }
    if (Object.keys(values).length === 0) {
      this.values[kind].delete(subject)
      this.define({ op: 'delete', kind: 'parameter', key: { component, ...key } })
    } else {
      this.values[kind].set(subject, values)
      this.define({ op: 'put', kind: 'parameter', record: { component, ...key, value: JSON.stringify(values) } })
    }
  }

  /** Takes back a parameter that `replace` had stored; others are not its business. */
  restore(component: string, name: string, vhost: string, value: string): void {
    if (component === COMPONENTS.vhost) this.values.vhost.set(vhost, JSON.parse(value))
    else if (component === COMPONENTS.user) this.values.user.set(name, JSON.parse(value))
  }

  /** null: there is none. */
  private limit(kind: LimitKind, subject: string, name: string): number | null {
    const value = this.of(kind, subject)[name] ?? -1
    return value < 0 ? null : value
  }

  // -- counting and refusing ------------------------------------------------------------------------------------------

  /** Throws 530. */
  checkConnection(vhost: string, user: string): void {
    const ofVhost = this.limit('vhost', vhost, 'max-connections')
    if (ofVhost !== null && this.vhostConnections.of(vhost) >= ofVhost) {
      const access = `access to vhost '${vhost}' refused for user '${user}'`
      throw new ConnectionError(ReplyCode.NOT_ALLOWED, `${access}: vhost connection limit (${ofVhost}) is reached`)
    }
    const ofUser = this.limit('user', user, 'max-connections')
    if (ofUser === null || this.userConnections.of(user) < ofUser) return
    const text = `Connection refused for user '${user}': user connection limit (${ofUser}) is reached`
    throw new ConnectionError(ReplyCode.NOT_ALLOWED, text)
  }

  onConnection(vhost: string, user: string, change: 1 | -1): void {
    this.vhostConnections.add(vhost, change)
    this.userConnections.add(user, change)
  }

  /** Throws 530. */
  checkChannel(user: string): void {
    const limit = this.limit('user', user, 'max-channels')
    if (limit === null || this.userChannels.of(user) < limit) return
    const text = `number of channels opened for user '${user}' has reached the maximum allowed user limit of (${limit})`
    throw new ConnectionError(ReplyCode.NOT_ALLOWED, text, NO_METHOD)
  }

  onChannel(user: string, change: 1 | -1): void {
    this.userChannels.add(user, change)
  }

  /** Throws 406. `count`: how many queues the vhost has. */
  checkQueue(vhost: string, queue: string, count: number): void {
    const limit = this.limit('vhost', vhost, 'max-queues')
    if (limit === null || count < limit) return
    const text = `cannot declare queue '${queue}': queue limit in vhost '${vhost}' (${limit}) is reached`
    throw new ChannelError(ReplyCode.PRECONDITION_FAILED, text)
  }
}
