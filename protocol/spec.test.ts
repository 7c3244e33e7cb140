// The table of methods: complete, and without contradictions.
import { describe, expect, it } from '@jest/globals'
import { M, METHOD_BY_ID, METHOD_BY_NAME, METHODS, type MethodName } from './spec'

const methods = [...METHOD_BY_NAME.values()]

/** Class id and method ids, from 0-9-1 and RabbitMQ's extensions; access.request is of 0-8. */
const known: Record<string, [classId: number, ...methodIds: number[]]> = {
  connection: [10, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61, 70, 71],
  channel: [20, 10, 11, 20, 21, 40, 41],
  access: [30, 10, 11],
  exchange: [40, 10, 11, 20, 21, 30, 31, 40, 51],
  queue: [50, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51],
  basic: [60, 10, 11, 20, 21, 30, 31, 40, 50, 60, 70, 71, 72, 80, 90, 100, 110, 111, 120],
  confirm: [85, 10, 11],
  tx: [90, 10, 11, 20, 21, 30, 31],
}

describe('the methods', () => {
  it.each(Object.entries(known))('of class %s are all there', (name, [classId, ...ids]) => {
    const there = methods.filter((m) => m.name.startsWith(`${name}.`)).map((m) => m.id)
    expect(there.sort((a, b) => a - b)).toEqual(ids.map((id) => (classId << 16) | id))
  })

  it('belong to known classes', () => {
    expect(new Set(methods.map((m) => m.name.split('.')[0]))).toEqual(new Set(Object.keys(known)))
  })

  it('are found by id, name and camel-case name', () => {
    expect(METHOD_BY_ID.size).toBe(methods.length)
    expect(METHOD_BY_NAME.size).toBe(Object.keys(METHODS).length)
    expect([M.basicPublish, M.queueDeclareOk, M.connectionUpdateSecretOk, M.basicRecoverAsync]).toEqual([
      0x3c0028, 0x32000b, 0x0a0047, 0x3c0064,
    ])
    expect(Object.values(M).sort()).toEqual([...METHOD_BY_ID.keys()].sort())
  })

  it('carry content where they carry a message', () => {
    const withContent = methods.filter((m) => m.hasContent).map((m) => m.name)
    expect(withContent).toEqual(['basic.publish', 'basic.return', 'basic.deliver', 'basic.get-ok'])
  })

  it.each<[MethodName, MethodName[]]>([
    ['connection.start', ['connection.start-ok']],
    ['connection.close', ['connection.close-ok']],
    ['connection.blocked', []],
    ['queue.declare', ['queue.declare-ok']],
    ['queue.declare-ok', []],
    ['basic.get', ['basic.get-ok', 'basic.get-empty']],
    ['basic.recover', ['basic.recover-ok']],
    ['basic.recover-async', []],
    ['basic.publish', []],
    ['basic.ack', []],
  ])('%s is answered by %p', (name, replies) => expect(METHOD_BY_NAME.get(name)?.replies).toEqual(replies))

  it('that answer are the answer to one method each', () => {
    const answers = methods.flatMap((m) => m.replies)
    expect(new Set(answers).size).toBe(answers.length)
    expect(methods.filter((m) => /-(ok|empty)$/.test(m.name)).map((m) => m.name)).toEqual(answers)
  })
})
