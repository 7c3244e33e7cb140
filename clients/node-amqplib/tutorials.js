// Plays the examples as their README tells: a receiving program, then a sending one, and what both print.
const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const { createInterface } = require('node:readline')
const { join } = require('node:path')

const limitMs = 15_000

// title, arguments of the receiving side, of each sending side, what the receiver then prints, what the last sender prints
const steps = [
  ['hello', ['hello.js', 'receive'], [['hello.js', 'send']], ['received Hello, hare!'], 'sent'],
  ['work queue', ['work-queue.js', 'work'], [['work-queue.js', 'add', 'dig']], ['done dig'], 'added dig'],
  ['broadcast', ['broadcast.js', 'listen'], [['broadcast.js', 'say', 'spring']], ['heard spring'], 'said spring'],
  [
    'routing',
    ['routing.js', 'listen', 'error'],
    [
      ['routing.js', 'log', 'info', 'no'],
      ['routing.js', 'log', 'error', 'disk is full'],
    ],
    ['error disk is full'],
    'logged disk is full',
  ],
  [
    'topics',
    ['topics.js', 'listen', '*.error', 'mail.#'],
    [
      ['topics.js', 'log', 'web.info', 'no'],
      ['topics.js', 'log', 'mail.in.error', 'yes'],
    ],
    ['mail.in.error yes'],
    'logged yes',
  ],
  ['rpc', ['rpc.js', 'serve'], [['rpc.js', 'ask', '30']], [], 'fibonacci(30) = 832040'],
]

/** what → check */
const tutorials = Object.fromEntries(steps.map(([title, ...step]) => [`example: ${title}`, () => play(...step)]))
tutorials['example: confirms'] = async () => assert.equal(run(['confirms.js']), '100 orders are safe')

async function play(receive, sends, received, sent) {
  const receiver = spawn(process.execPath, command(receive), { stdio: ['ignore', 'pipe', 'inherit'], timeout: limitMs })
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]()
  try {
    await lines.next() // it says when it listens
    let printed = ''
    for (const send of sends) printed = run(send)
    assert.equal(printed, sent)
    for (const line of received) assert.equal((await lines.next()).value, line)
  } finally {
    receiver.kill('SIGINT')
  }
  const [code] = await once(receiver, 'exit')
  assert.equal(code, 0)
}

function run(words) {
  return execFileSync(process.execPath, command(words), { encoding: 'utf8', timeout: limitMs }).trim()
}

function command([file, ...words]) {
  return [join(__dirname, 'examples', file), ...words]
}

module.exports = { tutorials }
