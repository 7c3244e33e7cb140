// What has arrived and who waits for it: one inbox for each channel of a raw connection. Every wait has a deadline and
// fails with what did arrive, so that a test never hangs and says what it saw. Used by raw-connection.ts.
import type { DecodedMethod } from '../../protocol'

export type Received =
  | ({ kind: 'method'; channel: number } & DecodedMethod)
  | { kind: 'header'; channel: number; classId: number; bodySize: number; properties: Buffer }
  | { kind: 'body'; channel: number; bytes: Buffer }
  | { kind: 'heartbeat'; channel: number }

interface Waiter {
  resolve(received: Received): void
  reject(error: Error): void
}

export class Inbox {
  private readonly arrived: Received[] = []
  private readonly waiters: Waiter[] = []
  private readonly history: string[] = []
  private ended: string | null = null

  constructor(
    private readonly owner: string,
    private readonly waitMs: number,
  ) {}

  put(received: Received): void {
    this.history.push(describe(received))
    const waiter = this.waiters.shift()
    if (waiter) waiter.resolve(received)
    else this.arrived.push(received)
  }

  /** Nothing more will come: what waits now, and later once the inbox is empty, fails with `reason`. */
  end(reason: string): void {
    this.ended ??= reason
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.failure(this.ended))
  }

  /** The next frame, at once if it is here already. */
  next(expected: string, waitMs = this.waitMs): Promise<Received> {
    const first = this.arrived.shift()
    if (first) return Promise.resolve(first)
    if (this.ended !== null) return Promise.reject(this.failure(this.ended, expected))
    return this.wait(expected, waitMs)
  }

  /** What is here now, taken out. */
  drain(): Received[] {
    return this.arrived.splice(0)
  }

  private wait(expected: string, waitMs: number): Promise<Received> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (received) => settle(() => resolve(received)),
        reject: (error) => settle(() => reject(error)),
      }
      const timer = setTimeout(() => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1)
        reject(this.failure(`nothing within ${waitMs} ms`, expected))
      }, waitMs)
      const settle = (action: () => void) => {
        clearTimeout(timer)
        action()
      }
      this.waiters.push(waiter)
    })
  }

  private failure(reason: string, expected?: string): Error {
    const wanted = expected === undefined ? '' : `, expected ${expected}`
    return new Error(`${this.owner}: ${reason}${wanted}; so far: ${this.history.slice(-8).join(', ') || 'nothing'}`)
  }
}

/** For messages of failures. */
export function describe(received: Received): string {
  switch (received.kind) {
    case 'method':
      return received.name === 'channel.close' || received.name === 'connection.close'
        ? `${received.name} ${received.args.replyCode} ${received.args.replyText}`
        : received.name
    case 'header':
      return `header of ${received.bodySize} bytes`
    case 'body':
      return `body frame of ${received.bytes.length} bytes`
    default:
      return 'heartbeat'
  }
}
