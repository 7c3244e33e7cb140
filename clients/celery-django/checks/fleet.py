"""The workers that the operators' checks start, each on queues of its own: start, ask, stop, remove what they used."""
from django.conf import settings

from shop.celery import app

from . import processes
from .report import equal, wait_until


class Fleet:
    def __init__(self, broker, work_dir):
        self.broker = broker
        self.work_dir = work_dir
        self.workers = []
        self.queues = []
        self.main = None

    def queue(self, name):
        name = f'{settings.QUEUE}.{name}'
        if name not in self.queues:
            self.queues.append(name)
        return name

    def start(self, name, queue, *options, environment=None):
        full_name = f'{name}-{settings.QUEUE}@localhost'
        process = processes.worker(full_name, self.work_dir, queue, *options, environment=environment)
        process.name = full_name
        self.workers.append(process)
        process.start()
        wait_until(lambda: ping(process), f'{name} answers')
        return process

    def main_worker(self):
        """The one that most checks share: two processes, two messages in hand for each."""
        if self.main is None or not self.main.is_running():
            self.main = self.start('main', self.queue('ops'), '--concurrency', '2', '--prefetch-multiplier', '2')
        return self.main

    def finish(self, worker):
        """Celery 5.2 that is told to stop in the very moment when a task ends may not acknowledge it any more."""
        wait_until(lambda: not self.inspect('active', worker), 'nothing is at work')
        equal(worker.stop(), 0, 'exit code')

    def send(self, task, *args, queue='ops', **options):
        return task.apply_async(args, queue=self.queue(queue), **options)

    def inspect(self, what, process):
        return getattr(app.control.inspect([process.name], timeout=2), what)()[process.name]

    def depth(self, queue):
        with app.connection_for_read() as connection:
            return connection.default_channel.queue_declare(self.queue(queue), passive=True).message_count

    def processes_of(self, worker):
        return len(self.inspect('stats', worker)['pool']['processes'])

    def remove_queues(self):
        for process in self.workers:
            process.kill()
        with app.connection_for_write() as connection:
            for name in self.queues:
                channel = connection.channel()
                left = channel.queue_delete(name)
                equal(left, 0, f'messages in {name}')
                channel.exchange_delete(name)


def ping(process):
    if not process.is_running():
        raise AssertionError('the worker has ended')
    try:
        answer = app.control.inspect([process.name], timeout=0.5).ping()
    except app.connection_for_write().recoverable_connection_errors:
        return False
    return bool(answer)
