// From a profile's tree to what people read: how much each function cost by itself, wherever it was called from.

export interface HotFunction {
  /** name file:line */
  where: string
  /** Microseconds or bytes. */
  cost: number
}

interface CallFrame {
  functionName: string
  url: string
  lineNumber: number
}

export interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame }[]
  samples: number[]
  timeDeltas: number[]
}

export interface HeapNode {
  callFrame: CallFrame
  selfSize: number
  children: HeapNode[]
}

/** Without waiting, and without the end of the profile itself (`dispatch`, of the inspector). */
export function functionsByTime({ nodes, samples, timeDeltas }: CpuProfile): HotFunction[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const costs = new Map<string, number>()
  for (let i = 0; i < samples.length; i++) add(costs, names.get(samples[i]) ?? '?', Math.max(0, timeDeltas[i]))
  costs.delete('(idle)')
  costs.delete('dispatch')
  return sorted(costs)
}

export function functionsByBytes(head: HeapNode): HotFunction[] {
  const costs = new Map<string, number>()
  const visit = (node: HeapNode): void => {
    add(costs, nameOf(node.callFrame), node.selfSize)
    node.children.forEach(visit)
  }
  visit(head)
  return sorted(costs)
}

export function totalOf(functions: readonly HotFunction[]): number {
  return functions.reduce((sum, { cost }) => sum + cost, 0)
}

function add(costs: Map<string, number>, name: string, cost: number): void {
  if (cost > 0) costs.set(name, (costs.get(name) ?? 0) + cost)
}

function sorted(costs: Map<string, number>): HotFunction[] {
  return [...costs].map(([where, cost]) => ({ where, cost })).sort((a, b) => b.cost - a.cost)
}

/** Functions of Node.js itself say so (`node:net`); ours say folder and file. */
function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  if (url === '') return name
  return `${name} ${shorten(url)}:${lineNumber + 1}`
}

function shorten(url: string): string {
  return url.startsWith('node:') ? url : url.split('/').slice(-2).join('/')
}
