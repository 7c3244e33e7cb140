// The `leveret` command as a person or an init system uses it: real processes, their output and exit codes.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { version } from '../version'

const main = join(__dirname, '..', 'main.js')

class Leveret {
  output = ''
  errors = ''
  readonly exited: Promise<number | null>
  private readonly child: ChildProcess

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const { PATH, HOME } = process.env
    this.child = spawn(process.execPath, [main, ...args], { env: { PATH, HOME, ...env } as NodeJS.ProcessEnv })
    this.child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.output += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.errors += text
    })
    this.exited = new Promise((resolve) => this.child.on('close', resolve))
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Resolves when a line matches. */
  async prints(line: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = this.output.match(line)
        if (match) resolve(match)
      }
      this.child.stdout?.on('data', look)
      look()
      void this.exited.then((code) => reject(new Error(`exited with ${code}: ${this.output}${this.errors}`)))
    })
  }

  async amqpPort(): Promise<number> {
    await this.prints(/^Server startup complete$/m)
    return Number((await this.prints(/^AMQP 0-9-1 on 127\.0\.0\.1:(\d+)$/m))[1])
  }
}

let directory: string
const running: Leveret[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'leveret-cli-'))
})

afterEach(async () => {
  for (const leveret of running.splice(0)) {
    leveret.kill('SIGKILL')
    await leveret.exited
  }
  await rm(directory, { recursive: true, force: true })
})

function leveret(args: readonly string[], env: Record<string, string> = {}): Leveret {
  const started = new Leveret(args, env)
  running.push(started)
  return started
}

function broker(...args: string[]): Leveret {
  return leveret(['start', '--host', '127.0.0.1', '--port', '0', '--admin-port', 'off', ...args])
}

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const process = leveret(args, env)
  const code = await process.exited
  return { code, output: process.output, errors: process.errors }
}

describe('leveret', () => {
  it('prints its version', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, output: `${version}\n`, errors: '' })
  })

  it('teaches', async () => {
    const { code, output } = await run(['--help'])
    expect(code).toBe(0)
    for (const text of [
      'leveret start',
      'status',
      'queues',
      'healthcheck',
      'backup',
      'salvage',
      'amqp://guest:guest@localhost:5672/',
      './data',
    ])
      expect(output).toContain(text)
  })

  it.each([
    ['an unknown command', ['begin'], "unknown command 'begin'"],
    ['an unknown option', ['start', '--prot', '1'], "unknown option '--prot'\n(Did you mean --port?)"],
    ['a wrong value', ['start', '--port', 'x'], 'leveret: --port must be a whole number from 0 to 65535, not "x"\n'],
    ['a missing file', ['start', '--config', '/nowhere'], 'configuration file /nowhere: there is no such file'],
    ['a wrong address', ['status', '--url', 'x'], '--url must be an address such as http://localhost:15672'],
  ])('explains %s without a stack trace', async (_, args, message) => {
    const { code, output, errors } = await run(args)
    expect({ code, output }).toEqual({ code: 1, output: '' })
    expect(errors).toContain(message)
    expect(errors).not.toMatch(/^\s+at /m)
  })
})

describe('leveret start', () => {
  it('says where it listens, serves, and ends with 0 on SIGTERM', async () => {
    const started = broker('--data', join(directory, 'data'))
    const port = await started.amqpPort()
    expect((await run(['healthcheck', '--host', '127.0.0.1', '--port', String(port)])).code).toBe(0)
    started.kill('SIGTERM')
    expect(await started.exited).toBe(0)
    expect(started.output.split('\n')).toEqual([
      `AMQP 0-9-1 on 127.0.0.1:${port}`,
      `Data in ${join(directory, 'data')}`,
      'Server startup complete',
      'Stopping',
      '',
    ])
    expect(started.errors).toBe('')
  })

  it('ends with 0 on SIGINT, even one that comes while it starts', async () => {
    const started = broker('--in-memory', '--log-level', 'none')
    await started.prints(/AMQP/)
    started.kill('SIGINT')
    expect(await started.exited).toBe(0)
  })

  it('takes a signal and its echo, as npm makes one, for a single wish', async () => {
    const started = broker('--in-memory')
    await started.amqpPort()
    started.kill('SIGTERM')
    started.kill('SIGINT')
    expect(await started.exited).toBe(0)
    expect(started.output.match(/Stopping/g)).toHaveLength(1)
  })

  it('reads its settings from the file that --config or LEVERET_CONFIG names', async () => {
    const config = join(directory, 'leveret.toml')
    await writeFile(config, 'in-memory = true # for the test\nhost = "127.0.0.1"\nport = 0\nadmin-port = "off"\n')
    for (const started of [leveret(['start', '--config', config]), leveret(['start'], { LEVERET_CONFIG: config })]) {
      expect(await started.amqpPort()).toBeGreaterThan(0)
      expect(started.output).toContain('Nothing is written to disk')
    }
  })

  it('says where a file is not TOML', async () => {
    const config = join(directory, 'leveret.toml')
    await writeFile(config, 'port = 0\nhost 127.0.0.1\n')
    const { code, errors } = await run(['start', '--config', config])
    expect(code).toBe(1)
    expect(errors).toContain(`${config} is not valid TOML`)
    expect(errors).toContain('2:  host 127.0.0.1')
  })

  it('refuses a port that is taken', async () => {
    const { port } = await listen()
    const { code, output, errors } = await run(['start', '--in-memory', '--host', '127.0.0.1', '--port', String(port)])
    expect({ code, output }).toEqual({ code: 1, output: '' })
    expect(errors).toContain(`127.0.0.1:${port} is in use`)
  })

  it('refuses a data directory that another broker holds', async () => {
    const data = join(directory, 'data')
    await broker('--data', data).amqpPort()
    const second = broker('--data', data)
    expect(await second.exited).toBe(1)
    expect(second.errors).toMatch(/^leveret: .*data is in use by another Leveret/)
  })
})

describe('leveret healthcheck', () => {
  it('fails where nothing listens', async () => {
    const { port, server } = await listen()
    await new Promise((resolve) => server.close(resolve))
    const { code, errors } = await run(['healthcheck'], { LEVERET_PORT: String(port) })
    expect({ code, errors }).toEqual({ code: 1, errors: expect.stringContaining('No broker greets on localhost') })
  })

  it('fails where something else answers', async () => {
    const { port } = await listen('HTTP/1.1 400 Bad Request\r\n\r\n')
    const { code, errors } = await run(['healthcheck', '--host', '127.0.0.1', '--port', String(port)])
    expect({ code, errors }).toEqual({ code: 1, errors: expect.stringContaining('does not speak AMQP 0-9-1') })
  })
})

describe('leveret status and queues', () => {
  it('show what a running broker tells', async () => {
    const started = leveret(['start', '--in-memory', '--host', '127.0.0.1', '--port', '0', '--admin-port', '0'])
    const adminPort = (await started.prints(/^HTTP API.* on [^\n]*:(\d+)$/m))[1]
    const url = ['--url', `http://127.0.0.1:${adminPort}`]

    const status = await run(['status', ...url])
    expect(status).toMatchObject({ code: 0, errors: '' })
    expect(status.output).toMatch(/^Messages +0 ready, 0 unacked$/m)
    expect(JSON.parse((await run(['status', '--json', ...url])).output)).toHaveProperty('object_totals.connections', 0)

    expect((await run(['queues'], { LEVERET_ADMIN_PORT: adminPort })).output).toBe('There are no queues.\n')
    await putQueue(adminPort, 'orders')
    expect((await run(['queues', ...url])).output).toMatch(
      /^vhost +name +ready .*\n\/ +orders +0 +0 +0 +durable +running$/m,
    )
    expect(JSON.parse((await run(['queues', '--json', '--vhost', '/', ...url])).output)).toHaveLength(1)

    const paused = await run(['queues', 'pause', 'orders', ...url])
    expect(paused).toMatchObject({ code: 0, output: expect.stringMatching(/^Queue orders is paused: /) })
    expect((await run(['queues', '--vhost', '/', ...url])).output).toMatch(/ durable +paused$/m)
    expect((await run(['queues', 'resume', 'orders', '--vhost', '/', ...url])).code).toBe(0)
    expect((await run(['queues', ...url])).output).toMatch(/ durable +running$/m)
    const elsewhere = await run(['queues', 'pause', 'orders', '--vhost', 'other', ...url])
    expect(elsewhere).toMatchObject({ code: 1, output: '', errors: expect.stringContaining('there is no such thing') })
    expect(await run(['queues', 'pause', ...url])).toMatchObject({ code: 1, errors: expect.stringContaining('name') })

    const refused = await run(['status', '--password', 'wrong-secret', ...url])
    expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('does not let guest in') })
    expect(refused.errors).not.toContain('wrong-secret')
  })

  it('say when no broker answers', async () => {
    const { port, server } = await listen()
    await new Promise((resolve) => server.close(resolve))
    const { code, errors } = await run(['queues', '--url', `http://127.0.0.1:${port}`])
    expect({ code, errors }).toEqual({ code: 1, errors: expect.stringContaining('connection refused') })
  })
})

async function putQueue(adminPort: string, name: string): Promise<void> {
  const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`
  const headers = { authorization, 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${adminPort}/api/queues/%2F/${name}`
  const response = await fetch(url, { method: 'PUT', headers, body: '{"durable":true}' })
  expect(response.ok).toBe(true)
}

const servers: Server[] = []

/** A program on a free port that says its line to whoever connects. */
async function listen(line = ''): Promise<{ port: number; server: Server }> {
  const server = createServer((socket) => socket.on('error', () => {}).write(line))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as { port: number }).port, server }
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})
