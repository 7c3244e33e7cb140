// CPU seconds and resident memory of another process, read from /proc (Linux only; elsewhere all figures are null).
// The broker is looked at from outside, the same way whoever wrote it.
import { readFileSync, writeFileSync } from 'node:fs'

/** USER_HZ, part of Linux's ABI: 100 on every architecture that Node runs on. */
const ticksPerSecond = 100

export interface ProcessUsage {
  cpuSeconds: number // user and system, all threads
  rssBytes: number
  rssPeakBytes: number // since the process started, or since resetRssPeak
}

export function readUsage(pid: number | null): ProcessUsage | null {
  if (pid === null) return null
  try {
    return {
      cpuSeconds: cpuSecondsOf(readFileSync(`/proc/${pid}/stat`, 'utf8')),
      ...memoryOf(readFileSync(`/proc/${pid}/status`, 'utf8')),
    }
  } catch {
    return null
  }
}

/** Starts a new peak. Needs the right to write to the process; without it the peak stays the one since its start. */
export function resetRssPeak(pid: number | null): void {
  if (pid === null) return
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
  } catch {
    // Another user's process, or no /proc.
  }
}

/** Fields 14 and 15 of /proc/PID/stat (proc(5)), counted after the command name, which may hold spaces and brackets. */
export function cpuSecondsOf(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(afterName[11]) + Number(afterName[12])) / ticksPerSecond
}

export function memoryOf(status: string): { rssBytes: number; rssPeakBytes: number } {
  return { rssBytes: kilobytesOf(status, 'VmRSS'), rssPeakBytes: kilobytesOf(status, 'VmHWM') }
}

function kilobytesOf(status: string, field: string): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)
  return match ? Number(match[1]) * 1024 : 0
}
