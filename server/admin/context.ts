// What every route is given, and the shape of a route: one row per path, a handler per method. Registered by app.ts.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ExchangeView, Management, QueueView, UserView, VhostView } from '../core/core-api'
import type { Logger } from '../logger'
import { notAuthorised, notFound } from './problem'
import type { Rates } from './rates'
import type { Slices } from './slices'
import { DEFAULT_EXCHANGE } from './view-exchange'

export interface AdminContext {
  readonly management: Management
  readonly rates: Rates
  readonly slices: Slices
  readonly logger: Logger
}

export type Params = Readonly<Record<string, string>>

/** One request, decoded as far as every handler needs it. */
export interface Call {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly user: UserView
  readonly params: Params
  readonly query: Params
}

/** Returns what is sent as JSON: a string or stream as it is; undefined for an empty answer, 204 unless the reply's status
 *  was set. */
export type Handler = (call: Call) => unknown

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'

/** A path and its methods; any other method is answered 405. */
export interface Resource {
  readonly path: string
  readonly handlers: Readonly<Partial<Record<Method, Handler>>>
  /** Answers whoever asks: `call.user` is NOBODY. */
  readonly isPublic: boolean
  readonly bodyBytesMax: number
}

/** What a request may carry: names and arguments are small, and reading JSON holds up the messages. */
export const BODY_BYTES_MAX = 256 * 1024

export function resource(path: string, handlers: Resource['handlers'], bodyBytesMax = BODY_BYTES_MAX): Resource {
  return { path, handlers, isPublic: false, bodyBytesMax }
}

export function publicResource(path: string, handlers: Resource['handlers']): Resource {
  return { path, handlers, isPublic: true, bodyBytesMax: BODY_BYTES_MAX }
}

export const NOBODY: UserView = { name: '', tags: [] }

// -- what the path names ----------------------------------------------------------------------------------------------

/** The vhost of the path; throws 404 when there is none, 401 when the user may not use it. */
export function vhostOf({ management }: AdminContext, call: Call): VhostView {
  const vhost = management.vhosts.get(call.params.vhost)
  if (vhost === undefined) throw notFound()
  if (!maySee(management, call.user, vhost.name)) throw notAuthorised('User not authorised to access virtual host')
  return vhost
}

export function queueOf(context: AdminContext, call: Call): QueueView {
  return existing(vhostOf(context, call).queues.get(call.params.name))
}

export function exchangeOf(context: AdminContext, call: Call): ExchangeView {
  return existing(vhostOf(context, call).exchanges.get(exchangeName(call.params.name)))
}

export function existing<T>(found: T | undefined): T {
  if (found === undefined) throw notFound()
  return found
}

export function exchangeName(name: string): string {
  return name === DEFAULT_EXCHANGE ? '' : name
}

// -- what the user may see --------------------------------------------------------------------------------------------

export function visibleVhosts({ management }: AdminContext, user: UserView): VhostView[] {
  return [...management.vhosts.values()].filter((vhost) => maySee(management, user, vhost.name))
}

/** Monitors see everything, others the vhosts they may use. */
function maySee(management: Management, user: UserView, vhost: string): boolean {
  if (isMonitor(user)) return true
  try {
    management.checkVhostAccess(user.name, vhost)
    return true
  } catch {
    return false
  }
}

export function isMonitor(user: UserView): boolean {
  return user.tags.includes('administrator') || user.tags.includes('monitoring')
}
