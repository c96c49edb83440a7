"""The workers of a Dask cluster. Only this module imports Dask."""

from __future__ import annotations

import functools
import gc
import re
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from retailpipe.errors import RetailpipeError, UsageError, WorkersError
from retailpipe.threads import Worker
from retailpipe.workers.bounded import BoundedExecutor
from retailpipe.workers.programs import program, require_same

if TYPE_CHECKING:
    from distributed import Client, Semaphore

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+):\d{1,5}")
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 30
_LOOK_SECONDS = 5
"""How often the workers are counted: they join and leave while the loads run."""
_ABANDONED_SECONDS = 120
"""A worker that is started again, also on another machine, is back within this time."""
_FIRST_WORKER_SECONDS = 600
"""Fargate starts a task within a minute, but Spot capacity may be short for a while."""
_OTHER_WORKERS_SECONDS = 120
_INSTALL = "Install it with `pip install 'retailpipe[cluster]'`; in a checkout, `uv sync --extra cluster`."
_START = "Start one with `dask scheduler`, then workers with `dask worker ADDRESS`."
_CERTIFICATES = (
    "Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY, or the same settings in Dask's configuration files."
)
_ENGINE = ("python", "dask", "distributed", "cloudpickle", "msgpack")
"""What the scheduler, the workers and this program must have in the same version to understand each other."""


class DaskWorkers(BoundedExecutor):
    """The workers of the cluster of a scheduler.

    If the workers have more threads than the database takes loads, a semaphore of the scheduler bounds the loads: a
    worker holds a lease of it while it loads. If the worker dies, its lease ends by itself.

    address: of the scheduler, such as tcp://host:8786. For tls://, Dask's own configuration names the certificates.
    expected: how many workers to wait for, at most two minutes after the first has joined; 0: take those there are.
    """

    def __init__(self, address: str, *, expected: int = 0) -> None:
        if not _ADDRESS.fullmatch(address):
            raise UsageError(f"{address!r} is not the address of a scheduler", hint="Write it as tcp://host:8786.")
        if find_spec("distributed") is None:
            raise UsageError("a Dask cluster needs the package distributed, which is not installed", hint=_INSTALL)
        self._address = address
        self._expected = expected
        self._client: Client | None = None
        self._executor: Executor | None = None
        self._semaphore: Semaphore | None = None
        self._at_once = 1
        self._threads = 0
        self._counted = self._last_worker = 0.0

    def prepare(self, at_once: int) -> None:
        """Connect, compare versions, and set the bound. Raises WorkersError."""
        from distributed import Semaphore

        client = self._client = self._client or _connected(self._address)
        _wait_for_workers(client, self._expected)
        self._threads = _threads(client)
        if not self._threads:
            raise WorkersError(
                f"the scheduler at {self._address} has no workers", hint=f"Start one: `dask worker {self._address}`."
            )
        self._counted = self._last_worker = time.monotonic()
        _asked(lambda: _compare(client), f"a worker of {self._address}")
        self._executor = self._executor or client.get_executor(pure=False)
        self._close_semaphore()
        self._at_once = at_once
        # Without a semaphore, `window` is the bound: a lease costs several messages for each batch.
        if 2 * self._threads > at_once:
            self._semaphore = Semaphore(at_once, scheduler_rpc=client.scheduler, loop=client.loop)
            self._semaphore.register()

    def window(self) -> int:
        """Two batches for each thread of the workers, so that none waits for the next.

        Raises WorkersError if there has been no worker, or no answer of the scheduler, for two minutes.
        """
        now = time.monotonic()
        if self._client and now - self._counted >= _LOOK_SECONDS:
            self._counted = now
            try:
                self._threads = _threads(self._client)
            except WorkersError:  # a scheduler that ended: Dask cancels the tasks; or one that hangs
                self._threads = 0
            if self._threads:
                self._last_worker = now
            elif now - self._last_worker >= _ABANDONED_SECONDS:
                raise WorkersError(
                    f"the workers were lost: the scheduler at {self._address} has no worker any more, or hangs",
                    hint="Start them again, then run the same command: it loads what is not loaded yet.",
                )
        threads = max(self._threads, 1)
        return 2 * min(threads, self._at_once) if self._semaphore else min(2 * threads, self._at_once)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call a function on a worker, while the semaphore, if there is one, has a lease for it."""
        if self._executor is None:
            raise RuntimeError("prepare must be called first")
        try:
            if self._semaphore:
                return self._executor.submit(_bounded, self._semaphore, functools.partial(fn, *args, **kwargs))
            return self._executor.submit(fn, *args, **kwargs)
        except Exception as error:  # the errors of a client without a scheduler have no base class of their own
            raise BrokenExecutor(str(error)) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster. Its scheduler and its workers stay. Tasks that have not begun are cancelled."""
        del wait, cancel_futures
        self._close_semaphore()
        if self._client:
            self._client.close()
        self._client = self._executor = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()

    def _close_semaphore(self) -> None:
        """Remove the semaphore from the scheduler, which would keep it."""
        if self._semaphore and self._client and self._client.status == "running":
            self._semaphore.close()
        self._semaphore = None


def end_cluster(address: str) -> None:
    """End the scheduler and all workers. Raises WorkersError if the scheduler does not answer."""
    with _connected(address) as client:
        client.shutdown()


def _wait_for_workers(client: Client, count: int) -> None:
    """Wait until so many workers have joined. If some have not in time, those that have are enough."""
    if not count:
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

    # A client that could not connect is closed when it is collected. If that happens while the next one starts its
    # thread, Dask waits for ever.
    gc.collect()

    def connect() -> Client:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)

    try:
        return _within(_ANSWER_SECONDS, connect, f"the scheduler at {address}")
    except WorkersError:
        raise
    except TypeError as error:  # Dask has no certificates: its message shows no setting
        if not address.startswith("tls://"):
            raise
        raise WorkersError(
            f"{address} needs certificates, and Dask's settings name none", hint=_CERTIFICATES
        ) from error
    except Exception as error:  # what another server than a scheduler answers may raise anything
        raise WorkersError(
            f"no scheduler answers at {address}: {error or 'it is another server'}", hint=_START
        ) from error


def _within(seconds: float, call: Callable[[], _T], who: str) -> _T:
    """Call a function in a thread. Raises WorkersError if it takes longer. who: does not answer, for the message."""
    worker = Worker("dask")
    answer = worker.submit(call)
    worker.shutdown(wait=False)
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        if answer.done():
            raise
        raise WorkersError(
            f"{who} did not answer within {seconds:.0f} seconds",
            hint="Check its log. If it hangs, end it, then run the same command again.",
        ) from error


def _asked(question: Callable[[], _T], who: str) -> _T:
    """Ask the scheduler or the workers something. Raises WorkersError."""
    try:
        return _within(_ANSWER_SECONDS, question, who)
    except RetailpipeError:
        raise
    except Exception as error:  # as in `submit`
        raise WorkersError(f"{who} was lost: {error or type(error).__name__}", hint=_START) from error


def _threads(client: Client) -> int:
    """The number of threads of all workers. Raises WorkersError."""
    return sum(_asked(client.nthreads, f"the scheduler at {client.scheduler.address}").values())


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
