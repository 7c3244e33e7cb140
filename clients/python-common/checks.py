"""What the Python client folders share: runs checks, prints a line for each, knows the broker's addresses.

Output, as for every client folder: `ok <what>`, `FAILED <what>: why` or `skipped: <what>: why` per check, and
`N passed, N failed` at the end. The program under test is the folder's own; nothing of a client library is in here.
"""
import os
import signal
import subprocess
import sys
import traceback
import uuid

URL = os.environ.get('LEVERET_URL', 'amqp://guest:guest@127.0.0.1:5672/')
RESTART_COMMAND = os.environ.get('LEVERET_RESTART')
DIFFERENCES = (Exception, SystemExit)


class Skipped(Exception):
    """This check cannot be done here; says why."""


class TimeIsUp(BaseException):
    """Not an Exception: a client library that goes on after any error must not swallow it."""


class Checks:
    """Runs checks one after another. `prefix` starts the names of everything that this run declares."""

    def __init__(self, name):
        self.prefix = f'{name}-{uuid.uuid4().hex[:8]}'
        self.passed = self.failed = 0
        signal.signal(signal.SIGALRM, raise_time_is_up)

    def check(self, what, function, limit=20):
        """Calls `function`; it raises to fail. The limit (seconds) interrupts a blocked read too."""
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            function()
        except Skipped as reason:
            print(f'skipped: {what}: {reason}', flush=True)
        except TimeIsUp:
            self.fail(what, f'no end after {limit} s')
        except DIFFERENCES as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.fail(what, f'{type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})')
        else:
            self.passed += 1
            print(f'ok {what}', flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def fail(self, what, why):
        self.failed += 1
        print(f'FAILED {what}: {" ".join(why.split())}', flush=True)

    def finish(self):
        print(f'{self.passed} passed, {self.failed} failed', flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def raise_time_is_up(signum, frame):
    raise TimeIsUp


def need_restart():
    if not RESTART_COMMAND:
        raise Skipped('no LEVERET_RESTART')


def restart_broker():
    """kill -9 and start again: same port, same data. Returns when the broker takes connections."""
    need_restart()
    # These three are of the client folders; a Leveret refuses settings that it does not know.
    ours = ('LEVERET_URL', 'LEVERET_ADMIN', 'LEVERET_RESTART')
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    subprocess.run(RESTART_COMMAND, shell=True, check=True, timeout=60, stdout=subprocess.DEVNULL, env=environment)


def equal(actual, expected, what):
    if actual != expected or type(actual) is not type(expected):
        raise AssertionError(f'{what}: {shorten(actual)} instead of {shorten(expected)}')


def shorten(value):
    text = repr(value)
    return text if len(text) <= 200 else f'{text[:200]}…'


def raises(kind, function, *args, **kwargs):
    """Calls it and returns the error of this kind that it must raise."""
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f'no {kind.__name__}')
