"""Base classes for tasks: one that records its executions, one that answers its caller directly."""
import os

from celery import Task
from celery.backends.rpc import RPCBackend
from django.utils.functional import cached_property

from .models import TaskRun


class RecordedTask(Task):
    """Leaves a TaskRun for every execution, also for one that its worker does not survive."""

    def before_start(self, task_id, args, kwargs):
        TaskRun.objects.create(
            task_id=task_id,
            name=self.name,
            retries=self.request.retries,
            redelivered=bool(self.request.delivery_info.get('redelivered')),
            pid=os.getpid(),
        )


class ReplyTask(RecordedTask):
    """A task whose result goes to the reply queue of the waiting caller (rpc://), not to the result store.

    For short questions with one asker. The answer is gone with the asker or the broker, so not for work that matters.
    """

    @cached_property
    def backend(self):
        ours = self.app.backend
        return ours if isinstance(ours, RPCBackend) else RPCBackend(app=self.app)

    def apply_async(self, args=None, kwargs=None, **options):
        # Celery prepares the reply queue of the app's own result backend only; ours must exist before the answer.
        with self.app.producer_or_acquire(options.pop('producer', None)) as producer:
            self.backend.on_task_call(producer, options.get('task_id'))
            return super().apply_async(args, kwargs, producer=producer, **options)
