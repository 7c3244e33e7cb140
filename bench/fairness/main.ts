// npm run fairness: is everybody served, whatever the others do? Prints what it measured; exits 1 when a bound is passed.
import { leveret } from '../brokers'
import { type Check, checks } from './checks'

const only = process.argv[2] ?? '' // those whose title contains this

async function main(): Promise<void> {
  const chosen = checks.filter(({ title }) => title.includes(only))
  let failed = 0
  for (const check of chosen) if (!(await holds(check))) failed++
  console.log(`${chosen.length - failed} passed, ${failed} failed`)
  process.exitCode = failed > 0 ? 1 : 0
}

async function holds({ title, run }: Check): Promise<boolean> {
  const broker = await leveret({ dataParent: null, profile: null }).start()
  try {
    const { told, fault } = await run(broker)
    console.log(`${fault === null ? 'ok    ' : 'FAILED'} ${title}: ${told}${fault === null ? '' : `: ${fault}`}`)
    return fault === null
  } catch (error) {
    console.log(`FAILED ${title}: ${(error as Error).message}`)
    return false
  } finally {
    await broker.stop()
  }
}

void main()
