// Who asks: HTTP Basic, checked on every request (one cheap hash). A user needs one of RabbitMQ's management tags to get
// in at all. Called by app.ts before a handler runs.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Management, UserView } from '../core/core-api'
import { notAuthorised } from './problem'

const TAGS = ['administrator', 'monitoring', 'policymaker', 'management']

export function authenticate(management: Management, request: FastifyRequest, reply: FastifyReply): UserView {
  const login = basicLogin(request.headers.authorization)
  const user = login && management.authenticate(login.name, login.password, request.socket.remoteAddress ?? '')
  if (!user) {
    reply.header('www-authenticate', 'Basic realm="Leveret Management"')
    throw notAuthorised('Login failed')
  }
  if (!user.tags.some((tag) => TAGS.includes(tag))) throw notAuthorised('Not management user')
  return user
}

function basicLogin(header: string | undefined): { name: string; password: string } | null {
  const match = /^basic +([a-z0-9+/=_-]+) *$/i.exec(header ?? '')
  if (match === null) return null
  const text = Buffer.from(match[1], 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? null : { name: text.slice(0, colon), password: text.slice(colon + 1) }
}
