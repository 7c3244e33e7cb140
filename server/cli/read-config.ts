// Reads the configuration file, where one is named, and resolves it with options and environment. The parser is loaded
// only then. Called by start, healthcheck and, for where the HTTP API is, by status and queues.
import { readFile } from 'node:fs/promises'
import { type CliConfig, resolveCliConfig } from '../config'
import { type CliContext, CommandError } from './context'

type RawOptions = Readonly<Record<string, unknown>>

export async function readConfig({ config, ...options }: RawOptions, context: CliContext): Promise<CliConfig> {
  const path = config ?? (context.env.LEVERET_CONFIG || undefined)
  const file = path === undefined ? undefined : { path: String(path), values: await readToml(String(path)) }
  return resolveCliConfig({ options, env: context.env, file })
}

async function readToml(path: string): Promise<Record<string, unknown>> {
  const source = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`Cannot read the configuration file ${path}: ${reasons[error.code ?? ''] ?? error.message}`)
  })
  const { parse } = await import('smol-toml')
  try {
    return parse(source)
  } catch (error) {
    throw new CommandError(`${path} is not valid TOML: ${(error as Error).message.trimEnd()}`)
  }
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'it is a directory',
}
