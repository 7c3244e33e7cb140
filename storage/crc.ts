// CRC-32 (the polynomial of zlib and PNG) over stored bytes. Node's zlib computes it natively from 20.15 on; before that a
// table does. A test proves that both agree.
import * as zlib from 'node:zlib'

export type Crc32 = (bytes: Uint8Array) => number

/** The fast one where this Node has it. */
export const crc32: Crc32 = typeof zlib.crc32 === 'function' ? (bytes) => zlib.crc32(bytes) : crc32ByTable

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

export function crc32ByTable(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]) & 0xff]
  return (crc ^ 0xffffffff) >>> 0
}
