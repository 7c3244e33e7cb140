// Runs `leveret` in this process and tells what it printed. For tests.
import { runCommandLine } from './command-line'

export interface Captured {
  code: number
  output: string
  errors: string
}

export async function runCaptured(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Captured> {
  const result = { output: '', errors: '' }
  const code = await runCommandLine(args, {
    env,
    print: (line) => {
      result.output += `${line}\n`
    },
    printError: (line) => {
      result.errors += `${line}\n`
    },
    onStopSignal() {},
    exit() {},
  })
  return { code, ...result }
}
