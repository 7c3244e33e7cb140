import { describe, expect, it } from '@jest/globals'
import { type ConfigSources, resolveCliConfig, resolveOptions } from './config'
import { environmentName, type Setting, settings } from './config-settings'

const rows = Object.entries(settings) as [string, Setting<unknown>][]

function cli(sources: Partial<ConfigSources> = {}) {
  return resolveCliConfig({ options: {}, env: {}, ...sources })
}

function file(values: Record<string, unknown>) {
  return { path: 'leveret.toml', values }
}

describe('the table of settings', () => {
  it.each(rows)(
    '%s has an option of its own name, a description and a default that its kind accepts',
    (key, setting) => {
      expect(setting.name).toBe(key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`))
      expect(setting.description).not.toBe('')
      for (const value of [setting.standard(), (setting.embedded ?? setting.standard)()])
        expect(setting.kind.parse(setting.kind.format(value))).toEqual(value)
    },
  )
})

describe('leveret start', () => {
  it('has the defaults of a broker that keeps its data', () => {
    const { memoryLimit, nodeName, ...others } = cli()
    expect(others).toEqual({
      data: './data',
      host: '0.0.0.0',
      port: 5672,
      tlsPort: null,
      tlsCert: null,
      tlsKey: null,
      diskFreeLimit: 50_000_000,
      adminHost: '0.0.0.0',
      adminPort: 15672,
      heartbeat: 60,
      frameMax: 131072,
      channelMax: 2047,
      maxMessageSize: 16777216,
      maxConnections: 10000,
      consumerMaxPerChannel: 100000,
      consumerTimeout: null,
      handshakeTimeout: 10000,
      loopbackUsers: ['guest'],
      defaultUser: 'guest',
      defaultPassword: 'guest',
      defaultVhost: '/',
      logLevel: 'info',
    })
    expect(memoryLimit).toBeGreaterThan(0)
    expect(nodeName).toMatch(/^leveret@./)
  })

  it('takes the option before the environment, the environment before the file, the file before the default', () => {
    const sources = { options: { port: '1' }, env: { LEVERET_PORT: '2' }, file: file({ port: 3 }) }
    expect(cli(sources).port).toBe(1)
    expect(cli({ ...sources, options: {} }).port).toBe(2)
    expect(cli({ file: sources.file }).port).toBe(3)
    expect(cli({ env: { LEVERET_PORT: '' }, file: sources.file }).port).toBe(3)
  })

  it.each(rows)('reads %s from all three', (key, setting) => {
    const text = setting.kind.format(setting.standard())
    const shown = (value: unknown) => (key === 'inMemory' ? 'ok' : value)
    const standard = shown((cli() as unknown as Record<string, unknown>)[key])
    for (const sources of [
      { options: { [key]: text } },
      { env: { [environmentName(setting)]: text } },
      { file: file({ [setting.name]: text }) },
    ])
      expect(shown((cli(sources) as unknown as Record<string, unknown>)[key])).toEqual(standard)
  })

  it("accepts the variables of RabbitMQ's image, after its own", () => {
    const env = { RABBITMQ_DEFAULT_USER: 'ann', RABBITMQ_DEFAULT_PASS: 'secret', RABBITMQ_DEFAULT_VHOST: 'shop' }
    expect(cli({ env })).toMatchObject({ defaultUser: 'ann', defaultPassword: 'secret', defaultVhost: 'shop' })
    expect(cli({ env: { ...env, LEVERET_DEFAULT_USER: 'bob' } }).defaultUser).toBe('bob')
  })

  it('decides between data and in-memory by the stronger source', () => {
    expect(cli({ options: { inMemory: true }, env: { LEVERET_DATA: '/srv' } }).data).toBeNull()
    expect(cli({ options: { data: '/srv' }, env: { LEVERET_IN_MEMORY: 'true' } }).data).toBe('/srv')
    expect(cli({ env: { LEVERET_IN_MEMORY: 'false' } }).data).toBe('./data')
    expect(() => cli({ options: { inMemory: true, data: 'x' } })).toThrow(
      '--in-memory and --data contradict each other',
    )
  })

  it.each([
    ['memory-limit', '256MB', 256e6],
    ['memory-limit', '1 GiB', 2 ** 30],
    ['memory-limit', '0.5gb', 5e8],
    ['memory-limit', 123456789, 123456789],
    ['frame-max', '4096', 4096],
    ['handshake-timeout', '250ms', 250],
    ['handshake-timeout', '1.5s', 1500],
    ['admin-port', 'off', null],
    ['loopback-users', 'none', []],
    ['loopback-users', 'ann, bob', ['ann', 'bob']],
    ['loopback-users', [], []],
    ['log-level', 'WARN', 'warn'],
  ])('reads %s = %j', (name, raw, value) => {
    const key = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())
    expect(cli({ file: file({ [name]: raw }) })).toMatchObject({ [key]: value })
  })

  it('takes a share of the memory', () => {
    const whole = cli({ options: { memoryLimit: '100%' } }).memoryLimit
    expect(cli({ options: { memoryLimit: '50%' } }).memoryLimit).toBe(Math.floor(whole / 2))
  })

  it.each([
    [{ options: { port: 'abc' } }, '--port must be a whole number from 0 to 65535, not "abc"'],
    [{ options: { port: '-1' } }, '--port must be'],
    [{ env: { LEVERET_PORT: '65536' } }, 'LEVERET_PORT must be a whole number from 0 to 65535, not "65536"'],
    [{ file: file({ port: 1.5 }) }, 'port in leveret.toml must be a whole number from 0 to 65535, not 1.5'],
    [{ file: file({ host: {} }) }, 'host in leveret.toml must be text'],
    [{ options: { memoryLimit: '12 parsecs' } }, '--memory-limit must be a size from 16MiB to 64TiB'],
    [{ options: { memoryLimit: '101%%' } }, '--memory-limit must be'],
    [{ options: { logLevel: 'loud' } }, '--log-level must be one of debug, info, warn, error, none, not "loud"'],
    [{ options: { defaultUser: 'é'.repeat(128) } }, '--default-user must be text of 1 to 255 bytes'],
    [{ options: { loopbackUsers: 'a,,b' } }, '--loopback-users must be names separated by commas, or none'],
    [{ env: { LEVERET_IN_MEMORY: 'maybe' } }, 'LEVERET_IN_MEMORY must be true or false, not "maybe"'],
    [
      { env: { LEVERET_MEMROY_LIMIT: '1' } },
      'LEVERET_MEMROY_LIMIT in the environment (did you mean LEVERET_MEMORY_LIMIT?)',
    ],
    [{ file: file({ memoryLimit: 1 }) }, 'Unknown setting memoryLimit in leveret.toml (did you mean memory-limit?)'],
    [{ file: file({ zzz: 1 }) }, /Unknown setting zzz in leveret.toml$/],
  ] as [Partial<ConfigSources>, string | RegExp][])('refuses %j', (sources, message) => {
    expect(() => cli(sources)).toThrow(message)
  })

  it('names every mistake at once, and no password', () => {
    const attempt = () => cli({ options: { port: 'x', heartbeat: 'y' }, file: file({ 'default-password': 42424242 }) })
    expect(attempt).toThrow(/--port.*\n.*--heartbeat.*\n.*default-password in leveret.toml must be text/s)
    expect(attempt).not.toThrow(/42424242/)
  })

  it('is not confused by the variables that Kubernetes makes for a service called leveret', () => {
    const env = {
      LEVERET_PORT: 'tcp://10.0.0.1:5672',
      LEVERET_SERVICE_HOST: '10.0.0.1',
      LEVERET_SERVICE_PORT_AMQP: '5672',
      LEVERET_PORT_5672_TCP_ADDR: '10.0.0.1',
      LEVERET_ADMIN_PORT: 'tcp://10.0.0.2:15672',
    }
    expect(cli({ env })).toMatchObject({ port: 5672, adminPort: 15672 })
  })
})

describe('Broker.start inside a program', () => {
  it('stays in memory, on loopback, on a free port and without HTTP API', () => {
    expect(resolveOptions()).toMatchObject({ data: null, host: '127.0.0.1', port: 0, adminPort: null, heartbeat: 60 })
  })

  it('takes what it is given', () => {
    const given = { data: '/srv', port: 1, adminPort: 0, memoryLimit: 2 ** 25, loopbackUsers: [] }
    expect(resolveOptions(given)).toMatchObject(given)
    expect(resolveOptions({ data: null }).data).toBeNull()
    expect(resolveOptions({ data: undefined, port: undefined })).toEqual(resolveOptions())
  })

  it('accepts its own result', () => {
    const config = resolveOptions({ data: '/srv', adminPort: 0 })
    expect(resolveOptions(config)).toEqual(config)
  })

  it('refuses what it does not know or cannot use', () => {
    expect(() => resolveOptions({ prot: 1 } as never)).toThrow('Unknown setting prot (did you mean port?)')
    expect(() => resolveOptions({ logLevel: 'info' } as never)).toThrow('Unknown setting logLevel')
    expect(() => resolveOptions({ port: 70000 })).toThrow('port must be a whole number from 0 to 65535, not 70000')
  })
})
