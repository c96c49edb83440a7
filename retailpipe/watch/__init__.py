"""Watches an environment: loads, builds and verifies each workbook that arrives.

`queue` watches an AWS stack: it polls the queue that receives the notices of uploads. `folder` watches a local
environment: it polls the folder input/. Both do their work by `worker`.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta

from retailpipe.environment import Environment
from retailpipe.progress import Progress
from retailpipe.watch.worker import Handled

__all__ = ["Handled", "watch"]


def watch(
    environment: Environment,
    *,
    once: bool = False,
    idle_exit: timedelta | None = None,
    progress: Progress | None = None,
) -> Generator[Handled]:
    """Load, build and verify each workbook that arrives; yields each batch when it is done.

    Starts with the workbooks in the store that are not loaded. Several watchers may run at the same time. On an AWS
    stack, the results are also published to the topic. While AWS, the folder or the database cannot be reached, it
    retries until they can.

    once: stop when there are no new workbooks.
    idle_exit: stop when no workbook has arrived for this long.

    Raises AwsError if the credentials are missing or expired, or the queue does not exist, and StoreError if the folder
    cannot be read at the start. With `once`, or after `idle_exit`, it also raises AwsError, StoreError or
    WarehouseError if AWS, the folder or the database cannot be reached. A workbook that cannot be loaded does not stop
    the watch: it is reported in `failures`.
    """
    if environment.stack:
        from retailpipe.watch.queue import watch_queue as watch_store
    else:
        from retailpipe.watch.folder import watch_folder as watch_store
    return watch_store(environment, once=once, idle_exit=idle_exit, progress=progress)
