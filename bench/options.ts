// The bench's command line: text in, one checked object out. Called by main; knows nothing of brokers.
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { parseAmqpUrl } from './generator/amqp-url'

export interface BenchOptions {
  rows: string[] // row ids or their first letters; empty: all
  list: boolean
  smoke: boolean
  url: string | null // null: the bench starts a broker itself
  pid: number | null // of the broker behind `url`
  vs: 'rabbitmq' | null
  repeats: number
  seconds: number | null // null: as the row says
  messages: number | null
  json: string | null // '-': standard output, which then holds nothing else
  results: string | null // folder for RESULTS.md, .json and .svg
  dataParent: string | null // folder in which brokers that the bench starts get their data; null: the system's temporary one
  profile: string | null // folder for a CPU profile of our broker
}

/** Thrown for a wrong command line and for --help; `exitCode` is 0 for the latter. The text is already printed. */
export { CommanderError as OptionsError }

export function parseOptions(args: readonly string[]): BenchOptions {
  const command = describe()
  command.parse([...args], { from: 'user' })
  const given = command.opts()
  if (given.url !== undefined && given.vs !== undefined) {
    command.error('error: --url measures a running broker, --vs starts two; give one of them')
  }
  if (given.pid !== undefined && given.url === undefined) command.error('error: --pid needs --url')
  return {
    rows: given.row ?? [],
    list: given.list ?? false,
    smoke: given.smoke ?? false,
    url: given.url ?? null,
    pid: given.pid ?? null,
    vs: given.vs ?? null,
    repeats: given.repeats ?? (given.vs ? 3 : 1),
    seconds: given.seconds ?? null,
    messages: given.messages ?? null,
    json: given.json === true ? '-' : (given.json ?? null),
    results: given.results ?? null,
    dataParent: given.dataParent ?? null,
    profile: given.profile ?? null,
  }
}

function describe(): Command {
  return new Command('npm run bench --')
    .description('Measures an AMQP 0-9-1 broker: ours, started by the bench, unless --url names another.')
    .option('--row <ids>', 'rows to measure, by id or letter, separated by commas (default: all)', idList)
    .option('--list', 'print the rows and leave')
    .option('--smoke', 'small counts of every row: checks that counts and order agree, measures nothing')
    .option('--url <url>', 'measure the broker at amqp://user:password@host:port/vhost', amqpUrl)
    .option('--pid <pid>', 'process of the broker behind --url, for its CPU seconds and memory', positiveInteger)
    .option('--vs <broker>', 'start this broker too and alternate; known: rabbitmq', peer)
    .option('--repeats <n>', 'measure each row n times (default: 3 with --vs, else 1)', positiveInteger)
    .option('--seconds <n>', 'publish for n seconds in rows that are limited by time', positiveNumber)
    .option('--messages <n>', 'publish n messages, whatever the row says', positiveInteger)
    .option('--json [file]', 'figures as JSON into the file, or to standard output alone')
    .option('--results <folder>', 'write RESULTS.md, RESULTS.json and, with --vs, RESULTS.svg into the folder')
    .option('--data-parent <folder>', 'where started brokers keep their data (default: the temporary folder)')
    .option('--profile <folder>', "write our broker's CPU profiles into the folder")
    .allowExcessArguments(false)
    .exitOverride()
}

function idList(text: string): string[] {
  return text.split(',').map((id) => id.trim())
}

function amqpUrl(text: string): string {
  try {
    parseAmqpUrl(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
  return text
}

function peer(text: string): string {
  if (text !== 'rabbitmq') throw new InvalidArgumentError('known: rabbitmq')
  return text
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number above 0')
  return Number(text)
}

function positiveNumber(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0')
  return value
}
