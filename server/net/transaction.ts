// What a channel in tx mode holds back until commit: messages, whole, and settlements by delivery tag. 0-9-1 §1.9.
import type { IncomingMessage } from '../../storage/message-store'
import { messageOf } from '../core/made-message'
import type { Gathered } from './publish-assembly'
import type { Settlement, Unacked } from './unacked'

export interface HeldPublish extends IncomingMessage {
  mandatory: boolean
}

export interface HeldSettle {
  tag: number
  how: Settlement
}

export class Transaction {
  publishes: HeldPublish[] = []
  settles: HeldSettle[] = []
  /** Of the messages held. */
  bytes = 0
  private tags = new Set<number>()

  constructor(private readonly gathered: Gathered) {}

  addPublish(m: HeldPublish): void {
    const names = copyOf(m.namesBuf, m.namesStart, m.namesEnd)
    const header = copyOf(m.headerBuf, m.headerStart, m.headerEnd)
    const body = copyOf(m.bodyBuf, m.bodyStart, m.bodyEnd)
    this.bytes += names.length + header.length + body.length
    this.gathered.bytes += names.length + header.length + body.length
    this.publishes.push({ ...messageOf(names, header, body), mandatory: m.mandatory })
  }

  /** The tag is settled by this transaction already. */
  holds(tag: number): boolean {
    return this.tags.has(tag)
  }

  /** Forgets what is held; rolled-back settlements can be given again. */
  clear(): void {
    this.gathered.bytes -= this.bytes
    this.bytes = 0
    this.publishes = []
    this.settles = []
    this.tags = new Set()
  }

  addSettle(tag: number, multiple: boolean, how: Settlement, unacked: Unacked): void {
    const tags = multiple ? unacked.tagsUpTo(tag === 0 ? unacked.newestTag : tag) : [tag]
    for (const t of tags) {
      if (this.tags.has(t)) continue
      this.tags.add(t)
      this.settles.push({ tag: t, how })
    }
  }
}

function copyOf(buf: Buffer, start: number, end: number): Buffer {
  return Buffer.from(buf.subarray(start, end))
}
