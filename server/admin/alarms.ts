// What is wrong with the broker just now, for health checks, the overview and `leveret status`.
import type { Management } from '../core/core-api'

export interface Alarm {
  resource: 'memory' | 'disk'
  reason: string
}

export function alarmsOf(management: Management): Alarm[] {
  const alarms: Alarm[] = []
  if (management.memory().alarm) alarms.push({ resource: 'memory', reason: 'messages take more than the memory-limit' })
  const error = management.storageError()
  if (error !== null) alarms.push({ resource: 'disk', reason: error })
  return alarms
}
