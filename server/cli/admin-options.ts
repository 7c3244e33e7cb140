// The options of every command that asks a running broker over its HTTP API.
import { type Command, Option } from 'commander'

export function withAdminOptions(command: Command, hasJson = true): Command {
  const json = new Option('--json', 'print what the HTTP API answers')
  if (hasJson) command.addOption(json)
  return command
    .option('--url <url>', "the broker's HTTP API (default: this machine, at LEVERET_ADMIN_PORT or 15672)")
    .option('--user <name>', 'log in as (default: LEVERET_DEFAULT_USER or guest)')
    .option('--password <password>', 'with this password (default: LEVERET_DEFAULT_PASSWORD or guest)')
}
