// /api/exchanges: the list, one exchange, declare and delete. Publishing is routes-messages.ts.
import type { VhostView } from '../core/core-api'
import { bodyOf, booleanIn, checkName, flagIn, stringIn, tableIn } from './body'
import {
  type AdminContext,
  type Call,
  exchangeName,
  exchangeOf,
  type Resource,
  resource,
  vhostOf,
  visibleVhosts,
} from './context'
import { columnsOf, compareText, type List, sendList } from './listing'
import { Problem } from './problem'
import { exchangeItem } from './view-exchange'

export function exchangeRoutes(context: AdminContext): Resource[] {
  const { rates, slices } = context
  const list = (call: Call, vhosts: VhostView[]) => sendList(call, exchangeList(context, vhosts), slices)
  return [
    resource('/api/exchanges', { GET: (call) => list(call, visibleVhosts(context, call.user)) }),
    resource('/api/exchanges/:vhost', { GET: (call) => list(call, [vhostOf(context, call)]) }),
    resource('/api/exchanges/:vhost/:name', {
      GET: (call) => {
        const item = exchangeItem(rates, call.params.vhost, exchangeOf(context, call))
        return columnsOf(call)({ ...item, incoming: [], outgoing: [] })
      },
      PUT: (call) => declare(context, call),
      DELETE: (call) => remove(context, call),
    }),
  ]
}

interface ExchangeKey {
  vhost: string
  name: string
}

function exchangeList({ management, rates }: AdminContext, vhosts: VhostView[]): List<ExchangeKey> {
  return {
    keys: exchangeKeys(vhosts),
    nameOf: ({ name }) => name,
    compare: (a, b) => compareText(a.vhost, b.vhost) || compareText(a.name, b.name),
    item({ vhost, name }) {
      const exchange = management.vhosts.get(vhost)?.exchanges.get(name)
      return exchange === undefined ? null : exchangeItem(rates, vhost, exchange)
    },
  }
}

function* exchangeKeys(vhosts: VhostView[]): Iterable<ExchangeKey> {
  for (const vhost of vhosts) for (const name of vhost.exchanges.keys()) yield { vhost: vhost.name, name }
}

async function declare({ management }: AdminContext, call: Call): Promise<void> {
  const { vhost, name } = call.params
  const body = bodyOf(call)
  if (!management.vhosts.has(vhost)) throw new Problem(404, 'not_found', 'vhost_not_found')
  const outcome = await management.declareExchange(call.user.name, vhost, checkName(exchangeName(name)), {
    type: stringIn(body, 'type', 'direct'),
    durable: booleanIn(body, 'durable'),
    autoDelete: booleanIn(body, 'auto_delete'),
    internal: booleanIn(body, 'internal'),
    arguments: tableIn(body, 'arguments'),
  })
  call.reply.code(outcome === 'created' ? 201 : 204)
}

async function remove(context: AdminContext, call: Call): Promise<void> {
  const { name } = exchangeOf(context, call)
  await context.management.deleteExchange(call.user.name, call.params.vhost, name, flagIn(call, 'if-unused'))
}
