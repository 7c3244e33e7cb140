"""Settings of a small web shop that does its slow work in Celery.

What differs between machines comes from the environment:
SHOP_DATA        directory for the database, uploads, mails and task results (default: ./data)
SHOP_BROKER_URL  the message broker (default: a Leveret on this machine)
SHOP_QUEUE       name of the main task queue and of its exchange (default: shop)
SHOP_MAX_PRIORITY  highest priority of the queues that workers declare (default: they have none)
"""
import os
from pathlib import Path

from kombu import Exchange, Queue

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get('SHOP_DATA', BASE_DIR / 'data'))

SECRET_KEY = os.environ.get('SHOP_SECRET_KEY', 'only-for-trying-out')
DEBUG = False
ALLOWED_HOSTS = ['localhost', '127.0.0.1', 'testserver']
ROOT_URLCONF = 'shop.urls'
INSTALLED_APPS = ['django_celery_results', 'catalog']
MIDDLEWARE = ['django.middleware.common.CommonMiddleware']
USE_TZ = True
TIME_ZONE = 'UTC'
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.sqlite3',
        'NAME': DATA_DIR / 'db.sqlite3',
        'OPTIONS': {'timeout': 20},  # seconds a writer waits for another process's write
    }
}

EMAIL_BACKEND = 'django.core.mail.backends.filebased.EmailBackend'
EMAIL_FILE_PATH = DATA_DIR / 'mail'
DEFAULT_FROM_EMAIL = 'shop@example.com'
SHOP_MANAGER_EMAIL = 'manager@example.com'

MEDIA_ROOT = DATA_DIR / 'media'

CACHES = {
    'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'},
    # Task results. Every process must see them, and a chord asks for them until all are there: one file each,
    # renamed into place, does both. MAX_ENTRIES is far above Django's 300, beyond which results would be thrown away.
    'results': {
        'BACKEND': 'django.core.cache.backends.filebased.FileBasedCache',
        'LOCATION': DATA_DIR / 'results',
        'OPTIONS': {'MAX_ENTRIES': 100_000},
    },
}

# --- Celery ---
QUEUE = os.environ.get('SHOP_QUEUE', 'shop')
MAIL_QUEUE = f'{QUEUE}.mail'

CELERY_BROKER_URL = os.environ.get('SHOP_BROKER_URL', 'amqp://guest:guest@127.0.0.1:5672//')
# A publish returns when the broker has the message safe, not when it has left this process.
CELERY_BROKER_TRANSPORT_OPTIONS = {'confirm_publish': True}
# A restart of the broker delays a web request for a moment instead of failing it.
CELERY_TASK_PUBLISH_RETRY_POLICY = {'max_retries': 60, 'interval_start': 0.1, 'interval_step': 0.1, 'interval_max': 0.5}
CELERY_BROKER_HEARTBEAT = 10

CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_RESULT_BACKEND = 'django-cache'
CELERY_CACHE_BACKEND = 'results'
CELERY_RESULT_EXPIRES = 24 * 60 * 60

# A task leaves its queue when it is done, not when it starts: a worker or broker that dies costs a repeat, never a
# task. So every task may run twice, and must be written for that.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_CONCURRENCY = 2
CELERY_WORKER_PREFETCH_MULTIPLIER = 2
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_TIMEZONE = TIME_ZONE

_exchange = Exchange(QUEUE, type='direct')
CELERY_TASK_QUEUES = (
    Queue(QUEUE, _exchange, routing_key='work'),
    Queue(MAIL_QUEUE, _exchange, routing_key='mail'),
)
CELERY_TASK_DEFAULT_QUEUE = QUEUE
CELERY_TASK_DEFAULT_EXCHANGE = QUEUE
CELERY_TASK_DEFAULT_ROUTING_KEY = 'work'
CELERY_TASK_ROUTES = {'catalog.tasks.send_*': {'queue': MAIL_QUEUE}}

CELERY_IMPORTS = ['catalog.chores']  # beside the tasks.py of each app
# Celery 5.5 and later: its default queue becomes a quorum queue, and what has a countdown waits in the broker. That
# comes back through bindings by pattern, so the exchange must be of type topic.
if 'SHOP_MAX_PRIORITY' in os.environ:
    CELERY_TASK_QUEUE_MAX_PRIORITY = int(os.environ['SHOP_MAX_PRIORITY'])

if os.environ.get('SHOP_QUEUE_TYPE') == 'quorum':
    CELERY_TASK_QUEUES = None
    CELERY_TASK_DEFAULT_QUEUE = CELERY_TASK_DEFAULT_EXCHANGE = CELERY_TASK_DEFAULT_ROUTING_KEY = f'{QUEUE}.quorum'
    CELERY_TASK_DEFAULT_QUEUE_TYPE = 'quorum'
    CELERY_TASK_DEFAULT_EXCHANGE_TYPE = 'topic'
    CELERY_TASK_ROUTES = {}

CELERY_BEAT_SCHEDULE = {
    'count-stock': {
        'task': 'catalog.tasks.count_stock',
        'schedule': 2.0,  # often, to see it work
        'kwargs': {'reason': 'schedule'},
        'options': {'expires': 30},  # after a long stop there is no point in doing all the missed ones
    },
}
