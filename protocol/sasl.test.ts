// Logins out of what clients answer to connection.start.
import { describe, expect, it } from '@jest/globals'
import * as fc from 'fast-check'
import { encodeTable, type FieldTable } from './field-table'
import { decodeSasl } from './sasl'

const amqplain = (table: FieldTable) => encodeTable(table).subarray(4)

describe('PLAIN', () => {
  it.each([
    { response: '\0guest\0secret', login: { user: 'guest', password: 'secret' } },
    { response: 'other\0guest\0secret', login: { user: 'guest', password: 'secret' } },
    { response: '\0é\0', login: { user: 'é', password: '' } },
    { response: '', login: null },
    { response: 'guest', login: null },
    { response: '\0guest', login: null },
    { response: '\0guest\0sec\0ret', login: null },
  ])('$response', ({ response, login }) => expect(decodeSasl('PLAIN', Buffer.from(response))).toEqual(login))

  it('that is no UTF-8 is no login', () => {
    expect(decodeSasl('PLAIN', Buffer.from([0, 0x61, 0, 0xff]))).toBeNull()
  })
})

describe('AMQPLAIN', () => {
  it.each<{ table: FieldTable; login: unknown }>([
    { table: { LOGIN: 'guest', PASSWORD: 'secret' }, login: { user: 'guest', password: 'secret' } },
    { table: { PASSWORD: '', more: 1, LOGIN: '' }, login: { user: '', password: '' } },
    { table: { LOGIN: 'guest' }, login: null },
    { table: { LOGIN: 'guest', PASSWORD: 5 }, login: null },
    { table: { login: 'guest', password: 'secret' }, login: null },
    { table: {}, login: null },
  ])('$table', ({ table, login }) => expect(decodeSasl('AMQPLAIN', amqplain(table))).toEqual(login))

  it('with its length in front, as no client sends it, is no login', () => {
    expect(decodeSasl('AMQPLAIN', encodeTable({ LOGIN: 'a', PASSWORD: 'b' }))).toBeNull()
  })
})

it.each(['EXTERNAL', 'plain', '', 'ANONYMOUS'])('%p is no mechanism of ours', (mechanism) => {
  expect(decodeSasl(mechanism, Buffer.from('\0guest\0guest'))).toBeNull()
})

it('any bytes are a login or none, never an error', () => {
  fc.assert(
    fc.property(fc.constantFrom('PLAIN', 'AMQPLAIN'), fc.uint8Array(), (mechanism, bytes) => {
      decodeSasl(mechanism, Buffer.from(bytes))
    }),
  )
})
