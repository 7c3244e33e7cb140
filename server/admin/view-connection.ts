// Connections and channels as the management API shows them.
import { tableToPlain } from '../../protocol'
import type { ChannelView, ConnectionView } from '../core/core-api'
import type { AdminContext } from './context'
import type { Item } from './listing'
import { details, messageStats } from './message-stats'
import { channelName, connectionDetails, isoTime } from './view-queue'

export function connectionItem({ management, rates }: AdminContext, connection: ConnectionView): Item {
  const clientProperties = tableToPlain(connection.clientProperties)
  const givenName = clientProperties.connection_name
  return {
    name: connection.name,
    ...(typeof givenName === 'string' && { user_provided_name: givenName }),
    node: management.nodeName,
    type: 'network',
    protocol: 'AMQP 0-9-1',
    vhost: connection.vhostName,
    user: connection.user,
    user_who_performed_action: connection.user,
    state: connection.state,
    host: connection.host,
    port: connection.port,
    peer_host: connection.peerHost,
    peer_port: connection.peerPort,
    connected_at: connection.connectedAtMs,
    channels: connection.channels.size,
    channel_max: connection.channelMax,
    frame_max: connection.frameMax,
    timeout: connection.heartbeatSeconds,
    auth_mechanism: connection.authMechanism,
    client_properties: clientProperties,
    ...(connection.tls === null
      ? NO_TLS
      : { ...NO_TLS, ssl: true, ssl_protocol: connection.tls.protocol, ssl_cipher: connection.tls.cipher }),
    recv_oct: connection.receivedBytes,
    recv_oct_details: details(rates.connection(connection, 'receivedBytes')),
    recv_cnt: connection.receivedFrames,
    send_oct: connection.sentBytes,
    send_oct_details: details(rates.connection(connection, 'sentBytes')),
    send_cnt: connection.sentFrames,
    send_pend: connection.pendingBytes,
  }
}

const NO_TLS = {
  ssl: false,
  ssl_cipher: null,
  ssl_hash: null,
  ssl_key_exchange: null,
  ssl_protocol: null,
  peer_cert_issuer: null,
  peer_cert_serial_number: null,
  peer_cert_subject: null,
  peer_cert_validity: null,
}

export function channelItem(
  { management, rates }: AdminContext,
  connection: ConnectionView,
  channel: ChannelView,
): Item {
  return {
    name: channelName(connection.name, channel.number),
    number: channel.number,
    node: management.nodeName,
    vhost: connection.vhostName,
    user: connection.user,
    user_who_performed_action: connection.user,
    state: 'running',
    connection_details: connectionDetails(connection),
    idle_since: isoTime(channel.idleSinceMs),
    confirm: channel.confirm,
    transactional: channel.transactional,
    consumer_count: channel.consumerCount,
    prefetch_count: channel.prefetch,
    global_prefetch_count: channel.globalPrefetch,
    messages_unacknowledged: channel.unackedCount,
    messages_unconfirmed: channel.unconfirmedCount,
    messages_uncommitted: channel.uncommittedCount,
    acks_uncommitted: channel.uncommittedAcks,
    message_stats: messageStats(channel.counters, rates),
  }
}
