// The process and the machine, as far as a node of the management API tells of them. The only file here that asks the
// system; what it does not tell on this platform is 0.
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

export interface MachineFacts {
  pid: number
  processors: number
  openFiles: number
  openFilesMax: number
}

export async function machineFacts(): Promise<MachineFacts> {
  const [openFiles, openFilesMax] = await Promise.all([countOpenFiles(), readOpenFilesMax()])
  return { pid: process.pid, processors: availableParallelism(), openFiles, openFilesMax }
}

async function countOpenFiles(): Promise<number> {
  return (await readdir('/proc/self/fd').catch(() => [])).length
}

async function readOpenFilesMax(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 0)
}

export const runtime = `Node.js ${process.version}`
