// The bench process's handle on one generator process: a command, then its answer.
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Command, ConsumerResult, Event, Job, PublisherResult } from './generator/jobs'

export class GeneratorProcess {
  private readonly child: ChildProcess
  private waiting: { resolve: (event: Event) => void; reject: (error: Error) => void } | null = null
  private failure: Error | null = null

  private constructor() {
    const program = join(__dirname, 'generator', 'main.js')
    this.child = fork(program, [], { serialization: 'advanced' }) // typed arrays cross as they are
    this.child.on('message', (event: Event) => this.onEvent(event))
    this.child.once('exit', () => this.fail(new Error('a generator process exited')))
  }

  /** Registered in `all` before anything can fail, so that the caller can end it. */
  static async prepare(job: Job, all: GeneratorProcess[]): Promise<GeneratorProcess> {
    const generator = new GeneratorProcess()
    all.push(generator)
    await generator.ask({ type: 'prepare', job })
    return generator
  }

  /** Publishes everything; resolves when the broker has taken (or confirmed) it. */
  async publish(): Promise<PublisherResult> {
    const event = await this.ask({ type: 'start' })
    return (event as { result: PublisherResult }).result
  }

  /** Begins to consume; resolves when the broker has accepted every consumer. */
  async startConsuming(): Promise<void> {
    await this.ask({ type: 'start' })
  }

  /** Waits until each queue has delivered as many as expected, or nothing moves any more. */
  async finishConsuming(expected: number[]): Promise<ConsumerResult> {
    const event = await this.ask({ type: 'finish', expected })
    return (event as { result: ConsumerResult }).result
  }

  exit(): void {
    this.waiting = null
    if (this.child.connected) this.child.send({ type: 'exit' } satisfies Command)
  }

  private ask(command: Command): Promise<Event> {
    return new Promise((resolve, reject) => {
      if (this.failure !== null) return reject(this.failure)
      this.waiting = { resolve, reject }
      this.child.send(command)
    })
  }

  private onEvent(event: Event): void {
    if (event.type === 'failed') {
      this.fail(new Error(event.reason))
      return
    }
    const { waiting } = this
    this.waiting = null
    waiting?.resolve(event)
  }

  private fail(error: Error): void {
    this.failure ??= error
    const { waiting } = this
    this.waiting = null
    waiting?.reject(this.failure)
  }
}
