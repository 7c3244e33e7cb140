"""Small tasks without a shop in them, for what is done to workers: limits, revoking, pools, restarts.

Each run leaves a line in a notebook (a file), appended by a single write, so that many processes may share it.
"""
import os
import threading
import time

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from .task_types import ReplyTask


def write_note(notebook, *words):
    line = ' '.join(map(str, words)) + '\n'
    file = os.open(settings.DATA_DIR / f'{notebook}.notes', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def read_notes(notebook):
    path = settings.DATA_DIR / f'{notebook}.notes'
    return [line.split(' ') for line in path.read_text().splitlines()] if path.exists() else []


@shared_task(bind=True, ignore_result=True)
def note(self, notebook, word='', seconds=0):
    """Notes its word, whether it was delivered before, and which thread of which process it ran in."""
    if seconds:
        write_note(f'{notebook}.begun', word)
        time.sleep(seconds)
    redelivered = bool(self.request.delivery_info.get('redelivered'))
    write_note(notebook, word, redelivered, os.getpid(), threading.get_ident())


@shared_task(ignore_result=True, rate_limit='5/s')
def note_slowly(notebook):
    write_note(notebook, time.time())


@shared_task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=1, retry_jitter=False, max_retries=3)
def knock(self, notebook):
    """Nobody opens before the third time; each wait is twice as long as the one before."""
    write_note(notebook, time.time())
    if self.request.retries < 2:
        raise ConnectionError('nobody opens')
    return 'come in'


@shared_task(soft_time_limit=1)
def dawdle():
    """Is told when its time is over, and may tidy up."""
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        return 'hurried'


@shared_task(time_limit=1)
def oversleep():
    """Is not told: its process is killed."""
    time.sleep(20)


@shared_task(base=ReplyTask)
def add(a, b):
    return a + b
