// A channel's consumer of amq.rabbitmq.reply-to: answers go into its connection's out-buffer as they come, from no queue.
// See core/direct-reply.ts. Made by channel.ts.

import type { IncomingMessage } from '../../storage/message-store'
import type { Requester } from '../core/direct-reply'
import type { Channel } from './channel'
import type { Connection } from './connection'
import { writeUnstored } from './message-writer'

/** Answers written and not taken by the requester: what comes on top is unroutable. Who answers is never made to wait. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024

export class ReplyConsumer implements Requester {
  /** What reply-to becomes in the messages of its channel. */
  readonly name: string
  private readonly tagBytes: Buffer

  constructor(
    readonly tag: string,
    private readonly channel: Channel,
    private readonly connection: Connection,
  ) {
    this.tagBytes = Buffer.from(tag)
    this.name = connection.vhost.requesters.add(this)
  }

  get isReachable(): boolean {
    return this.connection.out.bytes + this.connection.pendingBytes < PENDING_BYTES_MAX
  }

  onPublish(m: IncomingMessage): boolean {
    const { channel, connection } = this
    writeUnstored(connection.out, channel.number, connection.frameMax, this.tagBytes, channel.nextDeliveryTag(), m)
    for (const counters of [channel.counters, connection.vhost.counters, connection.hub.core.counters]) {
      counters.deliverNoAck++
    }
    connection.markDirty()
    return false
  }

  close(): void {
    this.connection.vhost.requesters.remove(this.name)
  }
}
