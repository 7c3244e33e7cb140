// The storage worker: the one thread that touches leveret.db. Answers requests in order, one message each, and does the log's
// housekeeping when none wait. Started by sqlite-backend as a worker thread; not to be imported.
import { parentPort, workerData } from 'node:worker_threads'
import { noteSpent } from './garbage'
import { StartupError, StorageError } from './log-backend'
import { isShared } from './shared-places'
import { SqliteLog } from './sqlite-log'
import type { Answer, Call, EntryInPlace, ErrorAnswer, Request, WorkerSettings } from './sqlite-protocol'
import { ownedBuffers } from './transfer'

if (parentPort === null) throw new Error('sqlite-worker runs as a worker thread only')
const port = parentPort
const { directory, limits } = workerData as WorkerSettings
const log = new SqliteLog(directory, limits)
let isOpen = false
let idleTimer: NodeJS.Timeout | undefined
let isIdlePending = false
let idlePass: NodeJS.Immediate | undefined
let busyPass: NodeJS.Immediate | undefined

port.on('message', ({ id, call }: Request) => {
  if (call.call === 'backup') answerLater(id, log.backup(call.file))
  else answer(id, call)
  if (isOpen) scheduleHousekeeping(call.call === 'commit')
  else stop()
})

function answer(id: number, call: Exclude<Call, { call: 'backup' }>): void {
  let reply: Answer
  const arrays: Uint8Array[] = []
  try {
    reply = { id, value: perform(call, arrays) }
  } catch (error) {
    reply = { id, error: toAnswer(error) }
  }
  port.postMessage(reply, ownedBuffers(arrays))
}

/** Other requests are answered meanwhile. */
function answerLater(id: number, work: Promise<void>): void {
  work.then(
    () => port.postMessage({ id, value: undefined }),
    (error) => port.postMessage({ id, error: toAnswer(error) }),
  )
}

/** `arrays` receives what in the result may be handed over instead of copied. */
function perform(call: Exclude<Call, { call: 'backup' }>, arrays: Uint8Array[]): unknown {
  switch (call.call) {
    case 'open': {
      const opened = log.open()
      isOpen = true
      return opened
    }
    case 'begin':
      return log.begin()
    case 'commit':
      for (const { payload } of call.unit.entries) if (!isShared(payload.buffer)) noteSpent(payload.length)
      if (call.trimBefore > 0) log.trim(call.trimBefore)
      return log.commit(call.unit)
    case 'replay': {
      const group = log.replayGroup(call.after)
      arrays.push(group.records)
      return group
    }
    case 'read': {
      const { records, payload } = log.read(call.position)
      if (call.into === null || payload.length + records.length > call.into.byteLength) {
        arrays.push(records, payload)
        return { records, payload }
      }
      const place = new Uint8Array(call.into)
      place.set(payload)
      place.set(records, payload.length)
      noteSpent(payload.length + records.length)
      const answer: EntryInPlace = { payloadBytes: payload.length, recordsBytes: records.length }
      return answer
    }
    case 'trim':
      return log.trim(call.before)
    case 'remove':
      return log.remove(call.positions)
    case 'stats':
      return log.stats()
    case 'close':
      isOpen = false
      return log.close(call.clean)
  }
}

function toAnswer(error: unknown): ErrorAnswer {
  const message = (error as Error).message
  if (error instanceof StartupError) return { type: 'startup', reason: error.reason, message }
  return { type: 'storage', kind: error instanceof StorageError ? error.kind : 'unavailable', message }
}

/** Between requests only what is overdue, and the rest after `idleMs` without a commit; other calls do not put it off, or a broker
 *  that only reads and asks for figures would never delete. Each slice is a pass of its own: a request that has come meanwhile goes first. */
function scheduleHousekeeping(isCommit: boolean): void {
  if (busyPass === undefined) busyPass = setImmediate(housekeep)
  if (isCommit || !isIdlePending) awaitIdle()
}

function awaitIdle(): void {
  isIdlePending = true
  clearImmediate(idlePass)
  if (idleTimer === undefined) idleTimer = setTimeout(onIdle, limits.idleMs)
  else idleTimer.refresh()
}

function housekeep(): void {
  busyPass = isOpen && log.housekeep(false) ? setImmediate(housekeep) : undefined
}

function onIdle(): void {
  isIdlePending = false
  if (isOpen && log.housekeep(true)) idlePass = setImmediate(onIdle)
}

/** The thread ends by running out of things to do. worker.terminate() from outside could strike within SQLite. */
function stop(): void {
  clearTimeout(idleTimer)
  clearImmediate(busyPass)
  clearImmediate(idlePass)
  port.close()
}
