"""Runs checks one after another, each within a time limit, and prints a line for each."""
import signal
import time
import traceback

LOG_LINES = 40


class CheckTimeout(Exception):
    pass


class Skipped(Exception):
    """This check cannot be done here; says why."""


class Report:
    def __init__(self, time_limit, logs):
        self.started = time.monotonic()
        self.deadline = self.started + time_limit
        self.logs = logs
        self.passed = 0
        self.failed = 0
        signal.signal(signal.SIGALRM, on_alarm)

    def check(self, title, function, limit=20):
        """Calls `function`; it raises to fail, and may return a detail worth printing.

        The limit interrupts a blocked socket read too, so a silent broker cannot hang the run.
        """
        begun = time.monotonic()
        limit = min(limit, self.deadline - begun)
        try:
            if limit <= 0:
                raise CheckTimeout('no time left')
            signal.setitimer(signal.ITIMER_REAL, limit)
            try:
                detail = function()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Skipped as reason:
            print(f'skipped: {title}: {reason}', flush=True)
            return False
        except Exception as error:
            self.failed += 1
            self.print_failure(title, error)
            return False
        self.passed += 1
        print(f'ok {title}{f": {detail}" if detail else ""} ({time.monotonic() - begun:.1f} s)', flush=True)
        return True

    def print_failure(self, title, error):
        where = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(where) if 'checks/' in frame.filename), where[-1])
        print(f'FAILED {title}: {type(error).__name__}: {error} (line {place.lineno}: {place.line})', flush=True)
        if self.failed == 1:
            self.print_logs()

    def print_logs(self):
        """With the first failure only: what follows it is mostly its consequence."""
        for log in self.logs:
            if log.exists():
                print(f'----- end of {log.name}')
                print('\n'.join(log.read_text(errors='replace').splitlines()[-LOG_LINES:]), flush=True)

    def finish(self):
        print(f'{self.passed} passed, {self.failed} failed (in {time.monotonic() - self.started:.0f} s)', flush=True)
        return 1 if self.failed or not self.passed else 0


def on_alarm(signum, frame):
    raise CheckTimeout('time limit reached')


def wait_until(is_true, what):
    """Polls until it holds; the limit of the running check ends it otherwise, and says what was missing."""
    try:
        while True:
            value = is_true()
            if value:
                return value
            time.sleep(0.02)
    except CheckTimeout as timeout:
        raise CheckTimeout(f'{timeout} while waiting until {what}') from None


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f'{what}: {shorten(actual)} instead of {shorten(expected)}')


def shorten(value):
    text = repr(value)
    return text if len(text) <= 200 else f'{text[:200]}…'
