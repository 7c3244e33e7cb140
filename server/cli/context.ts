// What the commands need of the process around them. main.ts gives the real one, tests their own.

export interface CliContext {
  env: Readonly<Record<string, string | undefined>>
  print(line: string): void
  printError(line: string): void
  /** SIGTERM or SIGINT, each time one comes. */
  onStopSignal(handler: () => void): void
  exit(code: number): void
}

/** A failure whose message says it all: printed without a stack trace, exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}
