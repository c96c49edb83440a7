"""The workers of a Dask cluster. Only this module imports Dask."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from retailpipe.errors import UsageError, WorkersError
from retailpipe.workers.bounded import BoundedExecutor
from retailpipe.workers.programs import program, require_same

if TYPE_CHECKING:
    from distributed import Client, Semaphore

_P = ParamSpec("_P")
_T = TypeVar("_T")
_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 600
"""Fargate starts a task within a minute, but Spot capacity may be short for a while."""
_OTHER_WORKERS_SECONDS = 120
_INSTALL = "Install it with `pip install 'retailpipe[cluster]'`; in a checkout, `uv sync --extra cluster`."
_ENGINE = ("python", "dask", "distributed", "cloudpickle", "msgpack")
"""What the scheduler, the workers and this program must have in the same version to understand each other."""


class DaskWorkers(BoundedExecutor):
    """The workers of the cluster of a scheduler.

    A semaphore of the scheduler bounds the loads: a worker holds a lease of it while it loads. If the worker dies, its
    lease ends by itself.

    address: of the scheduler, such as tcp://host:8786. For tls://, Dask's own configuration names the certificates.
    expected: how many workers to wait for, at most two minutes after the first has joined.
    """

    def __init__(self, address: str, *, expected: int = 1) -> None:
        if not address.startswith(("tcp://", "tls://")):
            raise UsageError(f"{address!r} is not the address of a scheduler", hint="Write it as tcp://host:8786.")
        if find_spec("distributed") is None:
            raise UsageError("a Dask cluster needs the package distributed, which is not installed", hint=_INSTALL)
        self._address = address
        self._expected = expected
        self._client: Client | None = None
        self._ready: tuple[Executor, Semaphore] | None = None

    def prepare(self, at_once: int) -> int:
        """Connect, compare versions, and set the bound. Two tasks are sent for each thread of the workers.

        Raises WorkersError.
        """
        from distributed import Semaphore

        client = self._client = self._client or _connected(self._address)
        _wait_for_workers(client, self._expected)
        threads = sum(client.nthreads().values())
        if not threads:
            raise WorkersError(
                f"the scheduler at {self._address} has no workers", hint=f"Start one: `dask worker {self._address}`."
            )
        _compare(client)
        semaphore = Semaphore(at_once, scheduler_rpc=client.scheduler, loop=client.loop)
        semaphore.register()
        self._ready = client.get_executor(pure=False), semaphore
        return 2 * min(threads, at_once)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call a function on a worker, while the semaphore has a lease for it."""
        if self._ready is None:
            raise RuntimeError("prepare must be called first")
        executor, semaphore = self._ready
        try:
            return executor.submit(_bounded, semaphore, functools.partial(fn, *args, **kwargs))
        except Exception as error:  # the errors of a client without a scheduler have no base class of their own
            raise BrokenExecutor(str(error)) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster. Its scheduler and its workers stay. Tasks that have not begun are cancelled."""
        del wait, cancel_futures
        if self._client and self._ready and self._client.status == "running":
            self._ready[1].close()  # otherwise the scheduler would keep it
        if self._client:
            self._client.close()
        self._client = self._ready = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()


def end_cluster(address: str) -> None:
    """End the scheduler and all workers. Raises WorkersError if the scheduler does not answer."""
    with _connected(address) as client:
        client.shutdown()


def _wait_for_workers(client: Client, count: int) -> None:
    """Wait until so many workers have joined. If some have not in time, those that have are enough."""
    if count == 1:
        return
    for wanted, seconds in ((1, _FIRST_WORKER_SECONDS), (count, _OTHER_WORKERS_SECONDS)):
        with suppress(TimeoutError):
            client.wait_for_workers(wanted, timeout=seconds)


def _bounded(semaphore: Semaphore, work: Callable[[], Any]) -> Any:
    """Call a function on a worker while holding a lease."""
    with semaphore:
        return work()


def _connected(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise WorkersError(
            f"no scheduler answers at {address}: {error}",
            hint="Start one with `dask scheduler`, then workers with `dask worker ADDRESS`.",
        ) from error


def _compare(client: Client) -> None:
    """Compare the versions of this program, the scheduler and all workers. Raises WorkersError."""
    engine = client.get_versions()
    require_same(_engine(engine["client"]), f"scheduler at {client.scheduler.address}", _engine(engine["scheduler"]))
    for worker, versions in engine["workers"].items():
        require_same(_engine(engine["client"]), f"worker {worker}", _engine(versions))
    for worker, answer in client.run(program, on_error="return").items():
        if isinstance(answer, BaseException):
            raise WorkersError(
                f"worker {worker} cannot run retailpipe: {answer}", hint="Install retailpipe on every worker."
            )
        require_same(program(), f"worker {worker}", answer)


def _engine(versions: Any) -> tuple[tuple[str, str], ...]:
    packages = {**versions["packages"], "python": ".".join(versions["packages"]["python"].split(".")[:2])}
    return tuple((name, str(packages.get(name))) for name in _ENGINE)
