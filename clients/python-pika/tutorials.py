"""Plays the examples as their README tells: a receiving program, then a sending one, and what both print."""
import signal
import subprocess
import sys

from checks import equal

# title, arguments of the receiving side, of each sending side, what the receiver then prints, what the last sender prints
STEPS = (
    ('hello', ['hello.py', 'receive'], [['hello.py', 'send']], ['received Hello, hare!'], 'sent'),
    ('work queue', ['work_queue.py', 'work'], [['work_queue.py', 'add', 'dig']], ['done dig'], 'added dig'),
    ('broadcast', ['broadcast.py', 'listen'], [['broadcast.py', 'say', 'spring']], ['heard spring'], 'said spring'),
    (
        'routing',
        ['routing.py', 'listen', 'error'],
        [['routing.py', 'log', 'info', 'no'], ['routing.py', 'log', 'error', 'disk is full']],
        ['error disk is full'],
        'logged disk is full',
    ),
    (
        'topics',
        ['topics.py', 'listen', '*.error', 'mail.#'],
        [['topics.py', 'log', 'web.info', 'no'], ['topics.py', 'log', 'mail.in.error', 'yes']],
        ['mail.in.error yes'],
        'logged yes',
    ),
    ('rpc', ['rpc.py', 'serve'], [['rpc.py', 'ask', '30']], [], 'fibonacci(30) = 832040'),
)  # fmt: skip


def check_tutorials(checks, folder):
    for title, *step in STEPS:
        checks.check(f'example: {title}', lambda: play(folder, *step))
    checks.check('example: confirms', lambda: equal(run(folder, ['confirms.py']), '100 orders are safe', 'output'))


def play(folder, receive, sends, received, sent):
    receiver = subprocess.Popen(command(folder, receive), stdout=subprocess.PIPE, text=True)
    try:
        receiver.stdout.readline()  # it says when it listens
        for send in sends:
            printed = run(folder, send)
        equal(printed, sent, 'the sender prints')
        for line in received:
            equal(receiver.stdout.readline().strip(), line, 'the receiver prints')
    finally:
        receiver.send_signal(signal.SIGINT)
        receiver.communicate(timeout=10)
    equal(receiver.returncode, 0, 'exit code of the receiver')


def run(folder, arguments):
    done = subprocess.run(command(folder, arguments), capture_output=True, text=True, timeout=15)
    equal(done.returncode, 0, f'exit code, with {done.stderr[-300:]}')
    return done.stdout.strip()


def command(folder, arguments):
    return [sys.executable, folder / arguments[0], *arguments[1:]]
