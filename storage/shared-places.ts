// Memory that both threads of the storage see, for payloads on their way to disk and back. Buffers that are handed over come and go so
// quickly that V8 collects its whole heap fifty times a second to count them; these stay.
import { types } from 'node:util'

/** Takes what a segment of usual size stores, and the records that speak of it. */
export const PLACE_BYTES = 288 * 1024
/** Less is handed over. */
const BYTES_WORTH_A_PLACE = 16 * 1024
/** Unused ones that are kept. */
const PLACES_MAX = 32

export class SharedPlaces {
  private readonly free: SharedArrayBuffer[] = []

  take(): SharedArrayBuffer {
    return this.free.pop() ?? new SharedArrayBuffer(PLACE_BYTES)
  }

  /** Null when the bytes are too few or too many for a place. */
  takeFor(bytes: number): Uint8Array | null {
    return bytes < BYTES_WORTH_A_PLACE || bytes > PLACE_BYTES ? null : new Uint8Array(this.take(), 0, bytes)
  }

  /** Of an array that lies in no place, nothing is kept. */
  giveBack({ buffer }: Uint8Array): void {
    if (isShared(buffer) && this.free.length < PLACES_MAX) this.free.push(buffer)
  }
}

/** Not instanceof: under jest buffers come from another realm. */
export const isShared = (buffer: ArrayBufferLike): buffer is SharedArrayBuffer => types.isSharedArrayBuffer(buffer)
