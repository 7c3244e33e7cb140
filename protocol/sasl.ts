// What clients say to log in: PLAIN (RFC 4616) and RabbitMQ's AMQPLAIN, a field table without its length.
import { isUtf8 } from 'node:buffer'
import { decodeTable } from './field-table'

export interface Login {
  user: string
  password: string
}

export const saslMechanisms: readonly string[] = ['PLAIN', 'AMQPLAIN']

/** null: not what the mechanism asks for, or no mechanism of ours. */
export function decodeSasl(mechanism: string, response: Buffer): Login | null {
  if (mechanism === 'PLAIN') return decodePlain(response)
  return mechanism === 'AMQPLAIN' ? decodeAmqplain(response) : null
}

/** [identity to act as] NUL user NUL password. */
function decodePlain(response: Buffer): Login | null {
  if (!isUtf8(response)) return null
  const parts = response.toString('utf8').split('\0')
  return parts.length === 3 ? { user: parts[1], password: parts[2] } : null
}

function decodeAmqplain(response: Buffer): Login | null {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(response.length)
  try {
    const { LOGIN: user, PASSWORD: password } = decodeTable(Buffer.concat([length, response]), 0, 4 + response.length)
    return typeof user === 'string' && typeof password === 'string' ? { user, password } : null
  } catch {
    return null
  }
}
