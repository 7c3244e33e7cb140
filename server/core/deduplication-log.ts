// The ids that deduplication knows, as parameters among the definitions: they travel in the commit of the message they belong to.
// One log per durable exchange or queue that deduplicates; recovery gives back what was stored.
import type { ParameterRecord } from '../../storage/definitions'
import type { Journal } from '../../storage/journal'

export const DEDUPLICATION = 'deduplication'

export type Owner = 'exchange' | 'queue'

export class IdLog {
  /** Ids are forgotten in the order they came; the table does not promise one. */
  private order = 0

  constructor(
    private readonly owner: Owner,
    private readonly name: string,
    private readonly vhost: string,
    private readonly journal: Journal,
  ) {}

  /** `until`: clock time, ms; infinite for no end. */
  put(id: string, until: number): void {
    const value = JSON.stringify({ order: ++this.order, until: Number.isFinite(until) ? until : null })
    this.journal.define({ op: 'put', kind: 'parameter', record: { ...this.keyOf(id), value } })
  }

  delete(id: string): void {
    this.journal.define({ op: 'delete', kind: 'parameter', key: this.keyOf(id) })
  }

  /** What comes goes behind what was there. */
  startAfter(order: number): void {
    this.order = order
  }

  private keyOf(id: string) {
    return { component: DEDUPLICATION, name: JSON.stringify([this.owner, this.name, id]), vhost: this.vhost }
  }
}

export interface StoredId {
  vhost: string
  owner: Owner
  name: string
  id: string
  until: number
  order: number
}

/** All that were stored, in the order they came to each owner. */
export function storedIds(parameters: readonly ParameterRecord[]): StoredId[] {
  const found: StoredId[] = []
  for (const { component, name: key, vhost, value } of parameters) {
    if (component !== DEDUPLICATION) continue
    const [owner, name, id] = JSON.parse(key) as [Owner, string, string]
    const { order, until } = JSON.parse(value) as { order: number; until: number | null }
    found.push({ vhost, owner, name, id, order, until: until ?? Number.POSITIVE_INFINITY })
  }
  return found.sort((a, b) => a.order - b.order)
}
