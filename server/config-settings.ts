// Every setting of the broker: one row with its name, kind, default and description. The command-line options, the
// environment variables, the keys of the configuration file, the fields of BrokerOptions, the help text and the error
// messages all come from this table. Reading the four sources is config.ts's work.
//
// A table of our own instead of zod: requiring zod takes 65-90 ms (Node 20, 2 cores), as long as Node itself needs to
// start, and would still leave sizes, durations and the wording of errors to us.
import { hostname } from 'node:os'
import type { CliConfig } from './config'
import {
  boolean,
  duration,
  integer,
  nameList,
  oneOf,
  orOff,
  size,
  sizeOrShare,
  text,
  type ValueKind,
} from './config-types'
import { logLevels } from './logger'
import { availableMemoryBytes } from './memory-size'

export interface Setting<T> {
  name: string // --name, LEVERET_NAME, and the key in the file
  kind: ValueKind<T>
  description: string
  standard: () => T // the default of `leveret start`
  standardText?: string // how the help shows a default that depends on the machine
  embedded?: () => T // the default of Broker.start() inside a program, where it differs
  environmentAliases?: readonly string[]
  secret?: boolean // never repeated in messages
}

/** What the command line, the environment and the file may set. `inMemory` is there only to say `data` is null. */
export type SettingValues = Omit<CliConfig, 'data'> & { data: string; inMemory: boolean }

const KIB = 1024
const MIB = 1024 * KIB
const TIB = 1024 * 1024 * MIB
const port = () => integer(0, 65_535)

export const settings: { readonly [K in keyof SettingValues]: Setting<SettingValues[K]> } = {
  data: {
    name: 'data',
    kind: text('<directory>', 4096),
    description: 'where durable queues, their messages, users and everything else that is kept lie',
    standard: () => './data',
  },
  inMemory: {
    name: 'in-memory',
    kind: boolean(),
    description: 'write nothing to disk; all is gone when the broker stops',
    standard: () => false,
    embedded: () => true,
  },
  host: {
    name: 'host',
    kind: text('<address>'),
    description:
      'address that AMQP clients connect to; 0.0.0.0 is every IPv4 address of this machine, :: also every IPv6 one',
    standard: () => '0.0.0.0',
    embedded: () => '127.0.0.1',
  },
  port: {
    name: 'port',
    kind: port(),
    description: 'port that AMQP clients connect to; 0 takes any free one',
    standard: () => 5672,
    embedded: () => 0,
  },
  tlsPort: {
    name: 'tls-port',
    kind: orOff(port(), 'off'),
    description: 'port that AMQP clients connect to with TLS, as 5671; needs tls-cert and tls-key; off goes without',
    standard: () => null,
  },
  tlsCert: {
    name: 'tls-cert',
    kind: orOff(text('<file>', 4096), 'off'),
    description: 'certificate in PEM form, those of its issuers behind it',
    standard: () => null,
  },
  tlsKey: {
    name: 'tls-key',
    kind: orOff(text('<file>', 4096), 'off'),
    description: 'private key of that certificate in PEM form, without a passphrase',
    standard: () => null,
  },
  adminHost: {
    name: 'admin-host',
    kind: text('<address>'),
    description: 'address of the HTTP API and the metrics',
    standard: () => '0.0.0.0',
    embedded: () => '127.0.0.1',
  },
  adminPort: {
    name: 'admin-port',
    kind: orOff(port(), 'off'),
    description: 'port of the HTTP API and the metrics; 0 takes any free one, off goes without',
    standard: () => 15_672,
    embedded: () => null,
  },
  memoryLimit: {
    name: 'memory-limit',
    kind: sizeOrShare(16 * MIB, 64 * TIB, availableMemoryBytes),
    description: 'memory for messages; beyond it they wait on disk and publishers are held back',
    standard: () => Math.max(16 * MIB, Math.floor(availableMemoryBytes() * 0.4)),
    standardText: '40% of what the machine or the container has',
  },
  diskFreeLimit: {
    name: 'disk-free-limit',
    kind: size(0, 64 * TIB),
    description: 'publishers are blocked while the disk with the data directory has less free space',
    standard: () => 50_000_000,
  },
  heartbeat: {
    name: 'heartbeat',
    kind: integer(0, 65_535),
    description: 'seconds between heartbeats that are proposed to clients; 0 for none',
    standard: () => 60,
  },
  frameMax: {
    name: 'frame-max',
    kind: size(4 * KIB, 16 * MIB),
    description: 'largest frame that is proposed to clients',
    standard: () => 128 * KIB,
  },
  channelMax: {
    name: 'channel-max',
    kind: integer(1, 65_535),
    description: 'most channels in one connection',
    standard: () => 2047,
  },
  maxMessageSize: {
    name: 'max-message-size',
    kind: size(1, 512 * MIB),
    description: 'largest body of one message; a larger one is refused with 406 PRECONDITION_FAILED',
    standard: () => 16 * MIB,
  },
  maxConnections: {
    name: 'max-connections',
    kind: integer(1, 1_000_000),
    description: 'most AMQP connections at a time; further ones are closed at once',
    standard: () => 10_000,
  },
  consumerMaxPerChannel: {
    name: 'consumer-max-per-channel',
    kind: integer(1, 1_000_000),
    description: 'most consumers in one channel',
    standard: () => 100_000,
  },
  consumerTimeout: {
    name: 'consumer-timeout',
    kind: orOff(duration(1000, 315_360_000_000), 'off'),
    description:
      'how long a consumer may hold a message before the message goes to another one and the consumer is cancelled; ' +
      'queues, policies and consumers may say otherwise',
    standard: () => null,
  },
  handshakeTimeout: {
    name: 'handshake-timeout',
    kind: duration(10, 600_000),
    description: 'how long a client may take from connecting to connection.open',
    standard: () => 10_000,
  },
  loopbackUsers: {
    name: 'loopback-users',
    kind: nameList(),
    description: 'users who may log in from this machine only; none lifts that',
    standard: () => ['guest'],
  },
  defaultUser: {
    name: 'default-user',
    kind: text('<name>'),
    description: 'user made when the data directory is new, with all permissions',
    standard: () => 'guest',
    environmentAliases: ['RABBITMQ_DEFAULT_USER'],
  },
  defaultPassword: {
    name: 'default-password',
    kind: text('<password>', 4096),
    description:
      'password of that user; better given in the environment, where other users of the machine do not see it',
    standard: () => 'guest',
    environmentAliases: ['RABBITMQ_DEFAULT_PASS'],
    secret: true,
  },
  defaultVhost: {
    name: 'default-vhost',
    kind: text('<name>'),
    description: 'virtual host made when the data directory is new',
    standard: () => '/',
    environmentAliases: ['RABBITMQ_DEFAULT_VHOST'],
  },
  nodeName: {
    name: 'node-name',
    kind: text('<name>'),
    description: 'name of this broker in the HTTP API and the metrics',
    standard: () => `leveret@${hostname()}`,
    standardText: 'leveret@ and the name of the machine',
  },
  logLevel: {
    name: 'log-level',
    kind: oneOf(logLevels),
    description: 'least serious messages to print',
    standard: () => 'info',
  },
}

/** The environment variable of a setting: LEVERET_MEMORY_LIMIT. */
export function environmentName(setting: { name: string }): string {
  return `LEVERET_${setting.name.toUpperCase().replaceAll('-', '_')}`
}
