// The commands of `leveret`, their options and help. Parses and dispatches; what a command does stands in the file of
// its name, loaded only when it runs, so that `start` pays for nothing it does not need. Called by main.ts.
import { Command, CommanderError, Option } from 'commander'
import { environmentName, type Setting, settings } from '../config-settings'
import { version } from '../version'
import { withAdminOptions } from './admin-options'
import type { CliContext } from './context'
import { addLimit, addPolicy } from './rule-commands'

/** Resolves with the exit code; never rejects. */
export async function runCommandLine(args: readonly string[], context: CliContext): Promise<number> {
  let code = 0
  const program = createProgram(context, (result) => {
    code = result
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode // commander has printed why
    for (const line of explain(error)) context.printError(line)
    return 1
  }
}

/** Expected failures carry a message for people; anything else is a mistake of ours, and its stack helps to find it. */
const expectedErrors = ['CommandError', 'ConfigError', 'StartupError', 'StorageError']

function explain(error: unknown): string[] {
  if (!(error instanceof Error)) return [`leveret: ${String(error)}`]
  const text = expectedErrors.includes(error.name)
    ? error.message
    : `unexpected failure: ${error.stack ?? error.message}`
  return text.split('\n').map((line) => (line.trim() === '' ? '' : `leveret: ${line}`))
}

type Done = (code: number) => void

function createProgram(context: CliContext, done: Done): Command {
  const program = new Command('leveret')
    .description('A message broker that speaks AMQP 0-9-1, as RabbitMQ does.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'explain a command')
    .exitOverride()
    .configureOutput({ writeOut: onLines(context.print), writeErr: onLines(context.printError) })
    .showHelpAfterError('(--help lists what there is)')
    .addHelpText('after', programHelp)
  addStart(program, context, done)
  addHealthcheck(program, context, done)
  addStatus(program, context, done)
  addQueues(program, context, done)
  addPolicy(program, context, done)
  addLimit(program, context, done)
  addBackup(program, context, done)
  addSalvage(program, context, done)
  return program
}

function addStart(program: Command, context: CliContext, done: Done): void {
  const start = program
    .command('start')
    .description('run a broker until it is told to stop')
    .option('--config <file>', 'read settings from this TOML file [LEVERET_CONFIG]')
    .addHelpText('after', startHelp)
  for (const setting of Object.values(settings) as Setting<unknown>[]) start.addOption(settingOption(setting))
  start.action(async (options) => done(await (await import('./start')).start(options, context)))
}

function addHealthcheck(program: Command, context: CliContext, done: Done): void {
  program
    .command('healthcheck')
    .description('exit with 0 when a broker on this machine greets AMQP clients, with 1 when not')
    .option('--config <file>', 'find the port in this configuration file [LEVERET_CONFIG]')
    .addOption(settingOption(settings.host))
    .addOption(settingOption(settings.port))
    .action(async (options) => done(await (await import('./healthcheck')).healthcheck(options, context)))
}

function addStatus(program: Command, context: CliContext, done: Done): void {
  withAdminOptions(program.command('status').description('show what a running broker is doing')).action(
    async (options) => done(await (await import('./status')).status(options, context)),
  )
}

function addQueues(program: Command, context: CliContext, done: Done): void {
  const load = () => import('./queues')
  const queues = withAdminOptions(
    program.command('queues').description('list the queues of a running broker; pause or resume one'),
  )
    .option('--vhost <name>', 'only those of this virtual host')
    .addHelpText('after', queuesHelp)
    .action(async (options) => done(await (await load()).queues(options, context)))
  const subcommand = (usage: string, description: string) =>
    withAdminOptions(queues.command(usage).description(description), false)
      .argument('<name>', 'which one')
      .option('--vhost <name>', 'in this virtual host', '/')
  subcommand('pause', 'hand out no more messages of a queue; those that come are kept, also over a restart').action(
    async (name, _, command) => done(await (await load()).pauseQueue(name, command.optsWithGlobals(), context)),
  )
  subcommand('resume', 'hand them out again').action(async (name, _, command) =>
    done(await (await load()).resumeQueue(name, command.optsWithGlobals(), context)),
  )
}

function addBackup(program: Command, context: CliContext, done: Done): void {
  withAdminOptions(program.command('backup').description('copy all that a running broker has on disk to a file'), false)
    .argument('<file>', 'where to write it; it must not exist yet')
    .addHelpText('after', backupHelp)
    .action(async (file, options) => done(await (await import('./backup')).backup(file, options, context)))
}

function addSalvage(program: Command, context: CliContext, done: Done): void {
  program
    .command('salvage')
    .description('copy what is readable of a damaged data directory to a new one, and tell what is not')
    .option('--config <file>', 'find the data directory in this configuration file [LEVERET_CONFIG]')
    .addOption(settingOption(settings.data))
    .requiredOption('--to <directory>', 'the new data directory; it must not exist yet, or be empty')
    .addHelpText('after', salvageHelp)
    .action(async (options) => done(await (await import('./salvage')).salvageDirectory(options, context)))
}

function settingOption<T>(setting: Setting<T>): Option {
  const { name, kind, description, environmentAliases = [] } = setting
  const variables = [environmentName(setting), ...environmentAliases].join(', ')
  const value = setting.standardText ?? kind.format(setting.standard())
  return new Option(`--${name} ${kind.placeholder}`.trim(), `${description} (default: ${value}) [${variables}]`)
}

/** Commander hands out text that ends its own lines. */
function onLines(print: (line: string) => void): (text: string) => void {
  return (text) => print(text.replace(/\n$/, ''))
}

const queuesHelp = `
Examples:
  leveret queues
  leveret queues --vhost shop --json
  leveret queues pause orders        no worker gets an order until
  leveret queues resume orders`

const programHelp = `
Examples:
  leveret start                      AMQP on 5672, HTTP API on 15672, data in ./data
  leveret start --in-memory --port 0 --admin-port off
                                     for tests: nothing on disk, a port that is free
  leveret start --data /var/lib/leveret --memory-limit 512MB
  leveret status                     what the broker on this machine is doing
  leveret queues --url http://broker.example:15672 --user ops --password secret
  leveret policy set short '^tmp' '{"message-ttl": 60000}'
                                     messages in queues of such names live a minute
  leveret limit set user app max-connections 100

Connect AMQP 0-9-1 clients to amqp://guest:guest@localhost:5672/. The user guest may log in from this machine only.
Everything that is to survive lies in the data directory: delete it to begin anew. To copy it: "leveret backup"; when it
is damaged: "leveret salvage".
"leveret start --help" lists all settings.`

const backupHelp = `
The broker goes on working. Everything that it had confirmed before is in the file, and some of what came meanwhile. The
copy is made in the data directory first, which needs as much free space there; then it comes over HTTP, so that this
command may run on another machine. The user needs the tag administrator.

To restore it, start a broker on it, with a data directory that has nothing else:

  leveret backup /backups/monday.db
  mkdir /var/lib/restored && cp /backups/monday.db /var/lib/restored/leveret.db
  leveret start --data /var/lib/restored

What was delivered and not acknowledged by then is delivered again.`

const salvageHelp = `
For a data directory that "leveret start" calls damaged:

  leveret salvage --data /var/lib/leveret --to /var/lib/leveret-salvaged
  leveret start --data /var/lib/leveret-salvaged

Stop the broker first. The damaged directory is only read, never changed. Definitions and messages that are readable, the
latter by their checksums, are copied in their order; each thing that is not is named, with its place and what it held
where that is known. Messages whose acknowledgement is lost may be delivered again.

Exit code: 0 when all was readable, 1 when something was lost, 2 when nothing was done.`

const startHelp = `
Each setting is an option here, a variable of the environment (in brackets above) and a key in the TOML file, by the
name it has here without the dashes in front. An option counts before the environment, the environment before the file:

  port = 5673
  memory-limit = "512MB"
  loopback-users = ["guest"]

SIGTERM or Ctrl-C stops the broker: clients are told, what is to be kept is on disk. A second one does not wait for clients.`
