"""What is checked, in order. This process plays the web side: it sends requests, and looks at the outcome.

Titles tell the story; each method is one check. `run_all` is the table of contents.
"""
import csv
import io
import os
import signal
import threading
import time
from decimal import Decimal

from celery import states
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client

from catalog import tasks, views, workflows
from catalog.models import Customer, Import, Product, StockCount, TaskRun
from shop.celery import app

from . import processes
from .mails import read_mails
from .report import equal, wait_until

ROW_COUNT = 10_000
CUSTOMERS = [f'reader-{number}@example.com' for number in range(10)]


def run_all(report, broker, work_dir):
    call_command('migrate', verbosity=0)
    shop = Shop(broker, work_dir)
    try:
        run_checks(report, shop)
    finally:
        shop.stop()


def run_checks(report, shop):
    check = report.check
    if not check('worker starts and answers inspect ping', shop.start_worker, limit=30):
        return
    check('beat runs its job', shop.start_beat)
    check('welcome mail per new customer', shop.welcome_customers)
    check('newsletter by a group', shop.send_newsletter)
    check('task events arrive', shop.watch_events)
    check('task of a killed worker process runs again', shop.kill_worker_process, limit=30)
    check('worker stops cleanly', shop.stop_worker)
    check('import waits in the queue without a worker', shop.upload_csv)
    check('import begins when the worker is back', shop.begin_import, limit=30)
    if shop.broker.can_crash:
        check('broker is killed and restarted in the middle', shop.crash_broker, limit=60)
        check('mail asked for while the broker was down is sent', shop.find_mail_of_the_outage, limit=30)
    else:
        print('skipped: broker is killed and restarted: needs --restart-command')
    check('import finishes', shop.finish_import, limit=45)
    check('every row is there exactly once', shop.compare_rows)
    check('every chunk ran, repeats are known', shop.count_chunk_runs)
    check('one mail about the import', lambda: shop.find_report('The import 1 is done', '10000 rows in 100 chunks'))
    check('exported file is the imported file', shop.export_csv, limit=30)
    check('one mail about the export', lambda: shop.find_report('The export 1 is done', '20 parts'))
    check('result by rpc://', shop.ask_for_quote)
    check('chain with a task that retries with countdown', shop.restock)
    check('countdown: waits, and blocks nobody', shop.schedule_prices)
    check('revoked task never runs', shop.revoke_price)
    check('beat still runs its job', shop.wait_for_beat)
    check('inspect ping, stats and active queues', shop.inspect)
    check('beat and worker stop cleanly', shop.stop_all, limit=40)
    check('queues are empty', shop.remove_queues)


class Shop:
    def __init__(self, broker, work_dir):
        self.broker = broker
        self.work_dir = work_dir
        self.name = f'{settings.QUEUE}@localhost'
        self.worker = processes.worker(self.name, work_dir, f'{settings.QUEUE},{settings.MAIL_QUEUE}', '--pool', 'prefork')
        self.beat = processes.beat(work_dir)
        self.web = Client()
        self.csv_text = make_csv()

    def stop(self):
        self.beat.stop()
        self.worker.stop()

    # --- worker and beat ---
    def start_worker(self):
        self.worker.start()
        wait_until(self.is_answering, 'the worker answers')
        return self.name

    def is_answering(self):
        if not self.worker.is_running():
            raise AssertionError('the worker has ended')
        try:
            answer = app.control.inspect([self.name], timeout=1).ping()
        except app.connection_for_write().recoverable_connection_errors:
            return False  # a connection from before the broker's restart
        return answer == {self.name: {'ok': 'pong'}}

    def stop_worker(self):
        equal(self.worker.stop(), 0, 'exit code of the worker')

    def start_beat(self):
        self.beat.start()
        return self.wait_for_beat()

    def wait_for_beat(self):
        before = StockCount.objects.filter(reason='schedule').count()
        wait_until(lambda: StockCount.objects.filter(reason='schedule').count() >= before + 2, 'beat has run twice')
        return f'{StockCount.objects.filter(reason="schedule").count()} runs so far'

    def inspect(self):
        wait_until(self.is_answering, 'the worker answers')
        inspect = app.control.inspect([self.name], timeout=5)
        queues = {queue['name'] for queue in inspect.active_queues()[self.name]}
        equal(queues, {settings.QUEUE, settings.MAIL_QUEUE}, 'active queues')
        equal(inspect.stats()[self.name]['pool']['max-concurrency'], 2, 'worker processes')

    def stop_all(self):
        equal(self.beat.stop(), 0, 'exit code of beat')
        code = self.worker.stop()
        if code is None and self.broker.can_crash:
            # Celery 5.2 at times waits forever for tasks that it had in work when a connection was lost. Service
            # managers kill such a worker as we do here; that nothing is lost by it, the next check shows.
            return 'the worker had to be killed'
        equal(code, 0, 'exit code of the worker')

    # --- mail ---
    def welcome_customers(self):
        for email in CUSTOMERS:
            equal(self.web.post('/customers/', {'email': email}).status_code, 201, 'status')
        wait_until(lambda: len(self.recipients('Welcome')) >= len(CUSTOMERS), 'all are welcomed')
        equal(self.recipients('Welcome'), sorted(CUSTOMERS), 'recipients')
        return f'{len(CUSTOMERS)} mails'

    def send_newsletter(self):
        response = self.web.post('/newsletters/', {'subject': 'Spring'})
        result = app.GroupResult(
            response.json()['group'], [app.AsyncResult(task_id) for task_id in self.ids_of('send_newsletter', 10)]
        )
        equal(sorted(result.get(timeout=15)), sorted(CUSTOMERS), 'results of the group')
        equal(self.recipients('Spring'), sorted(CUSTOMERS), 'recipients')
        return f'{len(CUSTOMERS)} mails'

    def recipients(self, subject):
        return sorted(mail['To'] for mail in read_mails(settings.EMAIL_FILE_PATH) if mail['Subject'] == subject)

    def ids_of(self, name, count):
        """Ids of tasks of this name that have started, once there are so many."""
        runs = TaskRun.objects.filter(name=f'catalog.tasks.{name}').values_list('task_id', flat=True)
        wait_until(lambda: len(set(runs.all())) >= count, f'{count} {name} have started')
        return sorted(set(runs.all()))

    def find_report(self, subject, body):
        wait_until(lambda: self.recipients(subject), 'the mail is there')
        mails = [mail for mail in read_mails(settings.EMAIL_FILE_PATH) if mail['Subject'] == subject]
        equal([mail['To'] for mail in mails], [settings.SHOP_MANAGER_EMAIL], 'recipients')
        equal(mails[0].get_content().strip(), body, 'text')

    # --- events, as a monitor like `celery events` or Flower receives them ---
    def watch_events(self):
        seen = []
        with app.connection_for_read() as monitor:
            receiver = app.events.Receiver(monitor, handlers={'*': seen.append})
            with receiver.consumer_context() as (listener, _, _):
                result = tasks.count_stock.delay(reason='events')
                while not {'task-received', 'task-started', 'task-succeeded'} <= kinds_of(seen, result.id):
                    listener.drain_events(timeout=15)
        return 'received, started, succeeded'

    def kill_worker_process(self):
        result = tasks.count_stock.delay(reason='large warehouse', seconds=1.5)
        first = wait_until(lambda: TaskRun.objects.filter(task_id=result.id).first(), 'the task has started')
        os.kill(first.pid, signal.SIGKILL)
        result.get(timeout=20)
        runs = TaskRun.objects.filter(task_id=result.id).order_by('pk')
        equal([run.redelivered for run in runs], [False, True], 'redelivered flags of the runs')
        equal(StockCount.objects.filter(reason='large warehouse').count(), 1, 'counts')

    # --- import ---
    def upload_csv(self):
        upload = SimpleUploadedFile('products.csv', self.csv_text.encode(), content_type='text/csv')
        response = self.web.post('/imports/', {'file': upload})
        equal((response.status_code, response.json()), (202, {'id': 1, 'chunks': 100}), 'response')
        # Besides the chunks: the task that waits for them all, and what beat has sent meanwhile.
        depth = self.queue_depth(settings.QUEUE)
        assert depth >= 101, f'{depth} messages in the queue'
        equal(Product.objects.count(), 0, 'rows')
        return '100 chunks'

    def queue_depth(self, name):
        with app.connection_for_read() as connection_:
            return connection_.default_channel.queue_declare(name, passive=True).message_count

    def begin_import(self):
        self.worker.start()
        rows = wait_until(lambda: self.rows_so_far(1000), '1000 rows are there')
        return f'{rows} rows'

    def rows_so_far(self, least):
        count = Product.objects.count()
        return count if count >= least else None

    def crash_broker(self):
        self.broker.crash()
        before = Product.objects.count()
        assert before < ROW_COUNT, 'the import was over before the broker was killed'
        customer = threading.Thread(target=self.add_late_customer, daemon=True)
        customer.start()
        self.broker.recover()
        customer.join(30)
        assert not customer.is_alive(), 'the request made during the outage has not come back'
        return f'killed at {before} of {ROW_COUNT} rows'

    def add_late_customer(self):
        Client().post('/customers/', {'email': 'late@example.com'})
        connection.close()

    def find_mail_of_the_outage(self):
        expected = sorted([*CUSTOMERS, 'late@example.com'])
        wait_until(lambda: len(self.recipients('Welcome')) >= len(expected), 'the late customer is welcomed')
        equal(self.recipients('Welcome'), expected, 'recipients')

    def finish_import(self):
        wait_until(lambda: self.web.get('/imports/1/').json()['is_finished'], 'the import is finished')

    def compare_rows(self):
        expected = [tuple(row) for row in csv.reader(io.StringIO(self.csv_text))][1:]
        rows = Product.objects.order_by('sku').values_list('sku', 'name', 'price', 'stock')
        equal(len(rows), ROW_COUNT, 'rows')
        equal([tuple(map(str, row)) for row in rows], expected, 'content')
        makers = set(Product.objects.values_list('imported_by', flat=True))
        equal(len(makers), 100, 'tasks that made the rows')
        return f'{ROW_COUNT} rows'

    def count_chunk_runs(self):
        """A chunk in work when the broker died may run again, and is then told so; no other may."""
        runs = TaskRun.objects.filter(name='catalog.tasks.import_chunk').order_by('pk')
        by_task = {}
        for run in runs:
            by_task.setdefault(run.task_id, []).append(run)
        equal(len(by_task), 100, 'chunks that ran')
        repeats = [run for same in by_task.values() for run in same[1:]]
        equal([run.redelivered for run in repeats], [True] * len(repeats), 'redelivered flags of the repeats')
        if not self.broker.can_crash:
            equal(len(repeats), 0, 'repeats without a crash')
        return f'{len(runs)} runs of 100 chunks, {len(repeats)} repeats'

    # --- export ---
    def export_csv(self):
        equal(self.web.post('/exports/').status_code, 202, 'status')
        wait_until(lambda: self.web.get('/exports/1/').json()['is_finished'], 'the export is finished')
        exported = b''.join(self.web.get('/exports/1/file/').streaming_content)
        assert exported == self.csv_text.encode(), f'files differ: {len(exported)} and {len(self.csv_text.encode())} bytes'
        return f'{len(exported)} bytes'

    # --- single tasks ---
    def ask_for_quote(self):
        result = tasks.quote.delay(sku_of(4), 3)
        equal(Decimal(result.get(timeout=10)), 3 * Product.objects.get(sku=sku_of(4)).price, 'quote')
        equal(result.backend.as_uri(), 'rpc://', 'result backend')
        failing = tasks.quote.delay('no such product', 1)
        error = failing.get(timeout=10, propagate=False)
        assert 'DoesNotExist' in repr(error), f'got {error!r}'
        return 'a value and an error'

    def restock(self):
        sku, before = sku_of(5), Product.objects.get(sku=sku_of(5)).stock
        result = workflows.start_restock(sku, 7)
        result.get(timeout=15)
        equal(Product.objects.get(sku=sku).stock, before + 7, 'stock')
        runs = TaskRun.objects.filter(task_id=result.parent.id).order_by('pk')
        equal([run.retries for run in runs], [0, 1, 2], 'retries')
        gaps = [(later.started_at - earlier.started_at).total_seconds() for earlier, later in zip(runs, runs[1:])]
        assert min(gaps) >= 0.9, f'retried after {gaps} s'
        return f'3 runs, {" and ".join(f"{gap:.1f}" for gap in gaps)} s apart'

    def schedule_prices(self):
        """More waiting tasks than the worker may hold at once (2 processes x 2): it must ask for more."""
        skus = [sku_of(number) for number in range(10, 30)]
        changed = Product.objects.filter(sku__in=skus, price='1.25')
        begun = time.monotonic()
        waiting = [tasks.change_price.apply_async((sku, '1.25'), countdown=5) for sku in skus]
        tasks.change_price.delay(sku_of(30), '2.50').get(timeout=15)
        equal(changed.count(), 0, 'prices changed before a task that had not to wait')
        for result in waiting:
            result.get(timeout=15)
        took = time.monotonic() - begun
        assert took >= 4.9, f'done {took:.1f} s after the call'
        equal(changed.count(), len(skus), 'prices changed')
        return f'{len(skus)} waited, another did not'

    def revoke_price(self):
        before = Product.objects.get(sku=sku_of(40)).price
        revoked = tasks.change_price.apply_async((sku_of(40), '9999.00'), countdown=2)
        wait_until(lambda: revoked.id in self.scheduled_ids(), 'the worker holds the task')
        app.control.revoke(revoked.id)
        wait_until(lambda: revoked.state == states.REVOKED, 'the task is revoked')
        equal(TaskRun.objects.filter(task_id=revoked.id).count(), 0, 'runs')
        equal(Product.objects.get(sku=sku_of(40)).price, before, 'price')

    def scheduled_ids(self):
        answer = app.control.inspect([self.name], timeout=2).scheduled() or {}
        return [task['request']['id'] for task in answer.get(self.name, [])]

    # --- the end ---
    def remove_queues(self):
        """Nothing may be left behind, and nothing is left on somebody else's broker."""
        with app.connection_for_write() as connection_:
            channel = connection_.default_channel
            for queue in (settings.QUEUE, settings.MAIL_QUEUE):
                equal(channel.queue_declare(queue, passive=True).message_count, 0, f'messages in {queue}')
            for queue in (settings.QUEUE, settings.MAIL_QUEUE):
                channel.queue_delete(queue)
            channel.exchange_delete(settings.QUEUE)


def sku_of(number):
    return f'HARE-{number:05}'


def make_csv():
    """Names with what CSV and encodings stumble over: commas, quotes, line ends, letters beyond ASCII."""
    names = ('Hare, brown', 'Hare "Lepus" 12"', 'Hasenpfote für Gäste', 'two\nlines', '野兎')
    text = io.StringIO(newline='')
    writer = csv.writer(text)
    writer.writerow(('sku', 'name', 'price', 'stock'))
    for number in range(ROW_COUNT):
        price = f'{number % 977}.{number % 100:02}'
        writer.writerow((sku_of(number), f'{names[number % len(names)]} {number}', price, number % 53))
    return text.getvalue()


def kinds_of(events, task_id):
    return {event['type'] for event in events if event.get('uuid') == task_id}
