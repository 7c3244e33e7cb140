// What clients do to a simulated broker, at random, told to the model at the same time. Each action is synchronous: turns of
// the event loop come in between, when the driver says so.
import type { Arguments } from '../core-api'
import { LOGGED, UNROUTABLE } from '../publishing'
import { type Delivery, SimulatedChannel } from './channel'
import type { Life } from './life'
import { BODY_BYTES_MAX, type Letter, numberedMessage, readMessage } from './message'
import { type Model, type ModelQueue, type QueueKind, Violation } from './model'
import type { Random } from './random'

const FANOUT = 'amq.fanout'
const QUEUES: readonly QueueKind[] = [
  { name: 'orders', durable: true, autoDelete: false, counts: false },
  { name: 'bills', durable: true, autoDelete: false, counts: true },
  { name: 'letters', durable: true, autoDelete: false, counts: false },
  { name: 'parcels', durable: true, autoDelete: false, counts: true },
  { name: 'errands', durable: true, autoDelete: true, counts: true },
  { name: 'news', durable: false, autoDelete: false, counts: false },
  { name: 'rumours', durable: false, autoDelete: false, counts: true },
]
/** More than there ever are: nothing is given up. */
const FAILURES_MAX = 1_000_000
const CHANNELS = 4

export class Clients {
  readonly channels: SimulatedChannel[] = []
  /** The first thing that must not be. */
  violation: Error | null = null
  /** A number that two runs of a seed have in common only if everything happened alike. */
  story = 0
  /** More messages than this are not published until some are gone. */
  messagesMax = 300
  private consumerTags = 0

  constructor(
    private readonly random: Random,
    private readonly model: Model,
    private readonly life: Life,
  ) {
    for (let number = 1; number <= CHANNELS; number++) this.addChannel(number)
  }

  addChannel(number: number): SimulatedChannel {
    const onViolation = (error: Error) => {
      this.violation ??= error
    }
    const channel = new SimulatedChannel(number, this.onDelivery, onViolation)
    this.channels.push(channel)
    return channel
  }

  act(): void {
    const dice = this.random.below(100)
    if (dice < 34) this.publish()
    else if (dice < 58) this.settle()
    else if (dice < 66) this.consume()
    else if (dice < 74) this.get()
    else if (dice < 82) this.declareOrBind()
    else if (dice < 84) this.remove()
    else if (dice < 92) this.transact()
    else this.disturbChannel()
  }

  // -- publishing -----------------------------------------------------------------------------------------------------

  private publish(): void {
    const { random, model } = this
    if (model.messages > this.messagesMax) return this.get()
    const isPersistent = random.chance(75)
    for (let copies = 1 + random.below(4); copies > 0; copies--) this.send(this.letter(isPersistent))
  }

  private letter(persistent: boolean): Letter {
    const { random } = this
    const names = random.chance(40)
      ? { exchange: FANOUT, routingKey: 'any' }
      : { exchange: '', routingKey: random.pick(QUEUES).name }
    return { ...names, persistent, bytes: this.bodyBytes() }
  }

  private bodyBytes(): number {
    const { random } = this
    const dice = random.below(100)
    if (dice < 8) return 0
    if (dice < 65) return random.below(100)
    if (dice < 90) return random.below(3000)
    if (dice < 99) return random.below(20_000)
    return random.below(BODY_BYTES_MAX)
  }

  private send(letter: Letter): void {
    const { model, life } = this
    const n = model.nextMessage()
    const { exchange, routingKey, persistent, bytes } = letter
    const queues = this.queues().filter((q) => (exchange === FANOUT ? q.isBound : q.name === routingKey))
    const outcome = life.vhost.publishing.publish(null, numberedMessage(n, letter))
    const expectLogged = persistent && queues.some((q) => q.durable)
    if ((outcome === UNROUTABLE) !== (queues.length === 0)) throw new Violation(`message ${n} took another route`)
    if ((outcome === LOGGED) !== expectLogged) throw new Violation(`message ${n} is logged: ${outcome === LOGGED}`)
    model.publishedTo(queues, n, bytes, persistent, this.batch)
  }

  // -- receiving ------------------------------------------------------------------------------------------------------

  private consume(): void {
    const { random } = this
    const queue = this.anyQueue()
    if (queue === undefined) return
    this.addConsumer(queue, random.pick(this.channels), random.chance(20), random.below(4))
  }

  addConsumer(queue: ModelQueue, channel: SimulatedChannel, noAck: boolean, prefetch: number): void {
    const spec = { tag: `c${++this.consumerTags}`, noAck, exclusive: false, arguments: {}, prefetch }
    channel.consumers.add(this.life.declarations.consume(queue.name, channel, spec))
  }

  private get(): void {
    const { random, life, model } = this
    const queue = this.anyQueue()
    const actual = queue && life.queue(queue.id)
    if (queue === undefined || actual === undefined) return
    const noAck = random.chance(40)
    const range = { buf: Buffer.alloc(0), start: 0, end: 0 }
    const taken = actual.take(noAck, range)
    if (taken === 'loading') return
    if (taken === 'empty') {
      if (queue.ready > 0) throw new Violation(`${queue.name} is called empty`)
      return
    }
    const { n, failures } = readMessage(range)
    const { ticket, bodyBytes: bytes, redelivered } = taken
    this.tell(queue.id, n, redelivered)
    model.delivered(queue.id, n, redelivered, failures)
    if (noAck) {
      actual.settleTaken(ticket)
      model.settled(queue, n, this.batch)
    } else random.pick(this.channels).hold({ ticket, bytes, owner: actual, queueId: queue.id, n, failures })
  }

  private readonly onDelivery = ({ queueId, n, failures }: Delivery, redelivered: boolean, noAck: boolean): void => {
    this.tell(queueId, n, redelivered)
    const queue = this.model.delivered(queueId, n, redelivered, failures)
    if (noAck) this.model.settled(queue, n, this.batch)
  }

  private tell(queueId: number, n: number, redelivered: boolean): void {
    this.story = Math.imul(this.story ^ (n * 64 + queueId * 2 + Number(redelivered)), 0x01000193)
  }

  // -- settling -------------------------------------------------------------------------------------------------------

  private settle(): void {
    const { random } = this
    const channel = random.pick(this.channels)
    const deliveries = this.someOf(channel)
    if (deliveries.length > 0) this.settleAll(channel, deliveries, random.chance(70))
  }

  /** One, or all up to one. */
  private someOf(channel: SimulatedChannel): Delivery[] {
    const { random } = this
    const { unheld } = channel
    if (unheld.length === 0) return []
    const at = random.below(unheld.length)
    return random.chance(30) ? unheld.slice(0, at + 1) : [unheld[at]]
  }

  settleAll(channel: SimulatedChannel, deliveries: readonly Delivery[], forGood: boolean): void {
    for (const { queueId, n } of deliveries) {
      const queue = this.model.queues.get(queueId) as ModelQueue
      if (forGood) this.model.settled(queue, n, this.batch)
      else this.model.requeued(queue, n, this.batch)
    }
    channel.settle(deliveries, forGood)
  }

  // -- transactions ---------------------------------------------------------------------------------------------------

  private transact(): void {
    const { random } = this
    const channel = random.pick(this.channels)
    channel.tx ??= { letters: [], settles: new Map() }
    const dice = random.below(100)
    if (dice < 35) channel.tx.letters.push(this.letter(random.chance(80)))
    else if (dice < 65) for (const delivery of this.someOf(channel)) channel.tx.settles.set(delivery, random.chance(75))
    else if (dice < 90) this.commit(channel)
    else channel.tx = null
  }

  private commit(channel: SimulatedChannel): void {
    const { letters, settles } = channel.tx as NonNullable<SimulatedChannel['tx']>
    channel.tx = null
    for (const letter of letters) this.send(letter)
    for (const [delivery, forGood] of settles) this.settleAll(channel, [delivery], forGood)
  }

  // -- definitions ----------------------------------------------------------------------------------------------------

  private declareOrBind(): void {
    const { random, life, model, batch } = this
    const kind = random.pick(QUEUES)
    const { name, durable, autoDelete, counts } = kind
    const args: Arguments = counts ? { 'x-delivery-limit': FAILURES_MAX } : {}
    const request = { durable, exclusive: false, autoDelete, arguments: args }
    const { queue, created } = life.declarations.declareQueue(name, request)
    if (created) model.declared(queue.id, kind, batch)
    const known = model.queues.get(queue.id)
    if (known === undefined) throw new Violation(`queue ${name} was there already`)
    if (random.chance(40)) return
    const bind = random.chance(80)
    if (bind === known.isBound) return
    if (bind) life.declarations.bindQueue(name, FANOUT, '', {})
    else life.declarations.unbindQueue(name, FANOUT, '', {})
    known.bindings.push({ bound: bind, batch })
  }

  private remove(): void {
    const { random, life, model } = this
    const queue = this.anyQueue()
    if (queue === undefined) return
    const { ready } = queue
    const isDelete = random.chance(50)
    if (isDelete) model.deleted(queue, this.batch)
    else model.purged(queue, this.batch)
    const { declarations } = life
    const count = isDelete ? declarations.deleteQueue(queue.name, false, false) : declarations.purgeQueue(queue.name)
    if (count !== ready) throw new Violation(`${count} messages removed from ${queue.name}, not ${ready}`)
  }

  // -- channels -------------------------------------------------------------------------------------------------------

  private disturbChannel(): void {
    const { random } = this
    const channel = random.pick(this.channels)
    const dice = random.below(4)
    if (dice === 0) {
      channel.isWritable = random.chance(70)
      channel.wake()
    } else if (dice === 1) {
      channel.credit.limit = random.below(6)
      channel.wake()
    } else if (dice === 2) this.cancelOne(channel)
    else if (random.chance(50)) this.close(channel)
  }

  private cancelOne(channel: SimulatedChannel): void {
    const [consumer] = channel.consumers
    if (consumer === undefined) return
    channel.consumers.delete(consumer)
    consumer.cancel()
    const { queue } = consumer
    const known = this.model.queues.get(queue.id)
    const isLast = queue.consumers.length === 0
    if (known?.deletedIn === null && known.autoDelete && isLast) this.model.deleted(known, this.batch)
    this.life.vhost.onConsumerLeft(consumer)
  }

  /** Consumers leave, and everything unacked goes back. */
  close(channel: SimulatedChannel): void {
    while (channel.consumers.size > 0) this.cancelOne(channel)
    channel.tx = null
    this.settleAll(channel, [...channel.unacked], false)
  }

  // -- looking --------------------------------------------------------------------------------------------------------

  /** The batch that takes what is recorded now. */
  private get batch(): number {
    return this.life.core.journal.gathering
  }

  queues(): ModelQueue[] {
    return [...this.model.queues.values()].filter((q) => q.deletedIn === null)
  }

  private anyQueue(): ModelQueue | undefined {
    const queues = this.queues()
    return queues.length === 0 ? undefined : this.random.pick(queues)
  }
}
