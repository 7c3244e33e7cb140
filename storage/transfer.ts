// Handing byte arrays to another thread without copying them. Used on both sides of the storage worker.
import { types } from 'node:util'
import { isShared } from './shared-places'

/** The distinct buffers that one of the arrays covers whole: those may be transferred. */
export function ownedBuffers(arrays: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>()
  for (const { buffer, byteLength } of arrays) {
    // Not instanceof: under jest buffers come from another realm. Shared memory cannot be transferred.
    if (byteLength > 0 && types.isArrayBuffer(buffer) && buffer.byteLength === byteLength) buffers.add(buffer)
  }
  return [...buffers]
}

/** The array itself if it covers its buffer or lies in shared memory, else a copy. Posting a view of another buffer would copy all of that. */
export const compact = (array: Uint8Array): Uint8Array =>
  array.byteLength === array.buffer.byteLength || isShared(array.buffer) ? array : new Uint8Array(array)
