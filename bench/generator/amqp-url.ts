// amqp://user:password@host:port/vhost, all parts optional and percent-encoded. No vhost, or an empty one,
// means "/", as most clients take it (RabbitMQ's own rule reads a lone slash as the vhost with the empty name).

export interface AmqpUrl {
  tls: boolean
  host: string
  port: number
  user: string
  password: string
  vhost: string
}

export function parseAmqpUrl(text: string): AmqpUrl {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'amqp:' && url.protocol !== 'amqps:')) {
    throw new Error(`not an AMQP URL: expected amqp://user:password@host:port/vhost`)
  }
  const tls = url.protocol === 'amqps:'
  return {
    tls,
    host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1') || 'localhost',
    port: url.port === '' ? (tls ? 5671 : 5672) : Number(url.port),
    user: decodeURIComponent(url.username) || 'guest',
    password: decodeURIComponent(url.password) || 'guest',
    vhost: decodeURIComponent(url.pathname.slice(1)) || '/',
  }
}

/** For tables and logs: the password left out. */
export function describeUrl(url: AmqpUrl): string {
  return `${url.tls ? 'amqps' : 'amqp'}://${url.host}:${url.port}/${encodeURIComponent(url.vhost)}`
}
