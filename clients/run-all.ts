// Runs every client folder that has a `run` and an `install` against a fresh broker each, or all against the one at
// --url, and writes the table of results into clients/README.md; of a broker at --url only where --column names its
// column. Exits 1 when any client found a difference.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const folder = join(__dirname, '..', '..', 'clients')
const installLimitMs = 600_000
const runLimitMs = 400_000
const leftBehindLimitMs = 2_000
const tableStart = '<!-- results -->'
const ours = 'Leveret'
const titles = ['client', 'version', 'language', ours, 'RabbitMQ 3.10', 'RabbitMQ 4.3', 'seconds']

interface Result {
  name: string
  client: string
  version: string
  language: string
  passed: number
  failed: number
  seconds: number
}

interface TestBroker {
  env: NodeJS.ProcessEnv
  stop(): void
}

async function main(): Promise<void> {
  const options = {
    url: { type: 'string' },
    admin: { type: 'string' },
    only: { type: 'string', multiple: true },
    column: { type: 'string' },
  } as const
  const { values } = parseArgs({ options })
  const results: Result[] = []
  for (const name of clientFolders(values.only)) results.push(await check(name, values.url, values.admin))
  const column = values.column ?? (values.url === undefined && values.only === undefined ? ours : undefined)
  console.log(`\n${tableOf(results.map((result) => rowOf(result, column ?? ours)))}`)
  if (column !== undefined) writeTable(results, column)
  const failed = sum(results, 'failed')
  console.log(`${sum(results, 'passed')} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}

function clientFolders(only: string[] | undefined): string[] {
  const isClient = (name: string): boolean =>
    existsSync(join(folder, name, 'run')) && existsSync(join(folder, name, 'install'))
  return readdirSync(folder).filter((name) => isClient(name) && (only?.includes(name) ?? true))
}

async function check(name: string, url: string | undefined, admin: string | undefined): Promise<Result> {
  console.log(`\n--- ${name}`)
  const result = { name, client: name, version: '', language: '', passed: 0, failed: 1, seconds: 0 }
  let broker: TestBroker | null = null
  try {
    Object.assign(result, installed(name))
    broker = url === undefined ? await freshBroker() : foreignBroker(url, admin)
    const start = performance.now()
    const output = await run(join(folder, name, 'run'), broker.env)
    result.seconds = Math.round((performance.now() - start) / 1000)
    Object.assign(result, counted(output.text, output.code))
  } catch (error) {
    console.log(`FAILED ${name}: ${error instanceof Error ? error.message : error}`)
  } finally {
    broker?.stop()
  }
  return result
}

/** What `install` says on its last line: client=… version=… language=… */
function installed(name: string): Partial<Result> {
  const output = execFileSync(join(folder, name, 'install'), { encoding: 'utf8', timeout: installLimitMs })
  const fields = /client=(.*) version=(.*) language=(.*)/.exec(output)
  if (fields === null) throw new Error('install does not say what it installed')
  return { client: fields[1], version: fields[2], language: fields[3] }
}

function counted(text: string, code: number | null): Pick<Result, 'passed' | 'failed'> {
  const line = [...text.matchAll(/^(\d+) passed, (\d+) failed/gm)].at(-1)
  if (line === undefined) return { passed: 0, failed: 1 }
  const failed = Number(line[2])
  return { passed: Number(line[1]), failed: code === 0 ? failed : Math.max(1, failed) }
}

/** A program in a process group of its own, so that what it started ends with it when its time is up. */
function run(command: string, env: NodeJS.ProcessEnv): Promise<{ text: string; code: number | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, { env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      process.stdout.write(chunk)
    })
    const timer = setTimeout(() => endGroup(child, runLimitMs), runLimitMs)
    child.on('error', reject)
    let exitCode: number | null = null
    child.on('exit', (code) => {
      exitCode = code
      clearTimeout(timer)
      // 'close' comes when all output is read, but a process that was left behind may hold the pipe open for ever.
      setTimeout(() => child.stdout.destroy(), leftBehindLimitMs)
    })
    child.on('close', () => resolve({ text, code: exitCode }))
  })
}

function endGroup(child: ChildProcess, limitMs: number): void {
  console.log(`FAILED: not done after ${limitMs / 1000} s`)
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
}

function foreignBroker(url: string, admin: string | undefined): TestBroker {
  const env: NodeJS.ProcessEnv = { ...process.env, LEVERET_URL: url }
  if (admin !== undefined) env.LEVERET_ADMIN = admin
  return { env, stop: () => {} }
}

async function freshBroker(): Promise<TestBroker> {
  const work = mkdtempSync(join(tmpdir(), 'leveret-clients-'))
  const [port, adminPort] = [await freePort(), await freePort()]
  const restart = join(folder, 'restart-broker')
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    CLIENTS_WORK: work,
    CLIENTS_MAIN: join(__dirname, '..', 'server', 'main.js'),
    CLIENTS_PORT: String(port),
    CLIENTS_ADMIN_PORT: String(adminPort),
    LEVERET_URL: `amqp://guest:guest@127.0.0.1:${port}`,
    LEVERET_ADMIN: `http://guest:guest@127.0.0.1:${adminPort}`,
    LEVERET_RESTART: restart,
  }
  execFileSync(restart, { env, stdio: 'inherit' })
  const stop = (): void => {
    try {
      process.kill(Number(readFileSync(join(work, 'pid'), 'utf8')), 'SIGKILL')
    } catch {
      console.log('the broker had already ended')
    }
    rmSync(work, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  return { env, stop }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function sum(results: Result[], field: 'passed' | 'failed'): number {
  return results.reduce((total, result) => total + result[field], 0)
}

type Row = Record<string, string>

function rowOf(result: Result, column: string): Row {
  const { name, client, version, language, passed, failed, seconds } = result
  const row: Row = { client: `[${client}](${name})`, version, language, [column]: `${passed} of ${passed + failed}` }
  if (column === ours) row.seconds = String(seconds)
  return row
}

function tableOf(rows: Row[]): string {
  const line = (cells: string[]): string => `| ${cells.join(' | ')} |`
  const lines = rows.map((row) => line(titles.map((title) => row[title] ?? '')))
  return [line(titles), line(titles.map(() => '---')), ...lines].join('\n')
}

/** What other runs wrote, of other folders or other columns, stays. */
function writeTable(results: Result[], column: string): void {
  if (!titles.includes(column)) throw new Error(`no column ${column}: ${titles.slice(3, -1).join(', ')}`)
  const readme = join(folder, 'README.md')
  const [head, table] = readFileSync(readme, 'utf8').split(tableStart)
  const rows = new Map(rowsOf(table ?? '').map((row) => [row.client, row]))
  for (const result of results) {
    const row = rowOf(result, column)
    rows.set(row.client, { ...rows.get(row.client), ...row })
  }
  const folderOf = (row: Row): string => row.client?.split('](')[1] ?? ''
  const sorted = [...rows.values()].sort((one, other) => (folderOf(one) < folderOf(other) ? -1 : 1))
  writeFileSync(readme, `${head}${tableStart}\n${tableOf(sorted)}\n`)
}

function rowsOf(table: string): Row[] {
  const lines = table
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('|'))
  const [names, , ...rows] = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  return rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [names?.[i] ?? '', cell])))
}

void main()
