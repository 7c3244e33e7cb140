// What events tell of connections and channels, by the names that RabbitMQ has for it.
import { type FieldTable, Typed } from '../../protocol'
import type { Connection } from './connection'

export function describeConnection(connection: Connection): FieldTable {
  const { name, host, port, peerHost, peerPort, user, vhostName, authMechanism, clientProperties } = connection
  return {
    name,
    host,
    port,
    peer_host: peerHost,
    peer_port: peerPort,
    protocol: '{0,9,1}',
    ssl: connection.tls !== null,
    user,
    vhost: vhostName,
    auth_mechanism: authMechanism,
    client_properties: clientProperties,
    timeout: connection.heartbeatSeconds,
    frame_max: connection.frameMax,
    channel_max: connection.channelMax,
    connected_at: new Typed('l', connection.connectedAtMs),
    type: 'network',
  }
}

export function describeChannel({ name, user, vhostName }: Connection, number: number): FieldTable {
  return { name: `${name} (${number})`, connection: name, number, user, vhost: vhostName }
}
