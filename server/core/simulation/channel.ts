// A channel without a connection: takes deliveries from the queue machine and settles them, as server/net's does.
import type { ByteRange } from '../../../storage/message-store'
import { storedBodyLength } from '../../../storage/segment'
import { ChannelCredit, type Consumer, type ConsumerSink, type UnackedOwner } from '../consumer'
import type { Ticket } from '../core-api'
import { type Letter, readMessage } from './message'

export interface Delivery {
  ticket: Ticket
  bytes: number
  owner: UnackedOwner
  queueId: number
  n: number
  failures: number // before, as it says
}

/** What a transaction holds back until its commit. */
export interface HeldWork {
  letters: Letter[]
  settles: Map<Delivery, boolean> // for good, or back to the queue
}

export class SimulatedChannel implements ConsumerSink {
  readonly connectionName = 'simulated'
  readonly credit = new ChannelCredit()
  readonly consumers = new Set<Consumer>()
  readonly parked = new Set<Consumer>()
  unacked: Delivery[] = []
  tx: HeldWork | null = null
  isWritable = true
  readonly isTurnOver = false

  constructor(
    readonly channelNumber: number,
    private readonly onDelivery: (delivery: Delivery, redelivered: boolean, noAck: boolean) => void,
    private readonly onViolation: (error: Error) => void,
  ) {}

  deliver(consumer: Consumer, ticket: Ticket, redelivered: boolean, range: ByteRange): void {
    try {
      const bytes = storedBodyLength(range.buf, range.start)
      const delivery = { ticket, bytes, owner: consumer, queueId: consumer.queue.id, ...readMessage(range) }
      if (!consumer.noAck) this.hold(delivery)
      this.onDelivery(delivery, redelivered, consumer.noAck)
    } catch (error) {
      this.onViolation(error as Error) // thrown from here it would end the process: the event loop called us
    }
  }

  hold(delivery: Delivery): void {
    this.unacked.push(delivery)
    this.credit.used++
  }

  /** Those that no transaction is about to settle. */
  get unheld(): Delivery[] {
    const { tx } = this
    return tx === null ? this.unacked : this.unacked.filter((delivery) => !tx.settles.has(delivery))
  }

  onCancelled(consumer: Consumer): void {
    this.consumers.delete(consumer)
  }

  settle(deliveries: readonly Delivery[], forGood: boolean): void {
    const wasFree = this.credit.isFree
    for (const delivery of deliveries) {
      this.unacked.splice(this.unacked.indexOf(delivery), 1)
      if (forGood) delivery.owner.ack(delivery.ticket, delivery.bytes)
      else delivery.owner.requeue(delivery.ticket, delivery.bytes, 'failed')
    }
    this.credit.used -= deliveries.length
    if (!wasFree && this.credit.isFree) this.wake()
  }

  wake(): void {
    for (const consumer of [...this.parked]) consumer.wake()
  }
}
