// How much memory this process may use: the machine's, or less where a container's control group says so. Called once,
// by the default of the memory-limit setting.
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'

/** A broker that trusts the machine's memory inside a small container is killed before its own limit is reached. */
export function availableMemoryBytes(readText = readTextOrEmpty, machineBytes = totalmem()): number {
  return Math.min(machineBytes, ...controlGroupLimits(readText))
}

/** Version 2 and version 1 files, as a container sees them. 'max', or version 1's huge number, means no limit. */
function controlGroupLimits(readText: (path: string) => string): number[] {
  return ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']
    .map((path) => readText(path).trim())
    .filter((text) => /^[1-9]\d*$/.test(text))
    .map(Number)
}

function readTextOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
