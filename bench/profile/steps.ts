// Which step of a message's way a function belongs to. Told by file, so it stays right when functions move within one.
import { type HotFunction, totalOf } from './hot-functions'

export interface StepCost {
  step: string
  cost: number
}

/** The first that fits counts. What fits none is told as it is. */
const STEPS: [step: string, pattern: RegExp][] = [
  ['garbage collection', /^\(garbage collector\)/],
  ['copies of the message', /storage\/bytes|_?copy(Actual)? node:buffer/],
  ['the kernel takes bytes', /^(writeBuffer|writev|writeUtf8String|writeLatin1String)\b/],
  ['batch to the disk thread', /^postMessage|node:internal\/worker|storage\/(journal|batch-codec|log-rows|sqlite)/],
  ['Node.js around sockets', / node:|^\((program|anonymous)\)$|^onStreamRead/],
  ['read: frames', /frame-parser/],
  ['read: publish gathered', /publish-assembly|basic-codec|protocol\/properties|net\/(connection|hub)/],
  ['read: acknowledgements', /net\/unacked/],
  ['channel and confirms', /net\/(channel|confirms|transaction)|core\/session/],
  ['route', /core\/(router|publishing|publish-claims|exchange|routed-message|vhost)/],
  ['store', /storage\//],
  ['queue and its ring', /core\/(queue|waiting|ticket-ring|discards|returned|limits|expiry|counters)/],
  ['dispatch: who gets it', /core\/(ready-round|consumer|consumer-round|priority-round|core)\.js/],
  ['write: deliveries', /net\/(message-writer|outlet|out-buffer)|frame-writer/],
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
