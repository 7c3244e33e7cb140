// Loaded into a broker's process before the broker (`node --require`), when the bench wants to look inside: what it allocates, where
// its time and its bytes go. Obeys the bench over IPC; does nothing until it is asked, and knows nothing of brokers.
import type { Session } from 'node:inspector'
import { GCProfiler, getHeapStatistics } from 'node:v8'
import { isMainThread } from 'node:worker_threads'
import type { ProbeAnswer, ProbeCommand, ProbeKind } from './probe'

/** One sample for so many bytes on average: fine enough for a top list, and the broker keeps most of its speed. */
const SAMPLED_BYTES = 4096
const SAMPLED_US = 500

let finish: () => Promise<unknown> = async () => null

// Threads of the broker load this too. What is asked of the process is meant for its main thread.
if (isMainThread) {
  process.on('message', (command: ProbeCommand) => void obey(command))
  process.channel?.unref() // the broker may end whenever it wants
}

async function obey(command: ProbeCommand): Promise<void> {
  if (command.type === 'start') {
    finish = await start(command.kind)
    answer({ type: 'started' })
  } else {
    answer({ type: 'stopped', result: await finish() })
  }
}

function answer(event: ProbeAnswer): void {
  process.send?.(event)
}

function start(kind: ProbeKind): Promise<() => Promise<unknown>> {
  switch (kind) {
    case 'allocated':
      return countAllocated()
    case 'cpu':
      return profileCpu()
    case 'heap':
      return profileHeap()
  }
}

/** Exact: the heap's growth, and what each garbage collection took from it. */
async function countAllocated(): Promise<() => Promise<number>> {
  const collections = new GCProfiler()
  collections.start()
  const before = getHeapStatistics().used_heap_size
  return async () => {
    const grown = getHeapStatistics().used_heap_size - before
    const freed = collections.stop().statistics.map(({ beforeGC, afterGC }) => {
      return beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize
    })
    return freed.reduce((sum, bytes) => sum + bytes, grown)
  }
}

async function profileCpu(): Promise<() => Promise<unknown>> {
  const session = await openSession()
  await post(session, 'Profiler.enable')
  await post(session, 'Profiler.setSamplingInterval', { interval: SAMPLED_US })
  await post(session, 'Profiler.start')
  return async () => (await post<{ profile: unknown }>(session, 'Profiler.stop')).profile
}

/** Counts what is collected as well: all that was allocated, not what is left. */
async function profileHeap(): Promise<() => Promise<unknown>> {
  const session = await openSession()
  await post(session, 'HeapProfiler.startSampling', {
    samplingInterval: SAMPLED_BYTES,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  })
  return async () => (await post<{ profile: unknown }>(session, 'HeapProfiler.stopSampling')).profile
}

async function openSession(): Promise<Session> {
  const inspector = await import('node:inspector')
  const session = new inspector.Session()
  session.connect()
  return session
}

function post<Answer>(session: Session, method: string, params: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    session.post(method, params, (error: Error | null, result?: object) => {
      if (error) reject(error)
      else resolve(result as Answer)
    })
  })
}
