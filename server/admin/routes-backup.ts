// GET /api/backup: a consistent copy of all that is on disk, made while the broker goes on, as a download. A download
// and not a file somewhere on the broker's machine: whoever asks may sit elsewhere, and nobody gets to write files over HTTP. For
// administrators only, since it holds every message and every password hash. The other end is cli/backup.ts.
import { createReadStream, type ReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { type AdminContext, type Call, type Resource, resource } from './context'
import { badRequest, notAuthorised, Problem } from './problem'

export function backupRoutes(context: AdminContext): Resource[] {
  let isUnderWay = false
  return [
    resource('/api/backup', {
      GET: async (call) => {
        const { backup } = context.management
        if (!call.user.tags.includes('administrator')) throw notAuthorised('Not administrator user')
        if (backup === null) throw badRequest('this broker keeps everything in memory: there is nothing to back up')
        if (call.request.method === 'HEAD') return ''
        if (isUnderWay) throw new Problem(409, 'conflict', 'another backup is under way')
        isUnderWay = true
        const done = () => {
          isUnderWay = false
        }
        call.request.raw.socket.setTimeout(0) // nothing is sent while the copy is made
        try {
          return await download(call, await backup(), done)
        } catch (error) {
          done()
          context.logger.error('A backup failed', { error })
          throw new Problem(503, 'internal_error', `the backup failed: ${(error as Error).message}`)
        }
      },
    }),
  ]
}

/** The file goes when it was sent, or nobody is there any more to receive it. */
async function download({ reply }: Call, file: string, done: () => void): Promise<ReadStream> {
  const { size } = await stat(file)
  reply.header('content-type', 'application/vnd.sqlite3')
  reply.header('content-length', size)
  const stream = createReadStream(file)
  stream.on('close', () => rm(file, { force: true }).then(done, done))
  return stream
}
