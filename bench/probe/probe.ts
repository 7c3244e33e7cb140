// The bench's end of the wire to a broker that has `inside.ts` loaded: starts and stops one look at a time.
import type { ChildProcess } from 'node:child_process'

/** allocated: bytes, exactly. cpu, heap: a profile as the DevTools read it (.cpuprofile, .heapprofile). */
export type ProbeKind = 'allocated' | 'cpu' | 'heap'

export type ProbeCommand = { type: 'start'; kind: ProbeKind } | { type: 'stop' }
export type ProbeAnswer = { type: 'started' } | { type: 'stopped'; result: unknown }

export class Probe {
  constructor(private readonly child: ChildProcess) {}

  /** What was seen while `work` ran, and what came of it. */
  async during<Seen, Result>(kind: ProbeKind, work: () => Promise<Result>): Promise<{ seen: Seen; result: Result }> {
    await this.ask({ type: 'start', kind })
    const result = await work()
    const answer = await this.ask({ type: 'stop' })
    return { seen: (answer as { result: unknown }).result as Seen, result }
  }

  private ask(command: ProbeCommand): Promise<ProbeAnswer> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('the broker has exited'))
      this.child.once('exit', onExit)
      this.child.once('message', (answer: ProbeAnswer) => {
        this.child.off('exit', onExit)
        resolve(answer)
      })
      this.child.send(command)
    })
  }
}
