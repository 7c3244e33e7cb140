// Which step of a message's way a function belongs to. Told by file, so it stays right when functions move within one.
import { type HotFunction, totalOf } from './hot-functions'

export interface StepCost {
  step: string
  cost: number
}

/** The first that fits counts. What fits none is told as it is. */
const STEPS: [step: string, pattern: RegExp][] = [
  ['idle and garbage: collecting', /^\(garbage collector\)/],
  ['socket: the kernel takes bytes (write)', /^(writeBuffer|writev|writeUtf8String|writeLatin1String)\b/],
  ['socket: Node.js around read and write', / node:|^(\(program\)|\(anonymous\)|onStreamRead)/],
  ['read: frames', /frame-parser/],
  ['read: publish gathered', /publish-assembly|basic-codec|net\/connection|net\/hub/],
  ['read: acknowledgements', /net\/unacked/],
  ['channel: confirms', /net\/confirms/],
  ['channel: methods', /net\/channel|net\/transaction|core\/session/],
  ['route', /core\/(router|publishing|exchange|routed-message|vhost)/],
  ['store: the one copy', /storage\/(message-store|segment|page-in|garbage|spill)/],
  ['queue and its ring', /core\/(queue|waiting|ticket-ring|discards|returned|limits|expiry|counters)/],
  ['dispatch: who gets it', /core\/(ready-round|consumer|consumer-round|priority-round|core)\.js/],
  ['write: deliveries', /net\/(message-writer|outlet|out-buffer)|frame-writer/],
  ['commit: the batch', /storage\//],
]

export function costsByStep(functions: readonly HotFunction[]): StepCost[] {
  const costs = new Map<string, number>(STEPS.map(([step]) => [step, 0]))
  for (const { where, cost } of functions) {
    const step = STEPS.find(([, pattern]) => pattern.test(where))?.[0] ?? where
    costs.set(step, (costs.get(step) ?? 0) + cost)
  }
  const floor = totalOf(functions) * 0.002
  return [...costs].map(([step, cost]) => ({ step, cost })).filter(({ cost }) => cost > floor)
}
