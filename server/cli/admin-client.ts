// Asks the HTTP API of a running broker, for the commands that show what it does or change it. Called by status.ts, queues.ts,
// backup.ts, policy.ts and limit.ts.
import type { IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { type CliContext, CommandError } from './context'
import { readConfig } from './read-config'

export interface AdminOptions {
  url?: string
  user?: string
  password?: string
  json?: boolean
}

/** The part of an answer that a command prints; any field may be missing, for a broker of another version. */
// biome-ignore lint/suspicious/noExplicitAny: JSON from outside, read with defaults everywhere
export type Answer = any

const timeoutMs = 10_000

export class AdminClient {
  private constructor(
    private readonly base: string,
    private readonly user: string,
    private readonly password: string,
  ) {}

  /** Where options leave something out, the environment and the defaults of `leveret start` say it. */
  static async create(options: AdminOptions, context: CliContext): Promise<AdminClient> {
    const config = await readConfig({}, context)
    const base = options.url ?? `http://localhost:${config.adminPort ?? 15_672}`
    if (!/^https?:$/.test(URL.canParse(base) ? new URL(base).protocol : ''))
      throw new CommandError(`--url must be an address such as http://localhost:15672, not ${JSON.stringify(base)}`)
    return new AdminClient(
      base.replace(/\/+$/, ''),
      options.user ?? config.defaultUser,
      options.password ?? config.defaultPassword,
    )
  }

  async get(path: string): Promise<Answer> {
    const response = await this.fetch(path)
    if (response.status === 401) throw new CommandError(`${this.base} does not let ${this.user} in with this password`)
    if (!response.ok) throw new CommandError(`${this.base}${path} answered ${response.status} ${response.statusText}`)
    return await response.json().catch(() => {
      throw new CommandError(`What answers at ${this.base} is not the HTTP API of a broker`)
    })
  }

  /** Changes something. Fails with the broker's reason. */
  async send(method: 'PUT' | 'DELETE', path: string, body?: unknown): Promise<void> {
    const response = await this.fetch(path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) })
    if (response.ok) return
    const problem = (await response.json().catch(() => null)) as { reason?: unknown } | null
    if (response.status === 404) throw new CommandError(`${this.base}${path}: there is no such thing`)
    const why = problem?.reason ?? `${response.status} ${response.statusText}`
    throw new CommandError(`${this.base} refuses: ${typeof why === 'string' ? why : JSON.stringify(why)}`)
  }

  /** A large answer that takes its time: without fetch, which gives up after five minutes. */
  async download(path: string): Promise<IncomingMessage> {
    const url = new URL(this.base + path)
    const { get } = url.protocol === 'https:' ? await import('node:https') : await import('node:http')
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(url, { auth: `${this.user}:${this.password}` }, resolve).on('error', reject)
    }).catch((error: Error) => {
      throw new CommandError(`No broker answers at ${this.base}: ${reason(error)}. Is it running? See --url.`)
    })
    if (response.statusCode === 200) return response
    const problem = (await json(response).catch(() => null)) as { reason?: unknown } | null
    throw new CommandError(
      `${this.base} refuses: ${problem?.reason ?? `${response.statusCode} ${response.statusMessage}`}`,
    )
  }

  private async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`${this.user}:${this.password}`).toString('base64')}`
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      return await fetch(this.base + path, { ...init, headers: { authorization }, signal })
    } catch (error) {
      throw new CommandError(`No broker answers at ${this.base}: ${reason(error as Error)}. Is it running? See --url.`)
    }
  }
}

/** fetch says only that it failed; why is in the cause. */
function reason(error: Error): string {
  const cause = error.cause as NodeJS.ErrnoException | undefined
  if ((cause ?? (error as NodeJS.ErrnoException)).code === 'ECONNREFUSED') return 'connection refused'
  return cause?.message || error.message
}
