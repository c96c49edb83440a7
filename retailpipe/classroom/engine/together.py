"""Work on several stacks at once: as many as the memory allows, until all are done or the user interrupts.

The first Ctrl-C lets the engines end what they have begun; no other stack is started. The second kills them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from retailpipe.classroom.engine.deployment import Deployment, StackResult, has_expired
from retailpipe.classroom.engine.engines import Engines
from retailpipe.errors import RetailpipeError

_BYTES_PER_ENGINE = 900 * 1024**2
"""Memory of one engine with its program and the AWS provider. Measured: 0.42 GB with a provider that creates nothing;
the AWS provider takes up to 0.43 GB."""
_MOST = 8
"""More engines at once gain nothing: AWS throttles the calls."""
_POLL_SECONDS = 0.25

Show = Callable[[Sequence[Deployment], Mapping[str, StackResult]], None]
"""Shows the stacks that are being worked on, and the results of all stacks so far, by name."""


def engines_at_once(limit: int | None) -> int:
    """How many engines run at once. limit: as many; None: as many as fit into the free memory."""
    if limit:
        return limit
    import psutil

    return max(1, min(_MOST, int(psutil.virtual_memory().available * 0.8 // _BYTES_PER_ENGINE)))


class Together:
    """Runs a step of several stacks in threads, which wait for their engines.

    interrupted: whether the user interrupted it.
    expired: whether the credentials expired, so that no other stack was started.
    """

    def __init__(self, engines: Engines, at_once: int, show: Show) -> None:
        self._engines = engines
        self._at_once = at_once
        self._show = show
        self._results: dict[str, StackResult] = {}
        self.interrupted = False
        self.expired = False

    def run(
        self, deployments: Sequence[Deployment], step: Callable[[Deployment], StackResult]
    ) -> dict[str, StackResult]:
        """Return the result of each stack by name. A stack that was not started has no result."""
        waiting, results = [*deployments], dict[str, StackResult]()
        running: dict[Future[StackResult], Deployment] = {}
        with ThreadPoolExecutor(self._at_once) as pool:
            while running or (waiting and not self.is_stopping):
                try:
                    while waiting and len(running) < self._at_once and not self.is_stopping:
                        deployment = waiting.pop(0)
                        running[pool.submit(step, deployment)] = deployment
                    done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = _result_of(future, running[future])
                        results[running.pop(future).name] = result
                        self._results[result.stack] = result
                        self.expired = self.expired or has_expired(result)
                    self._show([*running.values()], self._results)
                except KeyboardInterrupt:
                    if self.interrupted:
                        self._engines.kill()
                    else:
                        self._engines.interrupt()
                    self.interrupted = True
        return results

    @property
    def is_stopping(self) -> bool:
        """Whether no other stack is started."""
        return self.interrupted or self.expired


def _result_of(future: Future[StackResult], deployment: Deployment) -> StackResult:
    """The result of a stack. An error that nobody expected is one too: it must not stop the other stacks."""
    try:
        return future.result()
    except Exception as error:  # the thread may raise anything: the result of this stack tells the user what
        hint = error.hint if isinstance(error, RetailpipeError) else "Run the command again."
        problem = str(error) if isinstance(error, RetailpipeError) else f"{type(error).__name__}: {error}"
        return StackResult(deployment.name, "failed", problem=problem, hint=hint)


def elapsed(deployment: Deployment) -> float:
    """For how many seconds an engine has worked on a stack."""
    return time.monotonic() - deployment.activity.started
