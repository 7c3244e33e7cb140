// Memory that both threads of the storage see, for payloads on their way to disk and back. Buffers that are handed over come and go so
// quickly that V8 collects its whole heap fifty times a second to count them; these stay. No more are ever made: what two threads have
// seen becomes garbage only when both have collected all of their heaps, and hundreds of megabytes would wait for that.
import { types } from 'node:util'

/** Takes what a segment of usual size stores, and the records that speak of it. */
export const PLACE_BYTES = 288 * 1024
/** Less is handed over. */
const BYTES_WORTH_A_PLACE = 16 * 1024
/** In use and unused together. */
export const PLACES_MAX = 32

export class SharedPlaces {
  private readonly free: SharedArrayBuffer[] = []
  private made = 0

  /** Null when all are in use. */
  take(): SharedArrayBuffer | null {
    if (this.free.length > 0 || this.made === PLACES_MAX) return this.free.pop() ?? null
    this.made++
    return new SharedArrayBuffer(PLACE_BYTES)
  }

  /** Null, too, when the bytes are too few or too many for a place. */
  takeFor(bytes: number): Uint8Array | null {
    const place = bytes < BYTES_WORTH_A_PLACE || bytes > PLACE_BYTES ? null : this.take()
    return place === null ? null : new Uint8Array(place, 0, bytes)
  }

  /** Of an array that lies in no place, nothing is kept. */
  giveBack({ buffer }: Uint8Array): void {
    if (isShared(buffer)) this.free.push(buffer)
  }
}

/** Not instanceof: under jest buffers come from another realm. */
export const isShared = (buffer: ArrayBufferLike): buffer is SharedArrayBuffer => types.isSharedArrayBuffer(buffer)
