// The `name` and `use_regex` of a list. A pattern comes from the user, and JavaScript's matcher can take exponential time
// over a hostile one ("(a+)+$"). So patterns run inside vm with a time limit, which V8 keeps even in the middle of a match:
// a few names at a time, and a request whose pattern eats up its whole allowance is refused. listing.ts calls this.
import { createContext, Script } from 'node:vm'
import { badRequest } from './problem'
import type { Slices } from './slices'

const PATTERN_CHARS_MAX = 1000
const BATCH = 100
/** One batch; when it is over, the batch was too big, or the machine busy: smaller ones follow. */
const BATCH_MS = 5
/** What batches that were stopped may cost a request together. */
const WASTE_MS_MAX = 60

/** Which of `names` match, by index. Case does not count, as in RabbitMQ. */
export async function matching(names: readonly string[], name: string, isRegex: boolean, slices: Slices) {
  return isRegex ? matchingPattern(names, compiled(name), slices) : containing(names, name.toLowerCase(), slices)
}

async function containing(names: readonly string[], part: string, slices: Slices): Promise<boolean[]> {
  const found: boolean[] = []
  for (const name of names) {
    found.push(name.toLowerCase().includes(part))
    if (slices.isOver) await slices.next()
  }
  return found
}

const script = new Script('names.map((name) => pattern.test(name))')

async function matchingPattern(names: readonly string[], pattern: RegExp, slices: Slices): Promise<boolean[]> {
  const sandbox = createContext({ names: [] as readonly string[], pattern })
  const found: boolean[] = []
  let batch = BATCH
  let wasted = 0
  while (found.length < names.length) {
    await slices.next()
    sandbox.names = names.slice(found.length, found.length + batch)
    const results = attempt(sandbox)
    if (results !== null) {
      for (const result of results) found.push(result)
      continue
    }
    wasted += BATCH_MS
    if (wasted > WASTE_MS_MAX) throw badRequest('The regular expression takes too long')
    batch = Math.max(1, batch >> 2)
  }
  return found
}

/** null: stopped. */
function attempt(sandbox: object): boolean[] | null {
  try {
    return script.runInContext(sandbox as ReturnType<typeof createContext>, { timeout: BATCH_MS })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return null
    throw badRequest('The regular expression is too big')
  }
}

function compiled(source: string): RegExp {
  if (source.length > PATTERN_CHARS_MAX) throw badRequest('The regular expression is too long')
  try {
    return new RegExp(source, 'i')
  } catch (error) {
    throw badRequest((error as Error).message)
  }
}
