// Bindings from every side: all, of a vhost, of a queue, of an exchange as source or destination, between two, and one.
import type { BindingView, VhostView } from '../core/core-api'
import { bodyOf, checkName, stringIn, tableIn } from './body'
import {
  type AdminContext,
  type Call,
  exchangeName,
  exchangeOf,
  existing,
  type Params,
  queueOf,
  type Resource,
  resource,
  vhostOf,
  visibleVhosts,
} from './context'
import { compareText, type List, sendList } from './listing'
import { collect } from './slices'
import { bindingItem, propertiesKey } from './view-exchange'

type Accepts = (binding: BindingView) => boolean

export function bindingRoutes(context: AdminContext): Resource[] {
  const { slices } = context
  const list = (call: Call, vhosts: VhostView[], accepts: Accepts) =>
    sendList(call, bindingList(vhosts, accepts), slices)
  const listIn = (call: Call, accepts: Accepts) => list(call, [vhostOf(context, call)], accepts)
  return [
    resource('/api/bindings', { GET: (call) => list(call, visibleVhosts(context, call.user), () => true) }),
    resource('/api/bindings/:vhost', { GET: (call) => listIn(call, () => true) }),
    resource('/api/queues/:vhost/:name/bindings', {
      GET: (call) => listIn(call, into('queue', queueOf(context, call).name)),
    }),
    resource('/api/exchanges/:vhost/:name/bindings/source', {
      GET: (call) => listIn(call, from(exchangeOf(context, call).name)),
    }),
    resource('/api/exchanges/:vhost/:name/bindings/destination', {
      GET: (call) => listIn(call, into('exchange', exchangeOf(context, call).name)),
    }),
    ...(['queue', 'exchange'] as const).flatMap((type) => routesBetween(context, type, listIn)),
  ]
}

function routesBetween(
  context: AdminContext,
  type: BindingView['destinationType'],
  listIn: (call: Call, accepts: Accepts) => unknown,
): Resource[] {
  const path = `/api/bindings/:vhost/e/:source/${type === 'queue' ? 'q' : 'e'}/:destination`
  return [
    resource(path, {
      GET: (call) => listIn(call, between(type, call.params)),
      POST: (call) => bind(context, call, type),
    }),
    resource(`${path}/:props`, {
      GET: async (call) => bindingItem(call.params.vhost, await bindingOf(context, call, type)),
      DELETE: async (call) =>
        context.management.unbind(call.user.name, call.params.vhost, await bindingOf(context, call, type)),
    }),
  ]
}

function from(source: string): Accepts {
  return (binding) => binding.source === source
}

function into(type: BindingView['destinationType'], destination: string): Accepts {
  return (binding) => binding.destinationType === type && binding.destination === destination
}

function between(type: BindingView['destinationType'], params: Params): Accepts {
  const [isFrom, isInto] = [from(exchangeName(params.source)), into(type, exchangeNameOf(type, params.destination))]
  return (binding) => isFrom(binding) && isInto(binding)
}

function exchangeNameOf(type: BindingView['destinationType'], name: string): string {
  return type === 'exchange' ? exchangeName(name) : name
}

/** A binding cannot be looked up by name and never changes: the key is a copy of it. */
interface BindingKey {
  vhost: string
  binding: BindingView
}

function bindingList(vhosts: VhostView[], accepts: Accepts): List<BindingKey> {
  return {
    keys: bindingKeys(vhosts),
    accepts: ({ binding }) => accepts(binding),
    nameOf: ({ binding }) => binding.source,
    compare: (a, b) =>
      compareText(a.vhost, b.vhost) ||
      compareText(a.binding.source, b.binding.source) ||
      compareText(a.binding.destination, b.binding.destination) ||
      compareText(a.binding.routingKey, b.binding.routingKey),
    item: ({ vhost, binding }) => bindingItem(vhost, binding),
  }
}

function* bindingKeys(vhosts: VhostView[]): Iterable<BindingKey> {
  for (const vhost of vhosts) for (const binding of vhost.bindings()) yield { vhost: vhost.name, binding }
}

/** The properties key of the path, or a routing key that the caller did not encode once more. */
async function bindingOf(
  context: AdminContext,
  call: Call,
  type: BindingView['destinationType'],
): Promise<BindingView> {
  const vhost = vhostOf(context, call)
  await context.slices.next()
  const candidates = await collect(vhost.bindings(), context.slices, between(type, call.params))
  const { props } = call.params
  return existing(
    candidates.find((b) => propertiesKey(b) === props) ??
      candidates.find((b) => b.routingKey === props && Object.keys(b.arguments).length === 0),
  )
}

async function bind({ management }: AdminContext, call: Call, type: BindingView['destinationType']): Promise<void> {
  const { vhost, source, destination } = call.params
  const body = bodyOf(call)
  const binding: BindingView = {
    source: exchangeName(source),
    destination: exchangeNameOf(type, destination),
    destinationType: type,
    routingKey: checkName(stringIn(body, 'routing_key')),
    arguments: tableIn(body, 'arguments'),
  }
  await management.bind(call.user.name, vhost, binding)
  // Relative to this path, as RabbitMQ answers. The properties key is text within a path: encoded once more.
  call.reply
    .code(201)
    .header('location', `${encodeURIComponent(destination)}/${encodeURIComponent(propertiesKey(binding))}`)
}
