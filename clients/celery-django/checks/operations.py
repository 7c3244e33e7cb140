"""What operators do to Celery: other pools, limits, remote control, monitors, priorities, restarts under load.

Each check starts the workers it needs, on queues of its own, and stops them again. `run_all` is the table of contents.
"""
import json
import os
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections import Counter
from urllib.parse import urlsplit

import celery
from celery import Celery, chain, group
from celery.exceptions import TimeLimitExceeded
from django.conf import settings
from django.core.management import call_command
from kombu import Exchange, Queue

from catalog import chores
from catalog.chores import read_notes
from shop.celery import app

from . import processes
from .fleet import Fleet
from .report import Skipped, equal, wait_until

TASK_COUNT = 10_000
QUORUM = {'SHOP_QUEUE_TYPE': 'quorum'}
PRIORITIES = {'SHOP_MAX_PRIORITY': '9'}
CELERY_VERSION = tuple(int(part) for part in celery.__version__.split('.')[:2])


def run_all(report, broker, work_dir):
    call_command('migrate', verbosity=0)
    operations = Operations(broker, work_dir)
    try:
        run_checks(report.check, operations)
    finally:
        for process in operations.workers:
            process.kill()


def run_checks(check, operations):
    check('group and chain by rpc://', operations.answer_directly, limit=30)
    check('retries with backoff', operations.back_off)
    check('time limits: the soft one is told, the hard one kills', operations.limit_time, limit=30)
    check('rate limit', operations.limit_rate)
    check('prefetch: the worker holds twice its processes, the rest waits', operations.prefetch, limit=30)
    check('revoke with terminate ends a running task', operations.terminate, limit=30)
    check('remote control: add_consumer, cancel_consumer', operations.move_consumer, limit=30)
    check('celery events --dump', operations.dump_events, limit=30)
    check('monitor through the HTTP API', operations.watch_api, limit=30)
    check('remote control: shutdown', operations.shut_down, limit=30)
    check('kill -9 of a worker: its task runs again, once', operations.kill_worker, limit=40)
    check('threads pool', operations.use_threads, limit=30)
    check('autoscale: up under load, down when idle', operations.autoscale, limit=40)
    check('broker failover list', operations.fail_over, limit=30)
    check('priorities: urgent tasks overtake those that wait', operations.prioritize, limit=30)
    check('quorum queues', operations.use_quorum_queue, limit=40)
    check('quorum queues: a countdown waits in the broker', operations.delay_in_broker, limit=40)
    check(f'{TASK_COUNT} tasks, 2 workers, 2 broker restarts', operations.survive_restarts, limit=150)
    check('queues of the operators are empty', operations.remove_queues)


class Operations(Fleet):
    # --- tasks ---
    def answer_directly(self):
        self.main_worker()
        asker = Celery('asker', broker=self.broker.url, backend='rpc://', set_as_current=False)
        asker.conf.update(task_create_missing_queues=True)
        add = asker.signature('catalog.chores.add', queue=self.queue('ops'))
        sums = group(add.clone((n, n)) for n in range(10)).apply_async()
        equal(sums.get(timeout=10), [2 * n for n in range(10)], 'group')
        total = chain(add.clone((1, 2)), add.clone((3,)), add.clone((4,))).apply_async()
        equal(total.get(timeout=10), 10, 'chain')
        asker.close()

    def back_off(self):
        self.main_worker()
        equal(self.send(chores.knock, 'knock').get(timeout=15), 'come in', 'result')
        times = [float(line[0]) for line in read_notes('knock')]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        equal(len(gaps), 2, 'retries')
        assert gaps[0] >= 0.9 and gaps[1] >= 1.9, f'retried after {gaps} s'

    def limit_time(self):
        self.main_worker()
        dawdled, overslept = self.send(chores.dawdle), self.send(chores.oversleep)
        equal(dawdled.get(timeout=15), 'hurried', 'soft limit')
        error = overslept.get(timeout=15, propagate=False)
        assert isinstance(error, TimeLimitExceeded), f'got {error!r}'

    def limit_rate(self):
        self.main_worker()
        for _ in range(10):
            self.send(chores.note_slowly, 'slowly')
        wait_until(lambda: len(read_notes('slowly')) == 10, 'all have run')
        times = sorted(float(line[0]) for line in read_notes('slowly'))
        assert times[-1] - times[0] >= 1.4, f'10 runs at 5/s took {times[-1] - times[0]:.1f} s'

    def prefetch(self):
        worker = self.main_worker()
        for number in range(12):
            self.send(chores.note, 'prefetch', number, 0.5)
        wait_until(lambda: len(read_notes('prefetch.begun')) >= 2, 'two are at work')
        held = len(self.inspect('active', worker)) + len(self.inspect('reserved', worker))
        assert held <= 4, f'{held} messages in hand'
        assert self.depth('ops') >= 4, f'{self.depth("ops")} messages wait in the queue'
        wait_until(lambda: len(read_notes('prefetch')) == 12, 'all have run')

    def terminate(self):
        worker = self.main_worker()
        task = self.send(chores.note, 'terminated', 'x', 60)
        wait_until(lambda: read_notes('terminated.begun'), 'the task has begun')
        app.control.revoke(task.id, terminate=True, destination=[worker.name])
        wait_until(lambda: not self.inspect('active', worker), 'the worker has forgotten it')
        self.send(chores.note, 'after')
        wait_until(lambda: read_notes('after'), 'the next task has run')
        equal((len(read_notes('terminated.begun')), read_notes('terminated')), (1, []), 'begun, ended')

    # --- control and monitors ---
    def move_consumer(self):
        worker, second = self.main_worker(), self.queue('second')
        app.control.add_consumer(second, destination=[worker.name], reply=True, timeout=5)
        self.send(chores.note, 'moved', 1, queue='second')
        wait_until(lambda: len(read_notes('moved')) == 1, 'the task has run')
        app.control.cancel_consumer(second, destination=[worker.name], reply=True, timeout=5)
        # The worker answers first, and does it in its next turn.
        wait_until(lambda: self.queues_of(worker) == [self.queue('ops')], 'one queue is left')
        self.send(chores.note, 'moved', 2, queue='second')
        wait_until(lambda: self.depth('second') == 1, 'the task waits')
        app.control.add_consumer(second, destination=[worker.name], reply=True, timeout=5)
        wait_until(lambda: len(read_notes('moved')) == 2, 'the task that waited has run')
        app.control.cancel_consumer(second, destination=[worker.name], reply=True, timeout=5)

    def queues_of(self, worker):
        return [queue['name'] for queue in self.inspect('active_queues', worker)]

    def dump_events(self):
        self.main_worker()
        log = self.work_dir / 'events.log'
        dump = processes.Process([sys.executable, '-u', '-m', 'celery', '-A', 'shop', 'events', '--dump'], log)
        self.workers.append(dump)
        dump.start()
        wait_until(lambda: log.exists() and 'heartbeat' in log.read_text(), 'it hears the worker')
        task = self.send(chores.note, 'dumped')
        wait_until(lambda: log.read_text().count(task.id) >= 3, 'received, started, succeeded')
        dump.kill()

    def watch_api(self):
        """As Flower does: queues with their counts, who consumes them, the worker's connection."""
        api = os.environ.get('LEVERET_ADMIN') or self.broker.admin_url
        if not api:
            raise Skipped('no LEVERET_ADMIN')
        self.main_worker()
        name = self.queue('ops')
        queue = wait_until(lambda: self.api_queue(api, name), 'one consumer is shown')
        equal((queue['durable'], queue['messages']), (True, 0), 'durable, messages')
        consumers = [each for each in self.get_api(api, 'consumers') if each['queue']['name'] == name]
        equal([each['ack_required'] for each in consumers], [True], 'acknowledgements of the consumers')
        clients = [each['client_properties'].get('product') for each in self.get_api(api, 'connections')]
        assert 'py-amqp' in clients, f'products of the connections: {clients}'

    def api_queue(self, api, name):
        queue = self.get_api(api, f'queues/%2F/{name}')
        return queue if queue.get('consumers') == 1 and queue.get('messages') == 0 else None

    def get_api(self, api, path):
        parts = urlsplit(api)
        broker = urlsplit(self.broker.url)
        login = parts if parts.username else broker
        token = b64encode(f'{login.username or "guest"}:{login.password or "guest"}'.encode()).decode()
        url = f'{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}'
        request = urllib.request.Request(url, headers={'Authorization': f'Basic {token}'})
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    def shut_down(self):
        worker = self.main_worker()
        app.control.shutdown(destination=[worker.name])
        wait_until(lambda: not worker.is_running(), 'the worker has ended')
        equal(worker.child.returncode, 0, 'exit code')

    # --- workers of other kinds ---
    def kill_worker(self):
        victim = self.start('victim', self.queue('killed'), '--concurrency', '1', '--prefetch-multiplier', '1')
        self.send(chores.note, 'killed', 'x', 1, queue='killed')
        wait_until(lambda: read_notes('killed.begun'), 'the task has begun')
        victim.kill()
        heir = self.start('heir', self.queue('killed'), '--concurrency', '1')
        wait_until(lambda: read_notes('killed'), 'the task has run')
        equal([line[:2] for line in read_notes('killed')], [['x', 'True']], 'runs (word, redelivered)')
        equal(len(read_notes('killed.begun')), 2, 'begun')
        self.finish(heir)

    def use_threads(self):
        worker = self.start('threads', self.queue('threads'), '--pool', 'threads', '--concurrency', '10')
        for number in range(40):
            self.send(chores.note, 'threads', number, 0.2, queue='threads')
        wait_until(lambda: len(read_notes('threads')) == 40, 'all have run')
        equal(len({line[2] for line in read_notes('threads')}), 1, 'processes')
        assert len({line[3] for line in read_notes('threads')}) > 1, 'one thread did all'
        self.finish(worker)

    def autoscale(self):
        worker = self.start(
            'autoscale', self.queue('autoscale'), '--autoscale', '4,1', environment={'AUTOSCALE_KEEPALIVE': '1'}
        )
        for number in range(16):
            self.send(chores.note, 'autoscale', number, 0.5, queue='autoscale')
        wait_until(lambda: self.processes_of(worker) >= 3, 'at least three processes run')
        wait_until(lambda: len(read_notes('autoscale')) == 16, 'all have run')
        wait_until(lambda: self.processes_of(worker) == 1, 'one process is left')
        self.finish(worker)
        return 'from 1 process to at least 3 and back'

    def fail_over(self):
        nobody = f'amqp://guest:guest@127.0.0.1:{processes.free_ports(1)[0]}//'
        environment = {'SHOP_BROKER_URL': f'{nobody};{self.broker.url}'}
        worker = self.start('failover', self.queue('failover'), '--concurrency', '1', environment=environment)
        self.send(chores.note, 'failover', queue='failover')
        wait_until(lambda: read_notes('failover'), 'the task has run')
        self.finish(worker)

    # --- queues of other kinds ---
    def prioritize(self):
        name = self.queue('priorities')
        app.amqp.queues.add(Queue(name, Exchange(name), routing_key=name, max_priority=9))
        for number, priority in enumerate((0, 5, 0, 9, 5)):
            self.send(chores.note, 'priorities', number, queue='priorities', priority=priority)
        options = ('--concurrency', '1', '--prefetch-multiplier', '1')
        worker = self.start('priorities', name, *options, environment=PRIORITIES)
        wait_until(lambda: len(read_notes('priorities')) == 5, 'all have run')
        equal([line[0] for line in read_notes('priorities')], ['3', '1', '4', '0', '2'], 'order')
        self.finish(worker)

    def use_quorum_queue(self):
        self.start_quorum_worker()
        self.send_to_quorum_queue('[note.delay("quorum", number) for number in range(20)]')
        wait_until(lambda: len(read_notes('quorum')) == 20, 'all have run')

    def start_quorum_worker(self):
        if CELERY_VERSION < (5, 5):
            raise Skipped(f'Celery {celery.__version__} knows no quorum queues')
        worker = self.start('quorum', self.queue('quorum'), '--concurrency', '2', environment=QUORUM)
        return worker

    def send_to_quorum_queue(self, code):
        """From a process with the settings for quorum queues; the one we are in has others."""
        program = f'import django; django.setup(); import shop.celery; from catalog.chores import note; {code}'
        environment = {**os.environ, **QUORUM}
        argv = [sys.executable, '-c', program]
        subprocess.run(argv, check=True, cwd=processes.PROJECT_DIR, env=environment, timeout=20)

    def delay_in_broker(self):
        """Celery 5.5 and later hold a countdown for quorum queues in the broker: queues with a TTL of 1, 2, 4, 8… s."""
        if CELERY_VERSION < (5, 5):
            raise Skipped(f'Celery {celery.__version__} lets countdowns wait in the worker')
        before, begun = waiting_for_4_s(), time.monotonic()
        self.send_to_quorum_queue('note.apply_async(("delayed",), countdown=6)')
        equal(waiting_for_4_s() - before, 1, 'messages that wait for 4 s')
        wait_until(lambda: read_notes('delayed'), 'the task has run')
        assert time.monotonic() - begun >= 5.9, f'ran after {time.monotonic() - begun:.1f} s'

    # --- the long one ---
    def survive_restarts(self):
        queue = self.queue('many')
        options = ('--concurrency', '1', '--prefetch-multiplier', '20')
        workers = [self.start(name, queue, *options) for name in ('one', 'two')]
        begun = time.monotonic()
        with app.producer_or_acquire() as producer:
            for number in range(TASK_COUNT):
                self.send(chores.note, 'many', number, queue='many', producer=producer, retry=True)
                if number in (TASK_COUNT // 3, 2 * TASK_COUNT // 3) and self.broker.can_crash:
                    self.broker.crash()
                    self.broker.recover()
        wait_until(lambda: len({line[0] for line in read_notes('many')}) == TASK_COUNT, 'all have run')
        for worker in workers:
            worker.stop()
        return self.count_repeats(time.monotonic() - begun)

    def count_repeats(self, seconds):
        """What ran twice was told so, but for what the sender sent twice because a confirm was lost: see README."""
        runs = read_notes('many')
        counts = Counter(line[0] for line in runs)
        marked = {line[0] for line in runs if line[1] == 'True'}
        repeated = {word for word, count in counts.items() if count > 1}
        restarts = 2 if self.broker.can_crash else 0
        unmarked = repeated - marked
        assert len(unmarked) <= restarts, f'{len(unmarked)} tasks ran twice and no run says redelivered'
        repeats = len(runs) - len(counts)
        return f'{repeats} repeats, {len(marked)} tasks marked redelivered, {TASK_COUNT / seconds:.0f} tasks/s'


def waiting_for_4_s():
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare('celery_delayed_2', passive=True).message_count
