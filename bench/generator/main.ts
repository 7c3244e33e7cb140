// A generator process: takes one job from the bench process over IPC and does it. Publishers and consumers are processes
// of their own so that neither their work nor their garbage collection is counted as the broker's.
import { Consumers } from './consumers'
import type { Command, Event } from './jobs'
import { Publishers } from './publishers'

let publishers: Publishers | null = null
let consumers: Consumers | null = null

process.on('message', (command: Command) => {
  obey(command).catch((error: Error) => send({ type: 'failed', reason: error.message }))
})
process.on('disconnect', () => process.exit(1)) // the bench process is gone

async function obey(command: Command): Promise<void> {
  switch (command.type) {
    case 'prepare':
      if (command.job.role === 'publisher') publishers = await Publishers.connect(command.job)
      else consumers = await Consumers.connect(command.job)
      return send({ type: 'prepare' })
    case 'start':
      if (publishers !== null) return send({ type: 'start', result: await publishers.run() })
      await consumers?.start()
      return send({ type: 'start', result: null })
    case 'finish':
      if (consumers !== null) send({ type: 'finish', result: await consumers.finish(command.expected) })
      return
    case 'exit':
      process.exit(0)
  }
}

function send(event: Event): void {
  process.send?.(event)
}
