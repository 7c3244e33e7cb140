// Users, their passwords (hashed as RabbitMQ hashes them, so that hashes can be moved between the two) and what they may
// do in which vhost. RabbitMQ docs "Access Control", "Credentials and Passwords".
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { PermissionRecord, UserRecord } from '../../storage/definitions'
import type { UserView } from './core-api'

export const DEFAULT_HASHING = 'rabbit_password_hashing_sha256'
const DIGESTS: Record<string, string> = {
  rabbit_password_hashing_sha256: 'sha256',
  rabbit_password_hashing_sha512: 'sha512',
}
const SALT_BYTES = 4

export type Right = 'configure' | 'write' | 'read'

export class User implements UserView {
  readonly permissions = new Map<string, Permission>()
  constructor(readonly record: UserRecord) {}

  get name(): string {
    return this.record.name
  }
  get tags(): readonly string[] {
    return this.record.tags
  }
}

/** Three patterns, each to match the whole name as RabbitMQ's do: unanchored, as the user wrote them. */
export class Permission {
  private readonly patterns: Record<Right, RegExp>

  /** Throws SyntaxError for a pattern that is none. */
  constructor(readonly record: PermissionRecord) {
    this.patterns = {
      configure: pattern(record.configure),
      write: pattern(record.write),
      read: pattern(record.read),
    }
  }

  allows(right: Right, name: string): boolean {
    return this.patterns[right].test(name)
  }
}

export class Users {
  readonly all = new Map<string, User>()

  constructor(private readonly loopbackUsers: readonly string[]) {}

  add(record: UserRecord): void {
    this.all.set(record.name, new User(record))
  }

  addPermission(record: PermissionRecord): void {
    this.all.get(record.user)?.permissions.set(record.vhost, new Permission(record))
  }

  /** null: no such user, wrong password, or a user who may log in from loopback only. */
  authenticate(name: string, password: string, peerHost: string): User | null {
    const user = this.all.get(name)
    // The same work for a user that does not exist: the time tells nobody which names do.
    const isRight = verifyPassword(user?.record ?? NOBODY, password)
    if (user === undefined || !isRight) return null
    return this.loopbackUsers.includes(name) && !isLoopback(peerHost) ? null : user
  }
}

const NOBODY: UserRecord = {
  name: '',
  passwordHash: hashPassword('nobody'),
  hashingAlgorithm: DEFAULT_HASHING,
  tags: [],
}

/** base64(salt, digest(salt, password)). */
export function hashPassword(password: string, algorithm = DEFAULT_HASHING, salt = randomBytes(SALT_BYTES)): string {
  return Buffer.concat([salt, digest(algorithm, salt, password)]).toString('base64')
}

function verifyPassword(record: UserRecord, password: string): boolean {
  if (record.passwordHash === '' || !Object.hasOwn(DIGESTS, record.hashingAlgorithm)) return false
  const stored = Buffer.from(record.passwordHash, 'base64')
  const expected = stored.subarray(SALT_BYTES)
  const actual = digest(record.hashingAlgorithm, stored.subarray(0, SALT_BYTES), password)
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

function digest(algorithm: string, salt: Buffer, password: string): Buffer {
  return createHash(DIGESTS[algorithm]).update(salt).update(password, 'utf8').digest()
}

/** The empty pattern allows nothing but the empty name, as in RabbitMQ. */
function pattern(source: string): RegExp {
  return new RegExp(source === '' ? '^$' : source)
}

function isLoopback(host: string): boolean {
  return host === '::1' || /^(::ffff:)?127\./.test(host)
}
