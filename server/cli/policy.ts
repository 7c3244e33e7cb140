// `leveret policy set`, `list` and `delete`, over /api/policies and /api/operator-policies. Called by rule-commands.ts.
import { AdminClient, type AdminOptions, type Answer } from './admin-client'
import { type CliContext, CommandError } from './context'
import { formatTable } from './table'

interface PolicyOptions extends AdminOptions {
  vhost?: string
  operator?: boolean
}

interface SetOptions extends PolicyOptions {
  applyTo: string
  priority: string
}

interface NewPolicy {
  name: string
  pattern: string
  definition: string // JSON text
}

export async function setPolicy(policy: NewPolicy, options: SetOptions, context: CliContext): Promise<number> {
  const { name, pattern } = policy
  const definition = definitionOf(policy.definition)
  if (!/^-?\d{1,9}$/.test(options.priority)) throw new CommandError('--priority must be a whole number')
  const body = { pattern, definition, priority: Number(options.priority), 'apply-to': options.applyTo }
  const client = await AdminClient.create(options, context)
  await client.send('PUT', pathOf(options, options.vhost, name), body)
  context.print(`Policy ${name} is set.`)
  return 0
}

function definitionOf(text: string): Answer {
  try {
    return JSON.parse(text)
  } catch (error) {
    const example = `'{"max-length": 10000}'`
    throw new CommandError(
      `The definition must be a JSON object, such as ${example}, in quotes of the shell: ${(error as Error).message}`,
    )
  }
}

export async function listPolicies(options: PolicyOptions, context: CliContext): Promise<number> {
  const client = await AdminClient.create(options, context)
  const list: Answer[] = await client.get(pathOf(options, options.vhost))
  const lines = options.json ? [JSON.stringify(list, null, 2)] : describe(list)
  for (const line of lines) context.print(line)
  return 0
}

function describe(list: readonly Answer[]): string[] {
  if (list.length === 0) return ['There are no policies.']
  const rows = list.map((policy) => [
    policy.vhost,
    policy.name,
    policy.pattern,
    policy['apply-to'] ?? 'all',
    policy.priority ?? 0,
    JSON.stringify(policy.definition),
  ])
  return formatTable([['vhost', 'name', 'pattern', 'apply to', 'priority', 'definition'], ...rows])
}

export async function deletePolicy(name: string, options: PolicyOptions, context: CliContext): Promise<number> {
  const client = await AdminClient.create(options, context)
  await client.send('DELETE', pathOf(options, options.vhost, name))
  context.print(`Policy ${name} is deleted.`)
  return 0
}

function pathOf({ operator }: PolicyOptions, ...names: (string | undefined)[]): string {
  const given = names.filter((name) => name !== undefined)
  return ['/api', operator ? 'operator-policies' : 'policies', ...given.map(encodeURIComponent)].join('/')
}
