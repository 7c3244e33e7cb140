// Copying bytes on the per-message lane.

/** Below this many bytes a loop beats the call into native code (Node 20: a view is allocated for each native copy). */
const LOOP_BYTES_MAX = 48

/** Copies src[start, end) to dst at `at`; returns the position behind the copy. */
export function copyBytes(src: Buffer, start: number, end: number, dst: Buffer, at: number): number {
  const length = end - start
  if (length <= LOOP_BYTES_MAX) {
    for (let i = start; i < end; i++) dst[at++] = src[i]
    return at
  }
  src.copy(dst, at, start, end)
  return at + length
}
