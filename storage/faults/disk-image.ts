// What a disk may hold after the power went: everything up to a file's last sync, and of what came after it any part, in
// units of sectors. Of what a sync failed for, too, but that is settled then: no later sync writes what is missing. Fed from the trace that disk-trace.c writes.

const SECTOR = 512

export interface DiskCall {
  kind: 'C' | 'W' | 'T' | 'S' | 'F' | 'U' | 'R'
  path: string
  offset: number
  bytes: Buffer
}

export function* readTrace(trace: Buffer): Iterable<DiskCall> {
  for (let at = 0; at + 14 <= trace.length; ) {
    const kind = String.fromCharCode(trace[at]) as DiskCall['kind']
    const pathEnd = at + 14 + trace[at + 1]
    const offset = Number(trace.readBigUInt64LE(at + 2))
    const length = kind === 'W' || kind === 'R' ? trace.readUInt32LE(at + 10) : 0
    yield {
      kind,
      path: trace.toString('utf8', at + 14, pathEnd),
      offset,
      bytes: trace.subarray(pathEnd, pathEnd + length),
    }
    at = pathEnd + length
  }
}

class FileImage {
  bytes = Buffer.alloc(0)
  size = 0
  exists = false

  copy(): FileImage {
    const copy = new FileImage()
    copy.bytes = Buffer.from(this.bytes.subarray(0, this.size))
    copy.size = this.size
    copy.exists = this.exists
    return copy
  }

  write(offset: number, bytes: Buffer): void {
    const end = offset + bytes.length
    this.reserve(end)
    bytes.copy(this.bytes, offset)
    this.size = Math.max(this.size, end)
  }

  truncate(size: number): void {
    if (size < this.size) this.bytes.fill(0, size, this.size)
    this.reserve(size)
    this.size = size
  }

  private reserve(size: number): void {
    if (size <= this.bytes.length) return
    const larger = Buffer.alloc(Math.max(size, this.bytes.length * 2))
    this.bytes.copy(larger, 0, 0, this.size)
    this.bytes = larger
  }
}

export class DiskImage {
  /** As of each file's last sync. */
  private readonly synced = new Map<string, FileImage>()
  private renames: { from: string; to: string }[] = []
  private readonly unsynced = new Map<string, DiskCall[]>()

  /** `below`: a random number below n. */
  constructor(private readonly below: (n: number) => number) {}

  apply(call: DiskCall): void {
    if (call.kind === 'S' && call.path === '') this.syncDirectory()
    else if (call.kind === 'R') this.renames.push({ from: call.path, to: call.bytes.toString() })
    else if (call.kind === 'S') this.sync(call.path)
    else if (call.kind === 'F') this.failToSync(call.path)
    else this.waiting(call.path).push(call)
  }

  private waiting(path: string): DiskCall[] {
    const calls = this.unsynced.get(path) ?? []
    this.unsynced.set(path, calls)
    return calls
  }

  /** What was unlinked or renamed stays so. */
  private syncDirectory(): void {
    for (const { from, to } of this.renames) {
      for (const map of [this.synced, this.unsynced] as Map<string, never>[]) {
        const moved = map.get(from)
        map.delete(from)
        if (moved !== undefined) map.set(to, moved)
      }
    }
    this.renames = []
    for (const [path, calls] of this.unsynced) {
      const last = calls.map((call) => call.kind).lastIndexOf('U')
      if (last === -1) continue
      this.synced.set(path, new FileImage())
      this.unsynced.set(path, calls.slice(last + 1))
    }
  }

  private sync(path: string): void {
    const image = this.synced.get(path) ?? new FileImage()
    this.synced.set(path, image)
    for (const call of this.unsynced.get(path) ?? []) perform(image, call)
    this.unsynced.delete(path)
  }

  private failToSync(path: string): void {
    const image = this.synced.get(path) ?? new FileImage()
    this.synced.set(path, image)
    const share = this.below(5)
    for (const call of this.unsynced.get(path) ?? []) {
      if (call.kind === 'W') tear(call, share, this.below, image)
      else perform(image, call)
    }
    this.unsynced.delete(path)
  }

  /** The files after a loss of power now: of what is not synced, whatever chance lets through. */
  afterPowerLoss(): Map<string, Buffer> {
    const { below } = this
    const files = new Map<string, Buffer>()
    for (const path of new Set([...this.synced.keys(), ...this.unsynced.keys()])) {
      const image = this.synced.get(path)?.copy() ?? new FileImage()
      const share = below(5) // of four: none of it to all of it
      for (const call of this.unsynced.get(path) ?? []) {
        if (call.kind === 'W') tear(call, share, below, image)
        else if (below(4) < share) perform(image, call)
      }
      if (image.exists) files.set(path, image.bytes.subarray(0, image.size))
    }
    for (const { from, to } of this.renames) {
      const moved = files.get(from)
      if (moved === undefined || below(2) === 0) continue
      files.delete(from)
      files.set(to, moved)
    }
    return files
  }
}

function perform(image: FileImage, call: DiskCall): void {
  if (call.kind === 'U') image.truncate(0)
  image.exists = call.kind !== 'U'
  if (call.kind === 'W') image.write(call.offset, call.bytes)
  else if (call.kind === 'T') image.truncate(call.offset)
}

function tear(call: DiskCall, share: number, below: (n: number) => number, image: FileImage): void {
  for (let at = 0; at < call.bytes.length; ) {
    const end = Math.min(call.bytes.length, at + SECTOR - ((call.offset + at) % SECTOR))
    if (below(4) < share) {
      image.exists = true
      image.write(call.offset + at, call.bytes.subarray(at, end))
    }
    at = end
  }
}
