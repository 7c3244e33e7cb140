// `leveret salvage`: copies what is readable of a damaged data directory, says what is not. Called by command-line.ts.
import { resolve } from 'node:path'
import { StartupError } from '../../storage/log-backend'
import { type SalvageReport, salvage } from '../../storage/salvage/salvage'
import { DEFAULT_HASHING, hashPassword } from '../core/users'
import { type CliContext, CommandError } from './context'
import { readConfig } from './read-config'

const PROGRESS_MS = 2000

/** Exit codes, beside 0. */
const SOMETHING_LOST = 1
const NOTHING_DONE = 2

export async function salvageDirectory(
  { to, ...options }: Readonly<Record<string, unknown>>,
  context: CliContext,
): Promise<number> {
  const config = await readConfig(options, context)
  if (config.data === null) throw new CommandError('salvage needs the data directory: name it with --data')
  const from = resolve(config.data)
  const target = resolve(String(to))
  context.print(`Reading ${from}`)
  try {
    const report = await salvage({
      from,
      to: target,
      fallbackUser: {
        name: config.defaultUser,
        passwordHash: hashPassword(config.defaultPassword),
        hashingAlgorithm: DEFAULT_HASHING,
        tags: ['administrator'],
      },
      onProgress: progressLines(context),
    })
    for (const line of describe(report, target)) context.print(line)
    return report.losses.length > 0 ? SOMETHING_LOST : 0
  } catch (error) {
    if (!(error instanceof StartupError)) throw error
    context.printError(`leveret: ${error.message}`)
    return NOTHING_DONE
  }
}

function progressLines(context: CliContext): (done: number, total: number) => void {
  let toldAt = Date.now()
  return (done, total) => {
    if (Date.now() - toldAt < PROGRESS_MS) return
    toldAt = Date.now()
    context.print(`${done} of ${total} log entries read (${Math.floor((100 * done) / total)} %)`)
  }
}

function describe({ losses, notes, definitions, entries, messages, queues }: SalvageReport, to: string): string[] {
  return [
    ...losses.map((loss) => `Lost: ${loss}`),
    ...notes.map((note) => `Note: ${note}`),
    `Copied ${definitions} definitions and ${entries} log entries: ${messages} messages in ${queues} queues`,
    losses.length === 0 ? 'Everything was readable' : 'What is named above is lost; all else was readable',
    `Start on it with: leveret start --data ${to}`,
  ]
}
