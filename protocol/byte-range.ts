/** A part of a buffer that is known from the context. Filled in by its finder and used again, so that looking costs no object. */
export interface ByteRange {
  start: number
  end: number
}
