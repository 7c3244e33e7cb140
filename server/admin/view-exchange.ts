// Exchanges and bindings as the management API shows them.
import { createHash } from 'node:crypto'
import { tableToJson, tableToPlain } from '../../protocol'
import type { BindingView, ExchangeView } from '../core/core-api'
import type { Item } from './listing'
import { details } from './message-stats'
import type { Rates } from './rates'

/** What stands in a path for the default exchange, whose name is empty. */
export const DEFAULT_EXCHANGE = 'amq.default'

export function exchangeItem(rates: Rates, vhost: string, exchange: ExchangeView): Item {
  return {
    name: exchange.name,
    vhost,
    type: exchange.type,
    durable: exchange.durable,
    auto_delete: exchange.autoDelete,
    internal: exchange.internal,
    arguments: tableToPlain(exchange.arguments),
    policy: exchange.policy.policy,
    ...(exchange.delayedCount === null ? {} : { messages_delayed: exchange.delayedCount }),
    message_stats: {
      publish_in: exchange.publishIn,
      publish_in_details: details(rates.exchange(exchange, 'publishIn')),
      publish_out: exchange.publishOut,
      publish_out_details: details(rates.exchange(exchange, 'publishOut')),
    },
  }
}

export function bindingItem(vhost: string, binding: BindingView): Item {
  return {
    source: binding.source,
    vhost,
    destination: binding.destination,
    destination_type: binding.destinationType,
    routing_key: binding.routingKey,
    arguments: tableToPlain(binding.arguments),
    properties_key: propertiesKey(binding),
  }
}

/** Names a binding among those of its source and destination: the routing key, percent-encoded; with arguments, "~" and a
 *  hash of them behind it; "~" alone for a binding that has neither. */
export function propertiesKey({ routingKey, arguments: args }: BindingView): string {
  const key = quoted(routingKey)
  if (Object.keys(args).length > 0) return `${key}~${hashed(tableToJson(args))}`
  return key === '' ? '~' : key
}

/** Everything but letters, digits, "-" and "."; so no key contains the "~" that separates it from the hash. */
function quoted(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*~_]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function hashed(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 11)
}
