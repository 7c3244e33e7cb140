// Gives back large buffers soon after their use. A buffer's bytes lie outside of V8's heap, and V8 lets tens of megabytes of
// them gather before it looks; a thread that makes little else than buffers asks it to look sooner, at the young
// generation only, which takes a fraction of a millisecond.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** So many bytes let go of are worth a look. */
const BYTES_PER_LOOK = 8 * 1024 * 1024

type Collect = (options: { type: 'minor' }) => void

let collect: Collect | null = null
let bytes = 0

/** Notes that a buffer which was just made is not in use any more, or will not be in a moment. */
export function noteSpent(spentBytes: number): void {
  bytes += spentBytes
  if (bytes < BYTES_PER_LOOK) return
  bytes = 0
  collect ??= collector()
  collect({ type: 'minor' })
}

function collector(): Collect {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}
