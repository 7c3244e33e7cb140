// /api/vhost-limits and /api/user-limits: how many connections, queues and channels there may be. An administrator sets them;
// who may use a vhost sees its limits.
import type { Management } from '../core/core-api'
import { LIMIT_NAMES, type LimitKind } from '../core/limits'
import { bodyOf, integerIn } from './body'
import { type AdminContext, type Call, type Resource, resource, vhostOf, visibleVhosts } from './context'
import { badRequest, notAuthorised, notFound } from './problem'

export function limitRoutes(context: AdminContext): Resource[] {
  return [
    resource('/api/vhost-limits', {
      GET: ({ user }) => items(context.management, 'vhost', namesOf(visibleVhosts(context, user))),
    }),
    resource('/api/vhost-limits/:vhost', {
      GET: (call) => items(context.management, 'vhost', [vhostOf(context, call).name]),
    }),
    resource('/api/vhost-limits/:vhost/:limit', setting(context, 'vhost')),
    resource('/api/user-limits', {
      GET: ({ user }) => {
        checkAdministrator(user.tags)
        return items(context.management, 'user', context.management.userNames())
      },
    }),
    resource('/api/user-limits/:user', {
      GET: (call) => {
        checkAdministrator(call.user.tags)
        return items(context.management, 'user', [subjectOf(context, call, 'user')])
      },
    }),
    resource('/api/user-limits/:user/:limit', setting(context, 'user')),
  ]
}

function setting(context: AdminContext, kind: LimitKind): Resource['handlers'] {
  const { management } = context
  return {
    PUT: async (call) => {
      checkAdministrator(call.user.tags)
      const subject = subjectOf(context, call, kind)
      const value = integerIn(bodyOf(call, 'value'), 'value')
      await management.setLimit(kind, subject, call.params.limit, value)
    },
    DELETE: async (call) => {
      checkAdministrator(call.user.tags)
      const subject = subjectOf(context, call, kind)
      const { limit } = call.params
      if (!LIMIT_NAMES[kind].includes(limit)) throw badRequest(`Unrecognised limit ${JSON.stringify(limit)}`)
      await management.clearLimit(kind, subject, limit)
    },
  }
}

/** Those that have limits. */
function items(management: Management, kind: LimitKind, subjects: readonly string[]) {
  return subjects
    .map((subject) => ({ [kind]: subject, value: management.limits(kind, subject) }))
    .filter(({ value }) => Object.keys(value).length > 0)
}

function subjectOf(context: AdminContext, call: Call, kind: LimitKind): string {
  if (kind === 'vhost') return vhostOf(context, call).name
  if (!context.management.userNames().includes(call.params.user)) throw notFound()
  return call.params.user
}

function namesOf(vhosts: readonly { name: string }[]): string[] {
  return vhosts.map(({ name }) => name)
}

function checkAdministrator(tags: readonly string[]): void {
  if (!tags.includes('administrator')) throw notAuthorised('Not administrator user')
}
