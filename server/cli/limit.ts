// `leveret limit set`, `list` and `delete`, over /api/vhost-limits and /api/user-limits. Called by rule-commands.ts.
import { AdminClient, type AdminOptions, type Answer } from './admin-client'
import { type CliContext, CommandError } from './context'
import { formatTable } from './table'

interface LimitOf {
  kind: string // vhost or user
  name: string
  limit: string
}

const KINDS = ['vhost', 'user']

export async function setLimit(of: LimitOf, text: string, options: AdminOptions, context: CliContext): Promise<number> {
  const path = pathOf(of)
  if (!/^\d{1,15}$/.test(text)) throw new CommandError(`The value must be a whole number, not ${JSON.stringify(text)}`)
  await (await AdminClient.create(options, context)).send('PUT', path, { value: Number(text) })
  context.print(`${of.limit} of ${of.kind} ${of.name} is ${Number(text)}.`)
  return 0
}

export async function deleteLimit(of: LimitOf, options: AdminOptions, context: CliContext): Promise<number> {
  const path = pathOf(of)
  await (await AdminClient.create(options, context)).send('DELETE', path)
  context.print(`${of.kind} ${of.name} has no ${of.limit}.`)
  return 0
}

export async function listLimits(options: AdminOptions, context: CliContext): Promise<number> {
  const client = await AdminClient.create(options, context)
  const all: Answer[] = []
  for (const kind of KINDS) all.push(...(await client.get(`/api/${kind}-limits`)))
  const lines = options.json ? [JSON.stringify(all, null, 2)] : describe(all)
  for (const line of lines) context.print(line)
  return 0
}

function describe(all: readonly Answer[]): string[] {
  const rows = all.flatMap(({ vhost, user, value }) =>
    Object.entries(value ?? {}).map(([limit, count]) => [
      vhost === undefined ? 'user' : 'vhost',
      String(vhost ?? user),
      limit,
      Number(count),
    ]),
  )
  if (rows.length === 0) return ['There are no limits.']
  return formatTable([['kind', 'name', 'limit', 'value'], ...rows])
}

function pathOf({ kind, name, limit }: LimitOf): string {
  if (!KINDS.includes(kind))
    throw new CommandError(`There are limits of vhost and user, not of ${JSON.stringify(kind)}`)
  return `/api/${kind}-limits/${encodeURIComponent(name)}/${encodeURIComponent(limit)}`
}
