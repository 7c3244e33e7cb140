// The HTTP application: registers the resources, checks who asks, reads bodies, and turns whatever is thrown into
// {error, reason}. Knows no broker objects; what the resources say is in routes-*.ts. Built by index.ts.
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type HTTPMethods } from 'fastify'
import type { UserView } from '../core/core-api'
import { authenticate } from './auth'
import { type AdminContext, type Call, type Handler, type Method, NOBODY, type Params, type Resource } from './context'
import { notFound, problemOf } from './problem'

/** A name of 255 bytes, each percent-encoded, twice over: a properties key is encoded already. */
const PARAM_CHARS_MAX = 2048
const REQUEST_MS_MAX = 60_000
const CONNECTIONS_MAX = 256

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH']

export function createApp(context: AdminContext, resources: readonly Resource[]): FastifyInstance {
  const app = Fastify({
    logger: false,
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: REQUEST_MS_MAX,
    forceCloseConnections: true, // a browser's idle connection must not hold up the broker's stop
    exposeHeadRoutes: false, // HEAD is registered with GET below
    routerOptions: { maxParamLength: PARAM_CHARS_MAX, ignoreTrailingSlash: true },
    frameworkErrors: (error, request, reply) => void fail(context, error, request, reply),
  })
  // As RabbitMQ does: a body is JSON whatever its type says; handlers that want one parse it.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.setNotFoundHandler((_request, reply) => reply.code(404).send(notFound().body))
  app.setErrorHandler((error, request, reply) => fail(context, error, request, reply))
  app.decorateRequest('user', null)
  app.server.maxConnections = CONNECTIONS_MAX
  for (const resource of resources) register(app, context, resource)
  return app
}

function register(app: FastifyInstance, context: AdminContext, resource: Resource): void {
  const { path, handlers, isPublic, bodyBytesMax: bodyLimit } = resource
  const known = Object.keys(handlers) as Method[]
  // Before the body is read: who may not come in sends none.
  const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
    ;(request as Asked).user = isPublic ? NOBODY : authenticate(context.management, request, reply)
  }
  const allow = [...(known.includes('GET') ? ['HEAD'] : []), ...known, 'OPTIONS'].join(', ')
  for (const method of known) {
    const handler = run(handlers[method] as Handler)
    app.route({ method: method === 'GET' ? ['GET', 'HEAD'] : method, url: path, bodyLimit, onRequest, handler })
  }
  app.options(path, (_request, reply) => reply.code(200).header('allow', allow).send())
  const others = METHODS.filter((m) => !known.includes(m as Method) && !(m === 'HEAD' && known.includes('GET')))
  app.route({ method: others, url: path, handler: (_request, reply) => reply.code(405).header('allow', allow).send() })
}

type Asked = FastifyRequest & { user: UserView }

function run(handler: Handler) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const { user } = request as Asked
    const params = request.params as Params
    const call: Call = {
      request,
      reply,
      user,
      params,
      query: single(request.query as Record<string, string | string[]>),
    }
    const answer = await handler(call)
    if (answer === undefined && reply.statusCode === 200) reply.code(204)
    return reply.send(answer)
  }
}

/** A name given twice counts the first time. */
function single(query: Readonly<Record<string, string | string[]>>): Params {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  )
}

function fail(context: AdminContext, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error)
  if (problem !== null) return reply.code(problem.status).send(problem.body)
  context.logger.error('A request of the admin API failed', { method: request.method, path: request.url, error })
  return reply.code(500).send({ error: 'internal_server_error', reason: 'Internal Server Error' })
}
