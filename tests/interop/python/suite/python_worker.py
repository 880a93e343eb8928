"""The worker of the baseline: stock Python in a process of its own, with the tasks of Celery's integration tests."""

import os

from celery import Celery

app = Celery("foreign", broker=os.environ["TEST_BROKER"], backend=os.environ["TEST_BACKEND"])
app.conf.update(result_extended=True, broker_connection_retry_on_startup=True, worker_redirect_stdouts=False)
app.set_default()

from t.integration import tasks  # noqa: E402

app.register_task(tasks.ClassBasedAutoRetryTask())
