"""The processes around the checks: the broker (ours or somebody's), the worker, beat.

Every wait has a limit. Only processes started here are ever signalled.
"""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

PROJECT_DIR = Path(__file__).resolve().parent.parent
LEVERET = PROJECT_DIR.parent.parent / 'dist' / 'server' / 'main.js'
START_LIMIT_S = 30
STOP_LIMIT_S = 10


class BrokerError(Exception):
    """The broker cannot be used; says why."""


class Process:
    """A child in a process group of its own, its output appended to a log file."""

    def __init__(self, argv, log, environment=None):
        self.environment = environment or {}
        self.argv = [str(part) for part in argv]
        self.log = log
        self.child = None

    def start(self):
        self.kill()  # one that could not be stopped before
        with open(self.log, 'ab') as output:
            self.child = subprocess.Popen(
                self.argv,
                cwd=PROJECT_DIR,
                env={**environment_of_children(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    def stop(self):
        """Asks it to stop and returns its exit code, or None where it had to be killed."""
        if self.child is None:
            return 0
        self.child.terminate()
        try:
            code = self.child.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()  # what it may have left in its group
        return code

    def kill(self):
        """SIGKILL to it and its children: no goodbye, no flush."""
        if self.child is not None:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child.wait(STOP_LIMIT_S)
            self.child = None


def environment_of_children():
    """Ours but for what the runner of all client folders tells us: a Leveret refuses settings that it does not know."""
    ours = ('LEVERET_URL', 'LEVERET_ADMIN', 'LEVERET_RESTART')
    return {name: value for name, value in os.environ.items() if name not in ours}


class LocalBroker:
    """A Leveret on free ports, in a data directory that outlives its crashes."""

    can_crash = True

    def __init__(self, data_dir, log):
        if not LEVERET.exists():
            raise BrokerError(f'{LEVERET} is missing: npm ci && npm run build')
        self.port, admin_port = free_ports(2)
        self.url = f'amqp://guest:guest@127.0.0.1:{self.port}//'
        self.admin_url = f'http://127.0.0.1:{admin_port}'
        options = ['--data', data_dir, '--port', self.port, '--admin-port', admin_port]
        self.process = Process(['node', LEVERET, 'start', *options], log)
        self.start()

    def start(self):
        log = self.process.log
        seen = log.stat().st_size if log.exists() else 0
        self.process.start()
        deadline = time.monotonic() + START_LIMIT_S
        while b'Server startup complete' not in log.read_bytes()[seen:]:
            if not self.process.is_running():
                raise BrokerError(f'the broker ended while starting:\n{log.read_text()[-2000:]}')
            if time.monotonic() > deadline:
                self.process.kill()
                raise BrokerError(f'the broker did not start in {START_LIMIT_S} s:\n{log.read_text()[-2000:]}')
            time.sleep(0.02)

    def crash(self):
        self.process.kill()

    def recover(self):
        self.start()

    def stop(self):
        self.process.stop()


class RemoteBroker:
    """Somebody else's broker. It crashes and recovers by a command, where one is given."""

    admin_url = None

    def __init__(self, url, restart_command):
        self.url = url
        self.restart_command = restart_command
        self.can_crash = restart_command is not None
        self.restarting = None
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port or 5672)
        self.connect_within(5)

    def crash(self):
        """Returns when it is down: what is asked for from then on cannot be stored before it."""
        self.restarting = subprocess.Popen(
            self.restart_command, shell=True, stdin=subprocess.DEVNULL, env=environment_of_children()
        )
        while self.is_listening():
            if self.restarting.poll() is not None:
                raise BrokerError('--restart-command has ended, and the broker was never seen down')
            time.sleep(0.001)

    def is_listening(self):
        try:
            socket.create_connection(self.address, timeout=5).close()
            return True
        except OSError:
            return False

    def recover(self):
        try:
            code = self.restarting.wait(START_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.restarting.kill()
            raise BrokerError(f'--restart-command did not end in {START_LIMIT_S} s') from None
        if code != 0:
            raise BrokerError(f'--restart-command failed with exit code {code}')
        self.connect_within(START_LIMIT_S)

    def connect_within(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(self.address, timeout=5).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BrokerError(f'no broker at {self.address[0]}:{self.address[1]}: {error}') from None
            time.sleep(0.1)

    def stop(self):
        pass


def worker(name, work_dir, queues, *options, environment=None):
    options = ['--hostname', name, '--loglevel', 'INFO', '--queues', queues, *options]
    argv = [sys.executable, '-m', 'celery', '-A', 'shop', 'worker', *options]
    return Process(argv, work_dir / 'worker.log', environment)


def beat(work_dir):
    options = ['--loglevel', 'INFO', '--schedule', work_dir / 'beat-schedule', '--pidfile', '']
    return Process([sys.executable, '-m', 'celery', '-A', 'shop', 'beat', *options], work_dir / 'beat.log')


def free_ports(count):
    """Ports that nobody listens on. All are held until all are known, so that no two are the same."""
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports
