// Counters of messages and of churn; see core-api for what each counts.
import type { ChurnCounters, MessageCounters } from './core-api'

export function newMessageCounters(): MessageCounters {
  return {
    publish: 0,
    confirm: 0,
    returnUnroutable: 0,
    dropUnroutable: 0,
    deliver: 0,
    deliverNoAck: 0,
    get: 0,
    getNoAck: 0,
    getEmpty: 0,
    redeliver: 0,
    ack: 0,
  }
}

export function newChurnCounters(): ChurnCounters {
  return {
    connectionsOpened: 0,
    connectionsClosed: 0,
    channelsOpened: 0,
    channelsClosed: 0,
    queuesDeclared: 0,
    queuesCreated: 0,
    queuesDeleted: 0,
    authAttempts: 0,
    authFailures: 0,
  }
}
