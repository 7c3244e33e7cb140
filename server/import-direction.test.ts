// Holds the layers of ARCHITECTURE.md: each folder imports from the folders below it only.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, sep } from 'node:path'
import { describe, expect, it } from '@jest/globals'

const root = join(__dirname, '..', '..') // of the sources; the tests run from dist

/** What each layer may import besides itself. */
const allowed: Record<string, readonly string[]> = {
  protocol: [],
  storage: ['protocol'],
  'server/base': [],
  'server/core': ['protocol', 'storage', 'server/base'],
  'server/net': ['protocol', 'storage', 'server/core', 'server/base'], // of storage, the stored form of a message
  'server/admin': ['protocol', 'server/core', 'server/base'],
  server: ['protocol', 'storage', 'server/base', 'server/core', 'server/net', 'server/admin'],
  clients: ['protocol', 'server/index'],
  bench: ['protocol', 'server/index', 'clients'],
}

/** Small modules that know nothing of a broker, for every layer under server/. */
const base = ['server/logger.ts', 'server/version.ts']

/** Packages that not every layer may know. */
const packageOwners: Record<string, readonly string[]> = {
  'better-sqlite3': ['storage'],
  fastify: ['server/admin'],
  'prom-client': ['server/admin'],
  commander: ['server', 'bench'],
  'smol-toml': ['server'],
}

const files = ['protocol', 'storage', 'server', 'clients', 'bench']
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((f) => join(folder, f)),
  )
  .filter((file) => file.endsWith('.ts') && !isTest(file) && !file.includes('node_modules'))

describe('imports', () => {
  it.each(files)('of %s go down the layers only', (file) => {
    for (const imported of importsOf(file)) expect(complaint(file, imported)).toBeNull()
  })

  it('are found at all', () => {
    expect(importsOf(join('server', 'config.ts'))).toContain('./config-settings')
    expect(importsOf(join('server', 'cli', 'command-line.ts'))).toEqual(
      expect.arrayContaining(['commander', './start']),
    )
  })
})

function complaint(file: string, imported: string): string | null {
  const from = layerOf(file)
  if (!imported.startsWith('.')) {
    const owners = packageOwners[imported] ?? [from]
    return owners.includes(from) ? null : `${file} imports ${imported}, which belongs to ${owners.join(' and ')}`
  }
  const target = resolveSource(file, imported)
  const to = layerOf(target)
  if (to === from || allowed[from].includes(to)) return null
  if (target === 'server/index.ts' && allowed[from].includes('server/index')) return null
  return `${file} imports ${imported}: ${from} may not import ${to}`
}

/** Imports, re-exports, import() and require(), types too: a type ties layers together as well. */
function importsOf(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8')
  const pattern =
    /(?:^|\s)(?:import|export)\s[^'";]*?from\s+'([^']+)'|^import\s+'([^']+)'|\b(?:import|require)\(\s*'([^']+)'/gm
  return [...source.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? match[3])
}

function resolveSource(file: string, imported: string): string {
  const path = slashes(normalize(join(dirname(file), imported)))
  return [`${path}.ts`, `${path}/index.ts`, path].find((candidate) => files.map(slashes).includes(candidate)) ?? path
}

function layerOf(file: string): string {
  const path = slashes(file)
  if (base.includes(path)) return 'server/base'
  const [top, second] = path.split('/')
  return top === 'server' && ['core', 'net', 'admin'].includes(second) ? `server/${second}` : top
}

/** Tests and what only tests use may reach for everything. */
function isTest(file: string): boolean {
  return /\.test\.ts$/.test(file) || slashes(file).startsWith('server/spec/')
}

function slashes(path: string): string {
  return path.split(sep).join('/')
}
