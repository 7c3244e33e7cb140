// One channel of a raw connection: calls that wait for their answer, publishes, whole messages, refusals.
import {
  decodeProperties,
  encodeProperties,
  FRAME_BODY,
  FRAME_HEADER,
  type MethodArgs,
  type MethodName,
  type Properties,
} from '../../protocol'
import { describe, type Received } from './inbox'
import { type CloseReason, closeReason, type RawConnection } from './raw-connection'
import { headerPayload } from './wire'

type AnsweredName = { [N in MethodName]: `${N}-ok` extends MethodName ? N : never }[MethodName]
type AnswerOf<N extends MethodName> = `${N}-ok` & MethodName
type ContentName = 'basic.deliver' | 'basic.get-ok' | 'basic.return'

/** A message put together from its method, header and body frames. */
export interface RawMessage<N extends ContentName = ContentName> {
  method: N
  args: MethodArgs<N>
  properties: Properties
  rawProperties: Buffer // flags and values as on the wire
  body: Buffer
  frameSizes: number[] // payload of each body frame
}

export class RawChannel {
  constructor(
    readonly connection: RawConnection,
    readonly number: number,
  ) {}

  send<N extends MethodName>(name: N, args: Partial<MethodArgs<N>> = {}): void {
    this.connection.send(this.number, name, args)
  }

  /** Sends a method and waits for its answer. */
  async call<N extends AnsweredName>(name: N, args: Partial<MethodArgs<N>> = {}): Promise<MethodArgs<AnswerOf<N>>> {
    this.send(name, args)
    return await this.expect(`${name}-ok` as AnswerOf<N>)
  }

  expect<N extends MethodName>(name: N, waitMs?: number): Promise<MethodArgs<N>> {
    return this.connection.expect(this.number, name, waitMs)
  }

  next(expected?: string, waitMs?: number): Promise<Received> {
    return this.connection.next(this.number, expected, waitMs)
  }

  // -- content --------------------------------------------------------------------------------------------------------

  /** Method, header and body frames of the negotiated size. */
  publish(
    args: Partial<MethodArgs<'basic.publish'>>,
    body: Buffer | string = '',
    properties: Properties | Buffer = {},
  ): void {
    const bytes = Buffer.from(body as string)
    this.send('basic.publish', args)
    this.sendHeader(bytes.length, properties)
    this.sendBody(bytes)
  }

  /** To a queue through the default exchange. */
  publishTo(queue: string, body: Buffer | string = '', properties: Properties | Buffer = {}): void {
    this.publish({ routingKey: queue }, body, properties)
  }

  sendHeader(bodySize: number, properties: Properties | Buffer = {}, classId = 60): void {
    const values = Buffer.isBuffer(properties) ? properties : encodeProperties(properties)
    this.connection.sendFrame(FRAME_HEADER, this.number, headerPayload(bodySize, values, classId))
  }

  sendBody(bytes: Buffer, frameMax = this.connection.tuned.frameMax): void {
    const room = (frameMax || 131072) - 8
    for (let at = 0; at < bytes.length; at += room) {
      this.connection.sendFrame(FRAME_BODY, this.number, bytes.subarray(at, at + room))
    }
  }

  /** The next message: a delivery, a returned one, or the answer to a get. */
  async message<N extends ContentName = 'basic.deliver'>(method?: N, waitMs?: number): Promise<RawMessage<N>> {
    const name = method ?? ('basic.deliver' as N)
    return await this.content(name, await this.expect(name, waitMs))
  }

  /** The bodies of the next `count` deliveries. */
  async bodies(count: number): Promise<string[]> {
    const bodies: string[] = []
    while (bodies.length < count) bodies.push((await this.message()).body.toString())
    return bodies
  }

  /** basic.get; null when the queue is empty. */
  async get(queue: string, args: { noAck?: boolean } = {}): Promise<RawMessage<'basic.get-ok'> | null> {
    this.send('basic.get', { queue, ...args })
    const answer = await this.next('basic.get-ok or basic.get-empty')
    if (answer.kind === 'method' && answer.name === 'basic.get-empty') return null
    if (answer.kind === 'method' && answer.name === 'basic.get-ok') return await this.content(answer.name, answer.args)
    throw new Error(`channel ${this.number}: expected basic.get-ok or basic.get-empty, got ${describe(answer)}`)
  }

  /** Takes everything from a queue, settled; the bodies in order. */
  async empty(queue: string): Promise<string[]> {
    const bodies: string[] = []
    for (let m = await this.get(queue, { noAck: true }); m; m = await this.get(queue, { noAck: true })) {
      bodies.push(m.body.toString())
    }
    return bodies
  }

  private async content<N extends ContentName>(method: N, args: MethodArgs<N>): Promise<RawMessage<N>> {
    const header = await this.next('a content header')
    if (header.kind !== 'header') throw new Error(`expected a content header, got ${describe(header)}`)
    const parts: Buffer[] = []
    for (let size = 0; size < header.bodySize; size += parts[parts.length - 1].length) {
      const part = await this.next('a body frame')
      if (part.kind !== 'body') throw new Error(`expected a body frame, got ${describe(part)}`)
      parts.push(part.bytes)
    }
    return {
      method,
      args,
      properties: decodeProperties(header.properties, 0, header.properties.length),
      rawProperties: header.properties,
      body: Buffer.concat(parts),
      frameSizes: parts.map((part) => part.length),
    }
  }

  // -- order and refusals ---------------------------------------------------------------------------------------------

  /** Resolves when the server has handled everything sent before and, with a queue named, when that queue has too.
   *  Fails when anything else has arrived. RabbitMQ answers for a queue ahead of publishes that still wait there, so that
   *  against it a count read right after may be too low. */
  async sync(queue?: string): Promise<void> {
    if (queue === undefined) await this.call('channel.flow', { active: true })
    else await this.call('queue.declare', { queue, passive: true })
  }

  /** channel.close comes and is answered; the number can be used again. */
  async expectClose(waitMs?: number): Promise<CloseReason> {
    const reason = closeReason(await this.expect('channel.close', waitMs))
    this.send('channel.close-ok')
    return reason
  }

  async close(): Promise<void> {
    await this.call('channel.close', { replyCode: 200, replyText: 'bye' })
  }
}
