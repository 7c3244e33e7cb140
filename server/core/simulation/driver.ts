// Drives a broker's queue machine at random and tells the model of it. One action after the other, turns of the event loop
// in between; commits and reads fail or wait, the process dies, or stops and starts.
import { MemoryBackend } from '../../../storage/memory-backend'
import { sampleMessage } from '../../../storage/sample-message'
import { LOGGED, UNROUTABLE } from '../vhost'
import { type Delivery, messageNumber, SimulatedChannel } from './channel'
import { checkCounts, checkNobodyWaits } from './checks'
import { Life } from './life'
import { Model, type ModelQueue, Violation } from './model'
import type { Random } from './random'

const QUEUES: readonly [name: string, durable: boolean][] = [
  ['orders', true],
  ['bills', true],
  ['letters', true],
  ['news', false],
]
const BIG_BYTES = 90_000 // a few of these fill a slab

export class Driver {
  private readonly disk = new MemoryBackend({ remembers: true })
  private readonly model = new Model()
  private life!: Life
  private channels: SimulatedChannel[] = []
  private consumerTags = 0
  private violation: Violation | null = null

  constructor(private readonly random: Random) {}

  async run(steps: number): Promise<void> {
    await this.start()
    for (let i = 0; i < steps; i++) {
      await this.step()
      if (this.violation !== null) throw this.violation
      checkCounts(this.model, this.life)
    }
    await this.finish()
  }

  private async step(): Promise<void> {
    const { random } = this
    const dice = random.below(100)
    if (dice < 30) this.publish()
    else if (dice < 50) this.settle()
    else if (dice < 58) this.consume()
    else if (dice < 63) this.get()
    else if (dice < 68) this.declareOrBind()
    else if (dice < 70) this.remove()
    else if (dice < 74) this.disturbChannel()
    else if (dice < 76) this.pageOut()
    else if (dice < 82) this.disturbLog()
    else if (dice < 92) this.life.core.runTurn()
    else if (dice < 99) await this.rest()
    else await this.restart()
  }

  // -- clients --------------------------------------------------------------------------------------------------------

  private publish(): void {
    const { random, model, life } = this
    const isPersistent = random.chance(75)
    for (let copies = 1 + random.below(4); copies > 0; copies--) {
      const n = model.nextMessage()
      const isFanout = random.chance(40)
      const name = random.pick(QUEUES)[0]
      const body = `${n}${' '.repeat(random.chance(10) ? BIG_BYTES : random.below(60))}`
      const names = isFanout ? { exchange: 'amq.fanout', routingKey: 'any' } : { exchange: '', routingKey: name }
      const outcome = life.vhost.publish(null, sampleMessage({ ...names, body, persistent: isPersistent }))
      const queues = this.queues().filter((q) => (isFanout ? q.isBound : q.name === name))
      const expectLogged = isPersistent && queues.some((q) => q.durable)
      if ((outcome === UNROUTABLE) !== (queues.length === 0)) throw new Violation(`message ${n} took another route`)
      if ((outcome === LOGGED) !== expectLogged) throw new Violation(`message ${n} is logged: ${outcome === LOGGED}`)
      model.publishedTo(queues, n, body.length, isPersistent, this.batch)
    }
  }

  private consume(): void {
    const { random, life } = this
    const queue = this.anyQueue()
    if (queue === undefined) return
    const channel = random.pick(this.channels)
    const spec = { tag: `c${++this.consumerTags}`, noAck: random.chance(20), exclusive: false, arguments: {} }
    channel.consumers.add(life.declarations.consume(queue.name, channel, { ...spec, prefetch: random.below(4) }))
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
      if (queue.all(false).length > 0) throw new Violation(`${queue.name} is called empty`)
      return
    }
    const n = messageNumber(range)
    const { ticket, bodyBytes: bytes, redelivered } = taken
    model.delivered(queue.id, n, redelivered)
    if (noAck) {
      actual.settleTaken(ticket)
      model.settled(queue, n, this.batch)
    } else random.pick(this.channels).hold({ ticket, bytes, owner: actual, queueId: queue.id, n })
  }

  private readonly onDelivery = ({ queueId, n }: Delivery, redelivered: boolean, noAck: boolean): void => {
    try {
      const queue = this.model.delivered(queueId, n, redelivered)
      if (noAck) this.model.settled(queue, n, this.batch)
    } catch (error) {
      this.violation ??= error as Violation // thrown from here it would end the process: the event loop called us
    }
  }

  private settle(): void {
    const { random } = this
    const channel = random.pick(this.channels)
    const { unacked } = channel
    if (unacked.length === 0) return
    const at = random.below(unacked.length)
    this.settleAll(channel, random.chance(30) ? unacked.slice(0, at + 1) : [unacked[at]], random.chance(70))
  }

  private settleAll(channel: SimulatedChannel, deliveries: readonly Delivery[], forGood: boolean): void {
    for (const { queueId, n } of deliveries) {
      const queue = this.model.queues.get(queueId) as ModelQueue
      if (forGood) this.model.settled(queue, n, this.batch)
      else this.model.requeued(queue, n, this.batch)
    }
    channel.settle(deliveries, forGood)
  }

  private declareOrBind(): void {
    const { random, life, model } = this
    const [name, durable] = random.pick(QUEUES)
    const { batch } = this
    const { queue, created } = life.declarations.declareQueue(name, {
      durable,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    })
    if (created) model.declared(queue.id, name, durable, batch)
    const known = model.queues.get(queue.id) as ModelQueue
    if (random.chance(40)) return
    const bind = random.chance(80)
    if (bind === known.isBound) return
    if (bind) life.declarations.bindQueue(name, 'amq.fanout', '', {})
    else life.declarations.unbindQueue(name, 'amq.fanout', '', {})
    known.bindings.push({ bound: bind, batch })
  }

  private remove(): void {
    const { random, life, model } = this
    const queue = this.anyQueue()
    if (queue === undefined) return
    const ready = queue.all(false).length
    const isDelete = random.chance(50)
    if (isDelete) model.deleted(queue, this.batch)
    else model.purged(queue, this.batch)
    const { declarations } = life
    const count = isDelete ? declarations.deleteQueue(queue.name, false, false) : declarations.purgeQueue(queue.name)
    if (count !== ready) throw new Violation(`${count} messages removed from ${queue.name}, not ${ready}`)
  }

  private disturbChannel(): void {
    const { random } = this
    const channel = random.pick(this.channels)
    const [consumer] = channel.consumers
    const dice = random.below(4)
    if (dice === 0) {
      channel.isWritable = !channel.isWritable
      channel.wake()
    } else if (dice === 1) {
      channel.credit.limit = random.below(6)
      channel.wake()
    } else if (dice === 2 && consumer !== undefined) {
      channel.consumers.delete(consumer)
      consumer.cancel()
    } else if (dice === 3) this.closeChannel(channel)
  }

  private closeChannel(channel: SimulatedChannel): void {
    for (const consumer of channel.consumers) consumer.cancel()
    channel.consumers.clear()
    this.settleAll(channel, [...channel.unacked], false)
  }

  // -- the machine and its disk ---------------------------------------------------------------------------------------

  private pageOut(): void {
    const { store } = this.life.core.journal
    for (const segment of store.segments.values()) {
      if (segment.isPageable && !store.isCurrent(segment)) store.pageOut(segment)
    }
  }

  private disturbLog(): void {
    const { random, life } = this
    const dice = random.below(6)
    if (dice === 0) life.log.hold()
    else if (dice === 1) life.log.release()
    else if (dice === 2) life.clock.advance(random.pick([5, 1000]))
    else if (dice === 3) this.failCommits(1 + random.below(2))
    else if (dice === 4) this.failOneRead()
    else life.clock.advance(5)
  }

  private failCommits(times: number): void {
    const { log } = this.life
    const last = log.commits + times
    log.faultOf = (commit) =>
      commit <= last ? { kind: this.random.pick(['unavailable', 'full'] as const) } : undefined
  }

  private failOneRead(): void {
    const { log } = this.life
    log.readFaultOf = () => {
      log.readFaultOf = () => undefined
      return 'unavailable'
    }
  }

  /** Everything under way ends, whatever was wrong with the log. */
  private async rest(): Promise<void> {
    const { life } = this
    life.log.release()
    life.log.faultOf = () => undefined
    life.log.readFaultOf = () => undefined
    for (let i = 0; i < 8; i++) {
      await life.quiet()
      life.clock.advance(1000)
    }
    await life.quiet()
    checkNobodyWaits(this.model, life)
  }

  private async restart(): Promise<void> {
    if (this.random.chance(35)) await this.stop()
    else await this.crash()
    await this.start()
  }

  private async crash(): Promise<void> {
    const { random, life, model } = this
    if (random.chance(30)) {
      // The disk fails in the act of promising; the process never gets to write again.
      life.log.faultOf = () => ({ kind: 'unavailable', stored: true })
      life.core.runTurn()
      if (random.chance(50)) await Promise.resolve()
    }
    for (const channel of this.channels) channel.isWritable = false
    await life.crash()
    model.recovered(await Life.look(this.disk))
  }

  private async stop(): Promise<void> {
    const { life, model } = this
    for (const channel of this.channels) this.closeChannel(channel)
    life.log.release()
    life.log.faultOf = () => undefined
    await life.stop()
    model.stoppedCleanly()
  }

  private async start(): Promise<void> {
    this.model.committed = 0
    this.life = await Life.start(this.disk, (batch) => {
      this.model.committed = batch
    })
    // So that messages are copied forward within the few of a run.
    Object.assign(this.life.core.journal.rows.limits, {
      logBytesMin: 300,
      rowsMin: 4,
      liveShare: 1.5,
      copyBytesMax: 2000,
    })
    this.channels = [1, 2, 3].map((number) => new SimulatedChannel(number, this.onDelivery))
  }

  /** In the end everything that the model holds is handed out, in order, and nothing else. */
  private async finish(): Promise<void> {
    await this.restart()
    const channel = new SimulatedChannel(9, this.onDelivery)
    for (const { name } of this.queues()) {
      const spec = { tag: name, noAck: true, exclusive: false, prefetch: 0, arguments: {} }
      channel.consumers.add(this.life.declarations.consume(name, channel, spec))
    }
    await this.rest()
    if (this.violation !== null) throw this.violation
    checkCounts(this.model, this.life)
    for (const queue of this.queues()) {
      if (queue.held.size > 0) throw new Violation(`${queue.held.size} messages stay in ${queue.name}`)
    }
  }

  // -- looking --------------------------------------------------------------------------------------------------------

  /** The batch that takes what is recorded now. */
  private get batch(): number {
    return this.life.core.journal.gathering
  }

  private queues(): ModelQueue[] {
    return [...this.model.queues.values()].filter((q) => q.deletedIn === null)
  }

  private anyQueue(): ModelQueue | undefined {
    return this.random.pick(this.queues())
  }
}
