// What client folders in JavaScript share: runs checks one after another, each with a time limit, prints a line for
// each and counts them; knows the broker's address and how to restart it. Nothing of a client library is in here.
const { execFileSync } = require('node:child_process')

const url = process.env.LEVERET_URL ?? 'amqp://guest:guest@127.0.0.1:5672'
const checkLimitMs = 15_000

/** Runs `checks` (what → function; it rejects to fail and returns a text to skip), then ends the process. */
async function runChecks(checks) {
  const counts = { passed: 0, failed: 0 }
  for (const [what, check] of Object.entries(checks)) await report(counts, what, check)
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)
}

async function report(counts, what, check) {
  try {
    const skipped = await within(checkLimitMs, check)
    if (typeof skipped === 'string') return console.log(`skipped: ${what}: ${skipped}`)
    counts.passed++
    console.log(`ok ${what}`)
  } catch (error) {
    counts.failed++
    console.log(`FAILED ${what}: ${String(error?.message ?? error).replace(/\s+/g, ' ')}`)
  }
}

async function within(limitMs, check) {
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(reject, limitMs, new Error(`not done after ${limitMs / 1000} s`))
  })
  try {
    return await Promise.race([check(), limit])
  } finally {
    clearTimeout(timer)
  }
}

/** kill -9 and start again: same port, same data. Returns when the broker takes connections. */
function restartBroker() {
  execFileSync('sh', ['-c', process.env.LEVERET_RESTART], { stdio: 'ignore' })
}

const cannotRestart = process.env.LEVERET_RESTART ? undefined : 'no command to restart this broker'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

module.exports = { cannotRestart, restartBroker, runChecks, sleep, url }
