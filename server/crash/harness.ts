// One life after another of a broker on the same data directory: start, look whether everything is there, load, kill.
import { setTimeout as pause } from 'node:timers/promises'
import { type ChannelModel, connect } from 'amqplib'
import type { Random } from '../core/simulation/random'
import { type BrokerProcess, kill, startBroker } from './broker-process'
import { type Found, Ledger, Violation } from './ledger'
import { CHURN_QUEUES, declareAll, runLoad, WORK_QUEUES, World } from './load'

/** A life ends this long after the load began, at most. */
const LOAD_MS_MAX = 400
/** How often, in percent, a broker is killed while it starts. */
const EARLY_KILLS = 25
const EARLY_MS_MAX = 300
/** How often all queues are emptied, so that they do not grow for ever. */
const EMPTYINGS = 20

export class Harness {
  readonly world: World
  kills = 0
  private isDeclared = false

  constructor(
    private readonly directory: string,
    private readonly random: Random,
  ) {
    this.world = new World(new Ledger(), random)
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
    } finally {
      await kill(broker.child)
    }
    if (this.world.violation !== null) throw this.world.violation
  }

  /** Looks once more and ends the broker in peace. */
  async finish(): Promise<void> {
    const broker = await this.start(false)
    await this.look(broker)
    await kill(broker.child, 'SIGTERM')
  }

  private async start(mayKill = true): Promise<BrokerProcess> {
    while (mayKill && this.random.chance(EARLY_KILLS)) {
      const ms = this.random.below(EARLY_MS_MAX)
      await startBroker(this.directory, { onSpawned: (child) => setTimeout(() => child.kill('SIGKILL'), ms) }).then(
        (broker) => broker && kill(broker.child),
      )
      this.kills++
    }
    const broker = await startBroker(this.directory)
    if (broker === null) throw new Violation('the broker does not start')
    if (!this.isDeclared) await declareAll(broker.amqp)
    this.isDeclared = true
    return broker
  }

  // -- looking --------------------------------------------------------------------------------------------------------

  private async look(broker: BrokerProcess): Promise<void> {
    const connection = await connect(broker.amqp)
    connection.on('error', () => {})
    const empties = this.random.chance(EMPTYINGS)
    for (const name of WORK_QUEUES) await this.lookInto(name, connection, broker, empties)
    for (const name of CHURN_QUEUES) {
      if (await this.exists(name, connection)) await this.lookInto(name, connection, broker, empties)
    }
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
    const { messageCount } = await channel.checkQueue(queue)
    const shown = await readyCount(broker.http, queue)
    if (shown !== messageCount) {
      throw new Violation(`${queue}: the API shows ${shown} messages, queue.declare ${messageCount}`)
    }
    const found: Found[] = []
    const last = await new Promise<number>((resolve, reject) => {
      if (messageCount === 0) resolve(0)
      channel
        .consume(queue, (message) => {
          if (message === null) return
          found.push({ id: message.content.toString(), redelivered: message.fields.redelivered })
          if (found.length === messageCount) resolve(message.fields.deliveryTag)
        })
        .catch(reject)
    })
    const rest = (await channel.checkQueue(queue)).messageCount
    if (rest !== 0) throw new Violation(`${queue} holds ${rest} messages more than it said`)
    ledger.check(queue, found)
    if (empties && last > 0) {
      const ids = ledger.idsIn(queue)
      ledger.onSettling(queue, ids)
      channel.ackAll()
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

  private async exists(queue: string, connection: ChannelModel): Promise<boolean> {
    const { churn, ledger } = this.world
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    const exists = await channel.checkQueue(queue).then(
      () => true,
      () => false,
    )
    const known = churn.get(queue)
    if (known === 'yes' && !exists) throw new Violation(`${queue} was declared and is not there`)
    if (known === 'no' && exists) throw new Violation(`${queue} was deleted and is there`)
    if (!exists) ledger.onSettled(queue, ledger.idsIn(queue))
    churn.set(queue, exists ? 'yes' : 'no')
    if (exists) await channel.close()
    return exists
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

async function readyCount(http: string, queue: string): Promise<number> {
  const headers = { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` }
  const answer = await fetch(`${http.replace(/\/$/, '')}/api/queues/%2F/${queue}`, { headers })
  const { messages_ready } = (await answer.json()) as { messages_ready: number }
  return messages_ready
}
