// What can go wrong with a request, and how it is told: status, and {error, reason} as RabbitMQ's management API words it.
// Protocol errors of the broker's operations are translated here. Called by app.ts for whatever a handler throws.
import type { FastifyError } from 'fastify'
import { ProtocolError, ReplyCode } from '../../protocol'

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    readonly reason: unknown,
  ) {
    super(`${status} ${error}`)
  }

  get body(): { error: string; reason: unknown } {
    return { error: this.error, reason: this.reason }
  }
}

export function notFound(): Problem {
  return new Problem(404, 'Object Not Found', 'Not Found')
}

export function badRequest(reason: unknown): Problem {
  return new Problem(400, 'bad_request', reason)
}

export function notAuthorised(reason: string): Problem {
  return new Problem(401, 'not_authorised', reason)
}

/** null: nothing the client did, so a fault of ours. */
export function problemOf(error: unknown): Problem | null {
  if (error instanceof Problem) return error
  if (error instanceof ProtocolError) return fromProtocol(error)
  const { statusCode, code } = error as FastifyError
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return badRequest('Exceeded HTTP request body size limit')
  return statusCode !== undefined && statusCode < 500 ? badRequest((error as Error).message) : null
}

function fromProtocol(error: ProtocolError): Problem {
  const reason = error.text.slice(error.text.indexOf(' - ') + 3)
  switch (error.replyCode) {
    case ReplyCode.NOT_FOUND:
      return new Problem(404, 'not_found', reason)
    case ReplyCode.ACCESS_REFUSED:
      return notAuthorised('Access refused.')
    case ReplyCode.INTERNAL_ERROR:
      return new Problem(503, 'internal_error', reason)
    default:
      return badRequest(reason)
  }
}
