// `leveret backup`: fetches a consistent copy of a running broker's data over the HTTP API into a file that appears whole
// or not at all. Called by command-line.ts.
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { dirname, resolve } from 'node:path'
import { AdminClient, type AdminOptions } from './admin-client'
import { type CliContext, CommandError } from './context'

const PROGRESS_MS = 2000
const MiB = 1024 * 1024

export async function backup(name: string, options: AdminOptions, context: CliContext): Promise<number> {
  const file = resolve(name)
  const part = `${file}.part`
  if (await stat(file).catch(() => null)) throw new CommandError(`${file} exists already: name a new file`)
  const client = await AdminClient.create(options, context)
  const target = await open(part, 'w').catch((error: Error) => {
    throw new CommandError(`Cannot write ${part}: ${error.message}`)
  })
  try {
    context.print('The broker makes a copy')
    const bytes = await receive(await client.download('/api/backup'), target, context)
    await target.sync()
    await rename(part, file)
    await syncDirectory(dirname(file))
    context.print(`${bytes} bytes in ${file}`)
    context.print('To restore it: copy it to an empty directory as leveret.db, and leveret start --data that directory')
    return 0
  } catch (error) {
    await rm(part, { force: true })
    throw error
  } finally {
    await target.close()
  }
}

async function receive(response: IncomingMessage, target: FileHandle, context: CliContext): Promise<number> {
  const total = Number(response.headers['content-length'])
  let bytes = 0
  let toldAt = Date.now()
  try {
    for await (const chunk of response) {
      await target.writeFile(chunk as Buffer)
      bytes += (chunk as Buffer).length
      if (Date.now() - toldAt < PROGRESS_MS) continue
      toldAt = Date.now()
      context.print(
        `${Math.floor(bytes / MiB)} of ${Math.ceil(total / MiB)} MiB (${Math.floor((100 * bytes) / total)} %)`,
      )
    }
  } catch (error) {
    throw new CommandError(`The backup broke off after ${bytes} of ${total} bytes: ${(error as Error).message}`)
  }
  if (bytes !== total) throw new CommandError(`The backup broke off after ${bytes} of ${total} bytes`)
  return bytes
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  await handle.sync().finally(() => handle.close())
}
