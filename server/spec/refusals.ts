// Tables of what a broker refuses: a row is what is done and the close it must bring, down to the text and the method
// that is blamed. In strings of a row $q and $x stand for a queue's and an exchange's name of the test's own.
import { expect, it } from '@jest/globals'
import type { RawChannel } from '../../clients/raw'
import { type MethodArgs, type MethodName, type Properties, Typed } from '../../protocol'
import type { BrokerUnderTest, PerBroker } from './with-broker'

/** A method and its arguments; basic.publish is sent with the body 'body' and these properties. */
export type Call = {
  [N in MethodName]: [method: N, args?: Partial<MethodArgs<N>>, properties?: Properties]
}[MethodName]

export interface Refusal {
  when: string
  given?: Call[] // answered, on the same channel
  other?: Call[] // answered, on another connection, which stays open
  does: Call | Call[] // sent at once; the last is the one refused
  scope: PerBroker<'channel' | 'connection'>
  code: PerBroker<number>
  text: PerBroker<string>
  /** The method named by the close; the last of `does` unless said otherwise. */
  blames?: PerBroker<string>
}

const unanswered: MethodName[] = ['basic.publish', 'basic.ack', 'basic.nack', 'basic.reject']

export function itRefuses(broker: BrokerUnderTest, rows: Refusal[]): void {
  it.each(rows)('$when', async (row) => {
    const names = { $q: broker.name('q'), $x: broker.name('x') }
    const fill = (call: Call) => fillIn(call, names) as Call
    if (row.other) await perform(await broker.channel(), row.other.map(fill))
    const channel = await broker.channel()
    await perform(channel, (row.given ?? []).map(fill))

    const calls = (typeof row.does[0] === 'string' ? [row.does as Call] : (row.does as Call[])).map(fill)
    for (const call of calls) send(channel, call)
    const scope = broker.pick(row.scope)
    for (const [method] of calls.slice(0, -1))
      if (!unanswered.includes(method)) await channel.expect(`${method}-ok` as MethodName)
    const close = scope === 'channel' ? await channel.expectClose() : await channel.connection.expectClose()

    expect(close).toEqual({
      code: broker.pick(row.code),
      text: fillIn(broker.pick(row.text), names),
      method: broker.pick(row.blames ?? calls[calls.length - 1][0]),
    })
    if (scope === 'channel') await channel.call('channel.open') // the connection lives, the number is free again
  })
}

/** Calls in order, each answered before the next. */
export async function perform(channel: RawChannel, calls: Call[]): Promise<void> {
  for (const call of calls) {
    send(channel, call)
    if (call[0] === 'basic.get') await channel.message('basic.get-ok')
    else if (!unanswered.includes(call[0])) await channel.expect(`${call[0]}-ok` as MethodName)
  }
}

/** basic.publish with its content. */
export function send(channel: RawChannel, [method, args = {}, properties = {}]: Call): void {
  if (method === 'basic.publish') channel.publish(args as Partial<MethodArgs<'basic.publish'>>, 'body', properties)
  else channel.send<MethodName>(method, args)
}

function fillIn(value: unknown, names: Record<string, string>): unknown {
  if (typeof value === 'string') return value.replace(/\$[qx]/g, (name) => names[name])
  if (Array.isArray(value)) return value.map((item) => fillIn(item, names))
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value) || value instanceof Typed) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillIn(item, names)]))
}
