// The disk of a broker in a process of its own, made to fail at will while it runs: see disk-faults.c.
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const { EIO, ENOSPC } = constants.errno

/** In the order of `struct control` in disk-faults.c. */
const NUMBERS = [
  'writeErrno',
  'growthErrno',
  'syncErrno',
  'syncFailures',
  'syncDelayMs',
  'readErrno',
  'freeBytes',
  'failed',
  'syncs',
] as const
type FaultNumber = (typeof NUMBERS)[number]
export type Faults = Partial<Record<FaultNumber, number>>

const HEALTHY: Faults = { writeErrno: 0, growthErrno: 0, syncErrno: 0, syncFailures: -1, syncDelayMs: 0, readErrno: 0 }

export const FULL: Faults = { growthErrno: ENOSPC }
export const NO_WRITES: Faults = { writeErrno: EIO }
export const NO_SYNCS: Faults = { syncErrno: EIO }
export const ONE_FAILED_SYNC: Faults = { syncErrno: EIO, syncFailures: 1 }
export const NO_READS: Faults = { readErrno: EIO }

export class FaultyDisk {
  readonly place = mkdtempSync(join(tmpdir(), 'leveret-disk-'))
  readonly directory = join(this.place, 'data')
  private readonly control: number

  constructor() {
    const source = resolve(__dirname, '../../../server/faults/disk-faults.c')
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', join(this.place, 'disk-faults.so'), source, '-ldl'])
    const path = join(this.place, 'control')
    writeFileSync(path, Buffer.alloc(8 * NUMBERS.length))
    this.control = openSync(path, 'r+')
    this.set({ freeBytes: -1 })
    this.heal()
  }

  /** For the broker's process. */
  get environment(): NodeJS.ProcessEnv {
    return {
      LD_PRELOAD: join(this.place, 'disk-faults.so'),
      DISK_FAULTS_DIR: this.directory,
      DISK_FAULTS_CONTROL: join(this.place, 'control'),
    }
  }

  set(faults: Faults): void {
    for (const [name, value] of Object.entries(faults)) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(BigInt(value))
      writeSync(this.control, bytes, 0, 8, 8 * NUMBERS.indexOf(name as FaultNumber))
    }
  }

  heal(): void {
    this.set(HEALTHY)
  }

  count(name: 'failed' | 'syncs'): number {
    const bytes = Buffer.alloc(8)
    readSync(this.control, bytes, 0, 8, 8 * NUMBERS.indexOf(name))
    return Number(bytes.readBigInt64LE())
  }

  remove(): void {
    closeSync(this.control)
    rmSync(this.place, { recursive: true, force: true })
  }
}
