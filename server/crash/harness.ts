// One life after another of a broker on the same data directory: start, look whether everything is there, load, kill.
import { setTimeout as pause } from 'node:timers/promises'
import { type Channel, type ChannelModel, type ConsumeMessage, connect } from 'amqplib'
import type { Random } from '../core/simulation/random'
import { type BrokerProcess, kill, startBroker } from './broker-process'
import { type Found, Ledger, Violation } from './ledger'
import {
  CHURN_EXCHANGE,
  CHURN_QUEUES,
  DEAD,
  DEAD_LETTERS,
  declareAll,
  type Known,
  LASTING_QUEUES,
  runLoad,
  World,
} from './load'

/** A life ends this long after the load began, at most. */
const LOAD_MS_MAX = 400
/** How often, in percent, a broker is killed while it starts. */
const EARLY_KILLS = 25
/** At a random moment of so many times what the last start took. */
const EARLY_SPAN = 1.1
/** How long a queue may take to hand out everything, and dead letters to arrive. */
const PATIENCE_MS = 10_000
const DEAD_LETTERS_MS = 5000
/** Lines of its log that nobody expects of a healthy broker on a healthy disk. */
const WARNING = /^\S+Z (warn|error) (?!.*Recovered)/
const [DEAD_SOURCE] = DEAD_LETTERS.keys()
/** How often all queues are emptied, so that they do not grow for ever. */
const EMPTYINGS = 20
/** How often a queue is looked into twice. */
const SECOND_LOOKS = 20

export class Harness {
  readonly world: World
  kills = 0
  /** Of those, so many before it was ready. */
  killsWhileStarting = 0
  private startMs = 300
  private isDeclared = false

  constructor(
    private readonly directory: string,
    private readonly random: Random,
  ) {
    this.world = new World(new Ledger(Date.now, DEAD_LETTERS), random)
  }

  /** One life. Throws Violation. */
  async round(): Promise<void> {
    const broker = await this.start()
    try {
      await this.look(broker)
      const load = runLoad(broker.amqp, this.world)
      await pause(this.random.below(LOAD_MS_MAX))
      await kill(broker.child)
      this.kills++
      await load
      this.world.ledger.onCrash()
    } finally {
      await kill(broker.child)
    }
    if (this.world.violation !== null) throw this.world.violation
    const warning = broker.log.find((line) => WARNING.test(line))
    if (warning !== undefined) throw new Violation(`a healthy broker says: ${warning}`)
  }

  /** Looks once more and ends the broker in peace. */
  async finish(): Promise<void> {
    const broker = await this.start(false)
    await this.look(broker)
    await kill(broker.child, 'SIGTERM')
  }

  private async start(mayKill = true): Promise<BrokerProcess> {
    while (mayKill && this.random.chance(EARLY_KILLS)) {
      const ms = this.startMs * (this.random.below(100 * EARLY_SPAN) / 100)
      const broker = await startBroker(this.directory, {
        onSpawned: (child) => setTimeout(() => child.kill('SIGKILL'), ms),
      })
      if (broker !== null) await kill(broker.child)
      else this.killsWhileStarting++
      this.kills++
    }
    const startedAt = Date.now()
    const broker = await startBroker(this.directory)
    if (broker === null) throw new Violation('the broker does not start')
    this.startMs = Date.now() - startedAt
    if (!this.isDeclared) await declareAll(broker.amqp)
    this.isDeclared = true
    return broker
  }

  // -- looking --------------------------------------------------------------------------------------------------------

  private async look(broker: BrokerProcess): Promise<void> {
    const connection = await connect(broker.amqp)
    connection.on('error', () => {})
    const empties = this.random.chance(EMPTYINGS)
    for (const name of LASTING_QUEUES) {
      await this.lookInto(name, connection, broker, empties)
      // What went back comes again, in the same order.
      if (this.random.chance(SECOND_LOOKS)) await this.lookInto(name, connection, broker, false)
    }
    const { churn, ledger } = this.world
    for (const name of CHURN_QUEUES) {
      churn.set(name, await exists(name, (channel) => channel.checkQueue(name), churn.get(name), connection))
      if (churn.get(name) === 'yes') await this.lookInto(name, connection, broker, empties)
      else ledger.onSettled(name, ledger.idsIn(name))
    }
    this.world.exchange = await exists(
      CHURN_EXCHANGE,
      (channel) => channel.checkExchange(CHURN_EXCHANGE),
      this.world.exchange,
      connection,
    )
    await this.checkBinding(connection)
    await connection.close()
  }

  private async lookInto(
    queue: string,
    connection: ChannelModel,
    broker: BrokerProcess,
    empties: boolean,
  ): Promise<void> {
    const { ledger } = this.world
    const channel = await connection.createChannel()
    if (queue === DEAD) await this.awaitDeadLetters(channel)
    const { messageCount } = await channel.checkQueue(queue)
    this.compareCounts(queue, 'messages', messageCount, (await counts(broker.http, queue)).ready)
    const all: ConsumeMessage[] = []
    await channel.consume(queue, (message) => message !== null && all.push(message))
    await until(`${queue} hands out what it holds`, async () => (await channel.checkQueue(queue)).messageCount === 0)
    const found = [...all] // to a queue of dead letters more may come
    this.compareCounts(queue, 'messages, but delivers', messageCount, found.length)
    this.compareCounts(queue, 'unacknowledged', found.length, (await counts(broker.http, queue)).unacknowledged)
    const isOrdered = queue !== DEAD // they come as they expire
    ledger.check(queue, found.map(foundOf), isOrdered)
    if (empties && found.length > 0) {
      const ids = found.map((message) => foundOf(message).id)
      ledger.onSettling(queue, ids)
      channel.ack(found[found.length - 1], true)
      await channel.checkQueue(queue)
      const flusher = await connection.createConfirmChannel()
      const id = this.world.nextId('h')
      ledger.sent(id, ['flushes'])
      flusher.sendToQueue('flushes', Buffer.from(id), { persistent: true })
      await flusher.waitForConfirms()
      ledger.onConfirmed(id)
      ledger.onSettled(queue, ids)
    }
    await channel.close() // the others go back
  }

  /** Two counts of one moment differ by what expired between them; there may be more dead letters for the same reason. */
  private compareCounts(queue: string, what: string, before: number, after: number): void {
    const { ledger } = this.world
    const more = queue === DEAD ? ledger.expiringIn(DEAD_SOURCE) : 0
    if (after > before + more || after < before - ledger.expiringIn(queue)) {
      throw new Violation(`${queue}: ${before} ${what} ${after}`)
    }
  }

  /** They may be on their way. When they do not come, they are lost, and the ledger says which. */
  private async awaitDeadLetters(channel: Channel): Promise<void> {
    const awaited = this.world.ledger.countIn(DEAD)
    const deadline = Date.now() + DEAD_LETTERS_MS
    while (Date.now() < deadline && (await channel.checkQueue(DEAD)).messageCount < awaited) await pause(10)
  }
  /** A message shows whether the binding is there. */
  private async checkBinding(connection: ChannelModel): Promise<void> {
    const channel = await connection.createConfirmChannel()
    const id = this.world.nextId('b')
    let isReturned = false
    channel.on('return', () => {
      isReturned = true
    })
    this.world.ledger.sent(id, ['w4'])
    channel.publish('to-w4', 'a.b', Buffer.from(id), { persistent: true, mandatory: true })
    await channel.waitForConfirms()
    const { binding } = this.world
    if (binding === 'yes' && isReturned) throw new Violation('the binding of w4 is lost')
    if (binding === 'no' && !isReturned) throw new Violation('the binding of w4 was removed and is there')
    if (isReturned) this.world.ledger.onSettled('w4', [id])
    else this.world.ledger.onConfirmed(id)
    this.world.binding = isReturned ? 'no' : 'yes'
    await channel.close()
  }
}

/** Whether it is there, if that can be true. */
async function exists(
  name: string,
  ask: (channel: Channel) => Promise<unknown>,
  known: Known = 'maybe',
  connection: ChannelModel,
): Promise<Known> {
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  const exists = await ask(channel).then(
    () => true,
    () => false,
  )
  if (known === 'yes' && !exists) throw new Violation(`${name} was declared and is not there`)
  if (known === 'no' && exists) throw new Violation(`${name} was deleted and is there`)
  if (exists) await channel.close()
  return exists ? 'yes' : 'no'
}

function foundOf({ content, fields }: ConsumeMessage): Found {
  return { id: content.toString(), redelivered: fields.redelivered }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!(await holds())) if (Date.now() > deadline) throw new Violation(`not within ${PATIENCE_MS} ms: ${what}`)
}

async function counts(http: string, queue: string): Promise<{ ready: number; unacknowledged: number }> {
  const headers = { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` }
  const answer = await fetch(`${http.replace(/\/$/, '')}/api/queues/%2F/${queue}`, { headers })
  const shown = (await answer.json()) as { messages_ready: number; messages_unacknowledged: number }
  return { ready: shown.messages_ready, unacknowledged: shown.messages_unacknowledged }
}
