# Loads the Celery app with Django, so that @shared_task and .delay() use it in every process.
from .celery import app as celery_app

__all__ = ('celery_app',)
