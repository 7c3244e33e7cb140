// /api/policies and /api/operator-policies: the lists, one policy, set and delete. Operator policies are an administrator's,
// the others also a policymaker's.

import type { UserView } from '../core/core-api'
import { APPLY_TO, type ApplyTo, type Policy, type PolicyKind } from '../core/policies'
import { type Body, bodyOf, checkName, integerIn, stringIn } from './body'
import { type AdminContext, type Call, type Resource, resource, vhostOf, visibleVhosts } from './context'
import { badRequest, notAuthorised, notFound } from './problem'

const KINDS: [path: string, kind: PolicyKind, tags: string[]][] = [
  ['policies', 'policy', ['administrator', 'policymaker']],
  ['operator-policies', 'operator_policy', ['administrator']],
]

export function policyRoutes(context: AdminContext): Resource[] {
  return KINDS.flatMap(([path, kind, tags]) => [
    resource(`/api/${path}`, {
      GET: ({ user }) =>
        visibleVhosts(context, user).flatMap((vhost) => vhost.policies.all(kind).map(itemOf(vhost.name))),
    }),
    resource(`/api/${path}/:vhost`, {
      GET: (call) => vhostOf(context, call).policies.all(kind).map(itemOf(call.params.vhost)),
    }),
    resource(`/api/${path}/:vhost/:name`, {
      GET: (call) => {
        const policy = vhostOf(context, call).policies.get(kind, call.params.name)
        if (policy === undefined) throw notFound()
        return itemOf(call.params.vhost)(policy)
      },
      PUT: async (call) => {
        checkTags(call.user, tags)
        const vhost = vhostOf(context, call)
        const policy = policyOf(call)
        const isNew = vhost.policies.get(kind, policy.name) === undefined
        await context.management.setPolicy(vhost.name, kind, policy)
        call.reply.code(isNew ? 201 : 204)
      },
      DELETE: async (call) => {
        checkTags(call.user, tags)
        const { name } = vhostOf(context, call)
        if (!(await context.management.deletePolicy(name, kind, call.params.name))) throw notFound()
      },
    }),
  ])
}

function itemOf(vhost: string) {
  return ({ name, pattern, applyTo, definition, priority }: Policy) => ({
    vhost,
    name,
    pattern,
    'apply-to': applyTo,
    definition,
    priority,
  })
}

function policyOf(call: Call): Policy {
  const body = bodyOf(call, 'pattern', 'definition')
  return {
    name: checkName(call.params.name),
    pattern: stringIn(body, 'pattern'),
    applyTo: applyToIn(body),
    priority: body.priority === undefined ? 0 : integerIn(body, 'priority'),
    definition: definitionIn(body),
  }
}

function applyToIn(body: Body): ApplyTo {
  const text = stringIn(body, 'apply-to', 'all')
  const found = APPLY_TO.find((name) => name === text)
  if (found === undefined) throw badRequest(`apply-to is "${text}", and should be one of ${APPLY_TO.join(', ')}`)
  return found
}

function definitionIn({ definition }: Body): Policy['definition'] {
  if (typeof definition !== 'object' || definition === null || Array.isArray(definition)) {
    throw badRequest('definition should be an object')
  }
  return definition as Policy['definition']
}

function checkTags({ tags }: UserView, allowed: readonly string[]): void {
  if (!tags.some((tag) => allowed.includes(tag))) throw notAuthorised(`Not ${allowed.join(' or ')}`)
}
