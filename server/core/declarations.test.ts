// What a user needs rights for, where it is more than the name of what is declared.
import { describe, expect, it } from '@jest/globals'
import { MemoryBackend } from '../../storage/memory-backend'
import { ManualClock } from './clock'
import { Core } from './core'
import { Declarations } from './declarations'
import { Session } from './session'
import type { User } from './users'
import type { Vhost } from './vhost'

async function declarations(rights: { configure: string; write: string; read: string }): Promise<Declarations> {
  const events = {
    onCommitted() {},
    onCommitFailed() {},
    onLoaded() {},
    onMemory() {},
    onBlocked() {},
    flushConnections() {},
  }
  const options = { defaultUser: 'u', defaultPassword: 'p', defaultVhost: '/', loopbackUsers: [], memoryLimit: 2 ** 30 }
  const core = new Core(new MemoryBackend(), { ...options, clock: new ManualClock(), log() {} }, events)
  await core.start()
  core.users.addPermission({ user: 'u', vhost: '/', ...rights })
  return new Declarations(core.vhosts.get('/') as Vhost, new Session('test', core.users.all.get('u') as User, '/'))
}

const direct = { type: 'direct', durable: false, autoDelete: false, internal: false }

describe('a queue with a dead-letter exchange', () => {
  const declared = (exchange: string) => ({ ...transient, arguments: { 'x-dead-letter-exchange': exchange } })
  const transient = { durable: false, autoDelete: false, exclusive: false }
  const rights = "in vhost '/' refused for user 'u'"

  it.each([
    ['other', 'other'],
    ['', 'amq.default'],
  ])('(%j) asks for the rights to read and to write, once', async (exchange, shown) => {
    const neither = await declarations({ configure: '^q$', write: '', read: '' })
    expect(() => neither.declareQueue('q', declared(exchange))).toThrow(`read access to queue 'q' ${rights}`)
    const reading = await declarations({ configure: '^q$', write: '^q$', read: '^q$' })
    expect(() => reading.declareQueue('q', declared(exchange))).toThrow(`write access to exchange '${shown}' ${rights}`)
    const both = await declarations({ configure: '^q$', write: `^${shown}$`, read: '^q$' })
    expect(both.declareQueue('q', declared(exchange)).created).toBe(true)
    expect(both.declareQueue('q', declared(exchange)).created).toBe(false)
  })

  it('asks for neither where there is none', async () => {
    const plain = await declarations({ configure: '^q$', write: '', read: '' })
    expect(plain.declareQueue('q', { ...transient, arguments: {} }).created).toBe(true)
  })
})

describe('an exchange with an alternate exchange', () => {
  const refused = (right: string, name: string) =>
    `${right} access to exchange '${name}' in vhost '/' refused for user 'u'`

  it.each(['alternate-exchange', 'x-alternate-exchange'])(
    '(%s) asks for the rights to read and to write',
    async (name) => {
      const declaring = { ...direct, arguments: { [name]: 'other' } }
      const neither = await declarations({ configure: '^x$', write: '', read: '' })
      expect(() => neither.declareExchange('x', declaring)).toThrow(refused('read', 'x'))
      const reading = await declarations({ configure: '^x$', write: '^x$', read: '^x$' })
      expect(() => reading.declareExchange('x', declaring)).toThrow(refused('write', 'other'))
      const both = await declarations({ configure: '^x$', write: '^other$', read: '^x$' })
      expect(both.declareExchange('x', declaring)).toBe(true)
      expect(both.declareExchange('x', declaring)).toBe(false)
    },
  )

  it('asks for neither where there is none', async () => {
    const plain = await declarations({ configure: '^x$', write: '', read: '' })
    expect(plain.declareExchange('x', { ...direct, arguments: {} })).toBe(true)
  })
})
