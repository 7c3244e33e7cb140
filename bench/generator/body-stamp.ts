// What the generator writes into each body so that the consumer can prove that nothing is missing, doubled or out of
// order, and how old a message is. Big-endian, at the start of the body; a shorter body carries as much as fits.
//
//   0        4        8                16
//   +--------+--------+----------------+---- - -
//   | stream | number | sent at, µs    | filler
//   +--------+--------+----------------+---- - -
//   u32      u32      float64
//
// stream: which publisher. number: 0, 1, 2 … per publisher. sent at: the monotonic clock, 0 when not measured.

export const numberedSize = 8
export const stampedSize = 16

const streamOffset = 0
const numberOffset = 4
const sentAtOffset = 8

export function writeStream(buf: Buffer, body: number, stream: number): void {
  buf.writeUInt32BE(stream, body + streamOffset)
}

/** By bytes: several times faster than writeUInt32BE, which checks its arguments, and this runs once per message. */
export function writeNumber(buf: Uint8Array, body: number, value: number): void {
  const at = body + numberOffset
  buf[at] = value >>> 24
  buf[at + 1] = value >>> 16
  buf[at + 2] = value >>> 8
  buf[at + 3] = value
}

export function writeSentAt(buf: Buffer, body: number, us: number): void {
  buf.writeDoubleBE(us, body + sentAtOffset)
}

export function readStream(buf: Uint8Array, body: number): number {
  return readUint32(buf, body + streamOffset)
}

export function readNumber(buf: Uint8Array, body: number): number {
  return readUint32(buf, body + numberOffset)
}

export function readSentAt(buf: Buffer, body: number): number {
  return buf.readDoubleBE(body + sentAtOffset)
}

function readUint32(buf: Uint8Array, at: number): number {
  return ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]) >>> 0
}
