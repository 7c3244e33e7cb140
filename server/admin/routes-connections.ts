// Connections, channels and consumers: who is here, and the way to send a connection off.
import type { ChannelView, ConnectionView, ConsumerView, VhostView } from '../core/core-api'
import {
  type AdminContext,
  type Call,
  existing,
  isMonitor,
  type Resource,
  resource,
  vhostOf,
  visibleVhosts,
} from './context'
import { columnsOf, compareText, type Item, type List, sendList } from './listing'
import { notAuthorised } from './problem'
import { collect } from './slices'
import { channelItem, connectionItem } from './view-connection'
import { channelName, consumerItem } from './view-queue'

const CLOSE_REASON = 'Closed via management plugin'

type Accepts = (connection: ConnectionView) => boolean

export function connectionRoutes(context: AdminContext): Resource[] {
  const connections = (call: Call, accepts: Accepts) =>
    sendList(call, connectionList(context, call, accepts), context.slices)
  const channels = (call: Call, accepts: Accepts) => sendList(call, channelList(context, call, accepts), context.slices)
  const consumers = (call: Call, vhosts: VhostView[]) => sendList(call, consumerList(context, vhosts), context.slices)
  const inVhost = (call: Call): Accepts => {
    const { name } = vhostOf(context, call)
    return (connection) => connection.vhostName === name
  }
  return [
    resource('/api/connections', { GET: (call) => connections(call, () => true) }),
    resource('/api/connections/:name', {
      GET: (call) => columnsOf(call)(connectionItem(context, connectionOf(context, call))),
      DELETE: (call) => closeConnection(call, connectionOf(context, call)),
    }),
    resource('/api/connections/:name/channels', {
      GET: (call) => {
        const { name } = connectionOf(context, call)
        return channels(call, (connection) => connection.name === name)
      },
    }),
    resource('/api/connections/username/:user', {
      GET: (call) => connections(call, ({ user }) => user === call.params.user),
      DELETE: (call) => {
        const theirs = visible(context, call).filter(({ user }) => user === call.params.user)
        for (const connection of theirs) closeConnection(call, connection)
      },
    }),
    resource('/api/vhosts/:vhost/connections', { GET: (call) => connections(call, inVhost(call)) }),
    resource('/api/vhosts/:vhost/channels', { GET: (call) => channels(call, inVhost(call)) }),
    resource('/api/channels', { GET: (call) => channels(call, () => true) }),
    resource('/api/channels/:name', { GET: async (call) => columnsOf(call)(await channelDetails(context, call)) }),
    resource('/api/consumers', { GET: (call) => consumers(call, visibleVhosts(context, call.user)) }),
    resource('/api/consumers/:vhost', { GET: (call) => consumers(call, [vhostOf(context, call)]) }),
  ]
}

/** Monitors see all connections, others their own. */
function visible({ management }: AdminContext, { user }: Call): ConnectionView[] {
  const all = [...management.connections.values()]
  return isMonitor(user) ? all : all.filter((connection) => connection.user === user.name)
}

function connectionOf({ management }: AdminContext, { params, user }: Call): ConnectionView {
  const connection = existing(management.connections.get(params.name))
  if (!isMonitor(user) && connection.user !== user.name) throw notAuthorised('Access refused.')
  return connection
}

function closeConnection({ request, user }: Call, connection: ConnectionView): void {
  const isAllowed = user.tags.includes('administrator') || connection.user === user.name
  if (!isAllowed) throw notAuthorised('Not administrator user')
  const reason = request.headers['x-reason']
  connection.close((Array.isArray(reason) ? reason[0] : reason) || CLOSE_REASON)
}

function connectionList(context: AdminContext, call: Call, accepts: Accepts): List<string> {
  const { connections } = context.management
  return {
    keys: visible(context, call)
      .filter(accepts)
      .map(({ name }) => name),
    nameOf: (name) => name,
    compare: compareText,
    item(name) {
      const connection = connections.get(name)
      return connection === undefined ? null : connectionItem(context, connection)
    },
  }
}

// -- channels ---------------------------------------------------------------------------------------------------------

interface ChannelKey {
  connection: string
  number: number
}

function channelList(context: AdminContext, call: Call, accepts: Accepts): List<ChannelKey> {
  const { connections } = context.management
  return {
    keys: channelKeys(visible(context, call).filter(accepts)),
    nameOf: ({ connection, number }) => channelName(connection, number),
    compare: (a, b) => compareText(a.connection, b.connection) || a.number - b.number,
    item({ connection: name, number }) {
      const connection = connections.get(name)
      const channel = connection?.channels.get(number)
      return connection && channel ? channelItem(context, connection, channel) : null
    },
  }
}

function* channelKeys(connections: ConnectionView[]): Iterable<ChannelKey> {
  for (const connection of connections) {
    for (const number of connection.channels.keys()) yield { connection: connection.name, number }
  }
}

async function channelDetails(context: AdminContext, call: Call): Promise<Item> {
  const [connection, channel] = channelOf(context, call)
  const item = channelItem(context, connection, channel)
  const isTheirs = (consumer: ConsumerView) => isOn(consumer, connection, channel)
  const queues = context.management.vhosts.get(connection.vhostName)?.queues.values() ?? []
  await context.slices.next()
  const consumed = await collect(queues, context.slices, (queue) => queue.consumers.some(isTheirs))
  const consumers = consumed.flatMap((queue) => queue.consumers.filter(isTheirs))
  const consumer_details = consumers.map((consumer) => consumerItem(context, consumer))
  return { ...item, consumer_details, publishes: [], deliveries: [] }
}

/** By RabbitMQ's name of a channel, that of its connection with the number behind it: "peer -> host (1)". */
function channelOf(context: AdminContext, call: Call): [ConnectionView, ChannelView] {
  const match = existing(/^(.*) \((\d{1,5})\)$/s.exec(call.params.name) ?? undefined)
  const connection = connectionOf(context, { ...call, params: { name: match[1] } })
  return [connection, existing(connection.channels.get(Number(match[2])))]
}

function isOn(consumer: ConsumerView, connection: ConnectionView, channel: ChannelView): boolean {
  return consumer.connectionName === connection.name && consumer.channelNumber === channel.number
}

// -- consumers --------------------------------------------------------------------------------------------------------

interface ConsumerKey {
  vhost: string
  queue: string
  connection: string
  channel: number
  tag: string
}

function consumerList(context: AdminContext, vhosts: VhostView[]): List<ConsumerKey> {
  return {
    keys: consumerKeys(vhosts),
    nameOf: ({ tag }) => tag,
    compare: (a, b) =>
      compareText(a.vhost, b.vhost) ||
      compareText(a.queue, b.queue) ||
      compareText(a.tag, b.tag) ||
      a.channel - b.channel,
    item(key) {
      const queue = context.management.vhosts.get(key.vhost)?.queues.get(key.queue)
      const consumer = queue?.consumers.find(
        (c) => c.tag === key.tag && c.channelNumber === key.channel && c.connectionName === key.connection,
      )
      return consumer === undefined ? null : consumerItem(context, consumer)
    },
  }
}

function* consumerKeys(vhosts: VhostView[]): Iterable<ConsumerKey> {
  for (const { name: vhost, queues } of vhosts) {
    for (const { name: queue, consumers } of queues.values()) {
      for (const { connectionName: connection, channelNumber: channel, tag } of consumers) {
        yield { vhost, queue, connection, channel, tag }
      }
    }
  }
}
