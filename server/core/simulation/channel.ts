// A channel without a connection: takes deliveries from the queue machine and settles them, as server/net's does.
import type { ByteRange } from '../../../storage/message-store'
import { storedBodyLength } from '../../../storage/segment'
import { ChannelCredit, type Consumer, type ConsumerSink, type UnackedOwner } from '../consumer'
import type { Ticket } from '../core-api'

export interface Delivery {
  ticket: Ticket
  bytes: number
  owner: UnackedOwner
  queueId: number
  n: number
}

/** The number a message's body begins with. */
export function messageNumber({ buf, start, end }: ByteRange): number {
  const length = storedBodyLength(buf, start)
  const bodyAt = end - 1 - length
  return Number.parseInt(buf.toString('latin1', bodyAt, Math.min(bodyAt + 16, end - 1)), 10)
}

export class SimulatedChannel implements ConsumerSink {
  readonly connectionName = 'simulated'
  readonly credit = new ChannelCredit()
  readonly consumers = new Set<Consumer>()
  readonly parked = new Set<Consumer>()
  unacked: Delivery[] = []
  isWritable = true

  constructor(
    readonly channelNumber: number,
    private readonly onDelivery: (delivery: Delivery, redelivered: boolean, noAck: boolean) => void,
  ) {}

  deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void {
    const bytes = storedBodyLength(range.buf, range.start)
    const delivery = { ticket, bytes, owner: consumer, queueId: consumer.queue.id, n: messageNumber(range) }
    if (!consumer.noAck) this.hold(delivery)
    this.onDelivery(delivery, redelivered, consumer.noAck)
  }

  hold(delivery: Delivery): void {
    this.unacked.push(delivery)
    this.credit.used++
  }

  onCancelled(consumer: Consumer): void {
    this.consumers.delete(consumer)
  }

  settle(deliveries: readonly Delivery[], forGood: boolean): void {
    const wasFree = this.credit.isFree
    for (const delivery of deliveries) {
      this.unacked.splice(this.unacked.indexOf(delivery), 1)
      if (forGood) delivery.owner.ack(delivery.ticket, delivery.bytes)
      else delivery.owner.requeue(delivery.ticket, delivery.bytes)
    }
    this.credit.used -= deliveries.length
    if (!wasFree && this.credit.isFree) this.wake()
  }

  wake(): void {
    for (const consumer of [...this.parked]) consumer.wake()
  }
}
