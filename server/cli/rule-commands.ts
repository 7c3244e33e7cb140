// The commands `leveret policy` and `leveret limit`, their options and help. What they do stands in policy.ts and limit.ts.
// Called by command-line.ts.
import { type Command, Option } from 'commander'
import { withAdminOptions } from './admin-options'
import type { CliContext } from './context'

type Done = (code: number) => void

export function addPolicy(program: Command, context: CliContext, done: Done): void {
  const load = () => import('./policy')
  const policy = program
    .command('policy')
    .description('settings for queues and exchanges by a pattern on their names: set, list, delete')
    .addHelpText('after', policyHelp)
  const subcommand = (usage: string, description: string, hasJson = false) =>
    withAdminOptions(policy.command(usage).description(description), hasJson).option(
      '--operator',
      "an operator policy, whose limits hold beside the users': the lower counts",
    )
  subcommand('set', 'make a policy, or replace the one of this name')
    .argument('<name>', 'what the policy is called')
    .argument('<pattern>', 'regular expression; "^jobs" is every name that begins with jobs, ".*" is all')
    .argument('<definition>', `JSON object of settings, such as '{"max-length": 10000}'`)
    .option('--vhost <name>', 'in this virtual host', '/')
    .addOption(new Option('--apply-to <what>', 'to which of them').choices(APPLY_TO).default('all'))
    .option('--priority <number>', 'where several match, the highest counts', '0')
    .action(async (name, pattern, definition, options) =>
      done(await (await load()).setPolicy({ name, pattern, definition }, options, context)),
    )
  subcommand('list', 'show the policies', true)
    .option('--vhost <name>', 'only those of this virtual host')
    .action(async (options) => done(await (await load()).listPolicies(options, context)))
  subcommand('delete', 'end a policy; what it applied to goes on without')
    .argument('<name>', 'which one')
    .option('--vhost <name>', 'in this virtual host', '/')
    .action(async (name, options) => done(await (await load()).deletePolicy(name, options, context)))
}

export function addLimit(program: Command, context: CliContext, done: Done): void {
  const load = () => import('./limit')
  const limit = program
    .command('limit')
    .description('how much a virtual host or a user may have at a time: set, list, delete')
    .addHelpText('after', limitHelp)
  const subcommand = (usage: string, description: string, hasJson = false) =>
    withAdminOptions(limit.command(usage).description(description), hasJson)
  const subject = (command: Command) =>
    command
      .argument('<kind>', 'vhost or user')
      .argument('<name>', 'of which one')
      .argument('<limit>', 'vhost: max-connections, max-queues; user: max-connections, max-channels')
  subject(subcommand('set', 'set a limit, or change it; what is there already stays'))
    .argument('<value>', '0 lets nothing in')
    .action(async (kind, name, limit, value, options) =>
      done(await (await load()).setLimit({ kind, name, limit }, value, options, context)),
    )
  subcommand('list', 'show the limits that are set', true).action(async (options) =>
    done(await (await load()).listLimits(options, context)),
  )
  subject(subcommand('delete', 'take a limit away')).action(async (kind, name, limit, options) =>
    done(await (await load()).deleteLimit({ kind, name, limit }, options, context)),
  )
}

const APPLY_TO = ['all', 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges']

const policyHelp = `
A policy applies at once, to what exists and to what comes, until it is deleted. One policy counts for each queue and
exchange: that of the highest priority. "leveret policy set --help" tells the options.

Examples:
  leveret policy set short '^tmp\\.' '{"message-ttl": 60000, "max-length": 10000}' --apply-to queues
  leveret policy set safe '^jobs' '{"dead-letter-exchange": "failed", "delivery-limit": 5}' --priority 10
  leveret policy set --operator cap '.*' '{"max-length-bytes": 1000000000}'
  leveret policy list
  leveret policy delete short

Settings: message-ttl, expires, max-length, max-length-bytes, overflow, dead-letter-exchange, dead-letter-routing-key,
delivery-limit, delayed-retry-type, -min and -max, consumer-timeout, alternate-exchange and others of RabbitMQ's, by the same names. Times are milliseconds.`

const limitHelp = `
Examples:
  leveret limit set vhost / max-queues 5000
  leveret limit set user app max-connections 100
  leveret limit set user app max-channels 1000
  leveret limit list
  leveret limit delete user app max-channels

A client that would go beyond is refused, with 530 NOT_ALLOWED for connections and channels, and 406 PRECONDITION_FAILED for
queues. The user of this command needs the tag administrator.`
