// The load of a small Celery site, one hour of its life at a time, as quickly as the broker takes it: tasks with publisher
// confirms and manual acks, nights in which no worker runs and tasks pile up, one task that is held for a day, tasks handed
// back, reply queues that come and go, queues that are purged or deleted full.
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import { SteadyConsumer, SteadyPublisher } from '../generator/steady'

const TASKS = 'tasks'
const HELD = 'held'
const BODY_BYTES = 1024
const PREFETCH = 500
const ACK_EVERY = 10
const NIGHT_HOURS = 6
const REPLY_QUEUES = 50
const HANDED_BACK = 50

export class Site {
  published = 0
  consumed = 0
  private publisher!: SteadyPublisher
  private worker!: SteadyConsumer
  private connection!: ChannelModel
  private channel!: ConfirmChannel
  private isWorking = false
  private giveBackHeld: () => void = () => {}

  /** `tasksPerHour` on average over a day. */
  constructor(
    private readonly url: string,
    private readonly tasksPerHour: number,
  ) {}

  async open(): Promise<void> {
    this.connection = await connect(this.url, { noDelay: true })
    this.channel = await this.connection.createConfirmChannel()
    await this.channel.assertQueue(TASKS, { durable: true })
    await this.channel.assertQueue(HELD, { durable: true })
    this.publisher = await SteadyPublisher.open(this.url, { queues: [TASKS], bodyBytes: BODY_BYTES, persistent: true })
    this.worker = await SteadyConsumer.open(this.url, PREFETCH, ACK_EVERY)
  }

  async hour(hour: number): Promise<void> {
    const hourOfDay = hour % 24
    const isNight = hourOfDay < NIGHT_HOURS
    if (hourOfDay === 0) await this.holdOne()
    if (isNight) await this.pause()
    else await this.work()
    // More by day than by night: the factors of a day add up to about 24.
    const tasks = Math.round(this.tasksPerHour * (1 - 0.6 * Math.cos((2 * Math.PI * hourOfDay) / 24)))
    await this.publisher.publish(tasks)
    this.published += tasks
    await this.comeAndGo(hour)
    if (isNight) await this.handBack()
    else await this.worker.untilConsumed(this.published)
    this.consumed = this.worker.consumed
  }

  /** Everything is consumed, acknowledged and gone. */
  async close(): Promise<void> {
    await this.work()
    await this.worker.untilConsumed(this.published)
    this.giveBackHeld()
    await this.pause()
    const left =
      (await this.channel.checkQueue(TASKS)).messageCount + (await this.channel.checkQueue(HELD)).messageCount
    await this.publisher.close()
    await this.worker.close()
    await this.connection.close()
    if (left > 0) throw new Error(`${left} messages are left in queues that should be empty`)
  }

  private async work(): Promise<void> {
    if (!this.isWorking) await this.worker.start([TASKS])
    this.isWorking = true
  }

  private async pause(): Promise<void> {
    if (this.isWorking) await this.worker.pause([TASKS])
    this.isWorking = false
  }

  /** One message is taken and not acknowledged for a day, while millions come and go around it. */
  private async holdOne(): Promise<void> {
    this.giveBackHeld()
    this.channel.sendToQueue(HELD, Buffer.alloc(BODY_BYTES), { persistent: true })
    await this.channel.waitForConfirms()
    const held = await this.channel.get(HELD)
    if (held === false) throw new Error('the message to be held is not there')
    this.giveBackHeld = () => this.channel.ack(held)
  }

  /** A worker takes some tasks and gives them back; the order is as before. */
  private async handBack(): Promise<void> {
    for (let i = 0; i < HANDED_BACK; i++) {
      const message = await this.channel.get(TASKS)
      if (message !== false) this.channel.nack(message, false, true)
    }
  }

  private async comeAndGo(hour: number): Promise<void> {
    const { channel } = this
    for (let i = 0; i < REPLY_QUEUES; i++) {
      const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true })
      channel.sendToQueue(queue, Buffer.alloc(100), { persistent: false })
      await channel.get(queue, { noAck: true })
      await channel.deleteQueue(queue)
    }
    const { queue } = await channel.assertQueue(`import-${hour}`, { durable: true })
    for (let i = 0; i < 500; i++) channel.sendToQueue(queue, Buffer.alloc(4096), { persistent: i % 2 === 0 })
    await channel.waitForConfirms()
    if (hour % 2 === 0) await channel.purgeQueue(queue)
    await channel.deleteQueue(queue)
  }
}
