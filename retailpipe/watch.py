"""The laptop hears the upload: S3 tells a Lambda, that tells the topic, and the topic the queue that is watched here.

A message is deleted only when its workbook is loaded. It is hidden from other watchers as long as work goes on; what
fails comes back, and after some tries lies in the dead-letter queue.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from retailpipe import backlog, hints, pipeline
from retailpipe.aws.notices import publish
from retailpipe.aws.session import aws_errors, is_credentials_error
from retailpipe.aws.store import BucketStore
from retailpipe.builds import is_built
from retailpipe.environment import Environment
from retailpipe.errors import AwsError, RetailpipeError, SourceNotFound, UsageError, WarehouseError
from retailpipe.keys import is_workbook
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport, Report, RunReport

_WAIT_SECONDS = 20
"""How long one request waits for a message: what SQS allows at most."""
_HIDDEN_SECONDS = 120
_HEARTBEAT_SECONDS = 40.0
_AT_ONCE = 10
_BACK_SECONDS = 30
"""After how long a message that failed comes back."""
_PATIENCE_SECONDS = 20.0
"""How long to wait where AWS or the database cannot be reached, before the next try."""
_QUICK_SECONDS = 5
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A notice of an upload."""

    receipt_handle: str
    key: str


@dataclass(frozen=True)
class Handled(Report):
    """What became of the workbooks of some messages. run: None where nothing had to be built, or could be."""

    keys: tuple[str, ...]
    run: RunReport | None
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures and (self.run is None or self.run.ok)


def watch(
    environment: Environment,
    *,
    once: bool = False,
    idle_exit: timedelta | None = None,
    progress: Progress | None = None,
) -> Generator[Handled]:
    """Loads, builds and verifies whatever is uploaded, and tells the topic how it went; gives each as it is done.

    It begins with what waits in the bucket: a message may have been lost. Several watchers share the work.
    While AWS or the database cannot be reached it waits for them, and nothing is given up meanwhile.

    once: end when nothing waits, in the bucket and in the queue. idle_exit: end when nothing came for so long.

    Raises UsageError for an environment that is not on AWS, AwsError where we are not logged in (any more) or the queue
    is gone; with `once`, and with `idle_exit` after that time, also what cannot be reached. What is wrong with a
    workbook is told, here and to the topic, and the watch goes on.
    """
    patience = 0.0 if once else idle_exit.total_seconds() if idle_exit else None
    watcher = Watcher(environment, progress, patience=patience)
    yield from watcher.catch_up()
    last = time.monotonic()
    while True:
        messages = watcher.receive(1 if once else _wait(last, idle_exit))
        if messages:
            yield watcher.handle(messages)
            last = time.monotonic()
        elif once or (idle_exit is not None and time.monotonic() - last >= idle_exit.total_seconds()):
            return


class Watcher:
    """The steps of a watch. patience: seconds to wait for what cannot be reached; None: for ever."""

    def __init__(
        self, environment: Environment, progress: Progress | None = None, *, patience: float | None = None
    ) -> None:
        if environment.stack is None or not isinstance(environment.store, BucketStore):
            raise UsageError("only a stack on AWS can be watched", hint="Name it: --stack NAME.")
        self._environment = environment
        self._stack = environment.stack
        self._store = environment.store
        self._progress = progress
        self._patience = patience

    def catch_up(self) -> Generator[Handled]:
        """Loads what waits in the bucket, and builds what a watcher left that was killed."""
        self._until_reachable(lambda: backlog.write_missing_receipts(self._environment))
        keys = self._until_reachable(lambda: backlog.waiting(self._environment))
        if keys or (self._until_reachable(lambda: backlog.loaded(self._environment)) and not self._is_built()):
            yield self._work(keys)[0]

    def receive(self, wait_seconds: int) -> list[Message]:
        """Messages, at most ten; those that are none of ours are left to the dead-letter queue. Raises AwsError."""
        url = self._stack.outputs.queue_url

        def ask() -> list[dict[str, Any]]:
            with aws_errors(f"receive from the queue {url}"):
                answer = self._stack.aws.client("sqs").receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_AT_ONCE,
                    WaitTimeSeconds=wait_seconds,
                    VisibilityTimeout=_HIDDEN_SECONDS,
                )
            return answer.get("Messages", [])

        messages: list[Message] = []
        for found in self._until_reachable(ask):
            if key := self._key(found["Body"]):
                messages.append(Message(found["ReceiptHandle"], key))
            else:
                _log.warning("a message that is no notice of an upload to this bucket: %s", found["Body"][:500])
                self._release([found["ReceiptHandle"]], _BACK_SECONDS)
        return messages

    def handle(self, messages: Sequence[Message]) -> Handled:
        """Does what messages ask for, and deletes those whose work is done."""
        handles = [message.receipt_handle for message in messages]
        try:
            with self._hidden(handles):
                handled, done = self._work([*dict.fromkeys(message.key for message in messages)])
        except BaseException:  # Ctrl-C, too: another watcher is to have them at once
            self._release(handles, 0)
            raise
        self._delete([message.receipt_handle for message in messages if message.key in done])
        self._release([message.receipt_handle for message in messages if message.key not in done], _BACK_SECONDS)
        return handled

    def _work(self, keys: Sequence[str]) -> tuple[Handled, set[str]]:
        """Loads workbooks, then builds and verifies once; gives the keys that are loaded, or never can be.

        A build that fails keeps no message: to load again would not mend it. The next upload and the next watch build.
        """
        loads: list[LoadReport] = []
        failures: list[str] = []
        there = {stored.key: load for stored, load in self._until_reachable(lambda: backlog.loaded(self._environment))}
        done = {key for key in keys if key in there}
        for key in [key for key in keys if key not in there]:
            try:
                loads += self._load(key)
                done.add(key)
            except SourceNotFound as error:
                _log.warning("%s; nothing is left to do for it", error)
                done.add(key)
            except RetailpipeError as error:
                if isinstance(error, AwsError) and is_credentials_error(error):
                    raise
                failures.append(self._told(error))
                if not (isinstance(error, AwsError | WarehouseError) and error.transient):
                    self._tell_failure(key, error)
        run = None
        if loads or not self._is_built():
            try:
                run = self._until_reachable(
                    lambda: pipeline.complete(self._environment, loads, progress=self._progress)
                )
            except RetailpipeError as error:
                failures.append(self._told(error))
                if self._is_news([str(error)]):
                    self._tell("Silver and gold are not built", f"{self._told(error)}\n", "failure")
            if run and not run.build.up_to_date and (run.ok or self._is_news(_what_failed(run))):
                known = [there[key] for key in keys if key in there] or [*there.values()]
                self._tell_result(run, loads or known)
        return Handled(tuple(keys), run, tuple(failures)), done

    def _load(self, key: str) -> list[LoadReport]:
        return self._until_reachable(
            lambda: pipeline.ingest(self._environment, pipeline.Key(key), progress=self._progress)
        )

    def _is_built(self) -> bool:
        return bool(self._until_reachable(lambda: is_built(self._environment)))

    def _told(self, error: RetailpipeError) -> str:
        return f"{error}. {hints.complete_commands(error.hint, ['--stack', self._stack.outputs.name])}".strip()

    def _tell_failure(self, key: str, error: RetailpipeError) -> None:
        """Tells of a workbook that cannot be loaded, once for each of its contents."""
        try:
            if self._store.note_failure(key, str(error)):
                self._tell(f"Not loaded: {key}", f"{key} is not loaded.\n\n{self._told(error)}\n", "failure")
        except AwsError as untold:
            _log.warning("%s", untold)

    def _is_news(self, failures: Sequence[str]) -> bool:
        """Whether nobody was told yet that the build of the current loads fails in this way."""
        try:
            loads = self._until_reachable(lambda: backlog.loaded(self._environment))
            return self._store.note_failed_build([*failures, *(str(load.load_id) for _, load in loads)])
        except (AwsError, WarehouseError) as error:
            _log.warning("%s", error)
            return True

    def _tell_result(self, run: RunReport, loads: Sequence[LoadReport]) -> None:
        rows, rejects = sum(load.rows_loaded for load in loads), sum(load.rows_rejected for load in loads)
        newest = max((load.last_date for load in loads if load.last_date), default=None)
        lines = [f"    {load}" for load in loads]
        lines += ["", f"Silver and gold: {run.build}."]
        if newest:
            lines.append(f"They reach to {newest:%Y-%m-%d %H:%M}.")
        if run.verification:
            held = sum(invariant.ok for invariant in run.verification.invariants)
            lines.append(f"{held} of {len(run.verification.invariants)} invariants hold.")
        if rejects:
            command = f"retailpipe rejects --stack {self._stack.outputs.name}"
            lines.append(f"\nSee the rows that were rejected:\n\n    {command}")
        outcome = "Loaded" if run.ok else "Loaded, but silver and gold are not right"
        self._tell(
            f"{outcome}: {rows:,} rows, {rejects:,} rejected",
            "\n".join(lines) + "\n",
            "result" if run.ok else "failure",
        )

    def _tell(self, subject: str, text: str, kind: str) -> None:
        try:
            publish(self._stack, kind, subject, text)
        except AwsError as error:  # the load stands, whoever hears of it
            _log.warning("%s", error)

    def _until_reachable(self, work: Callable[[], _T]) -> _T:
        """What work gives, tried until AWS and the database can be reached; what they refuse is raised."""
        started = time.monotonic()
        while True:
            try:
                return work()
            except (AwsError, WarehouseError) as error:
                waited = time.monotonic() - started
                if not error.transient or (self._patience is not None and waited >= self._patience):
                    raise
                _log.warning("%s; trying again in %d s", self._told(error), _PATIENCE_SECONDS)
            time.sleep(_PATIENCE_SECONDS)

    def _key(self, body: str) -> str | None:
        """The key of a notice of an upload to this stack's bucket."""
        try:
            notice: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(notice, dict) or notice.get("bucket") != self._stack.outputs.bucket:  # pyright: ignore[reportUnknownMemberType] - any JSON object
            return None
        key: Any = notice.get("key")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any JSON object
        if not isinstance(key, str) or not is_workbook(key):
            return None
        # JSON can hold half of a surrogate pair, which no key of S3 does.
        return key if key.encode(errors="ignore").decode() == key else None

    @contextmanager
    def _hidden(self, handles: Sequence[str]) -> Generator[None]:
        """Keeps messages hidden from other watchers while work goes on."""
        ended = threading.Event()

        def extend() -> None:
            while not ended.wait(_HEARTBEAT_SECONDS):
                self._release(handles, _HIDDEN_SECONDS)

        thread = threading.Thread(target=extend, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_QUICK_SECONDS)

    def _release(self, handles: Sequence[str], seconds: int) -> None:
        """Hides messages for so many seconds from now. What cannot be done, SQS does by itself, later."""
        entries = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds} for n, handle in enumerate(handles)
        ]
        # Nobody is to wait for it, who presses Ctrl-C where AWS does not answer.
        sqs = self._stack.aws.client("sqs", read_timeout=_QUICK_SECONDS, attempts=1)
        self._batch(sqs.change_message_visibility_batch, entries)

    def _delete(self, handles: Sequence[str]) -> None:
        """Deletes messages; one that stays comes again, and costs a look into the ledger."""
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        self._batch(self._stack.aws.client("sqs").delete_message_batch, entries)

    def _batch(self, call: Callable[..., Any], entries: Sequence[dict[str, Any]]) -> None:
        if not entries:
            return
        url = self._stack.outputs.queue_url
        try:
            with aws_errors(f"tell the queue {url} of messages"):
                failed = call(QueueUrl=url, Entries=[*entries]).get("Failed", [])
        except AwsError as error:
            _log.warning("%s", error)
            return
        for each in failed:
            _log.warning("the queue %s: %s", url, each.get("Message") or each.get("Code"))


def _what_failed(run: RunReport) -> list[str]:
    """The names of the models, tests and invariants that failed."""
    invariants = run.verification.invariants if run.verification else ()
    return [node.name for node in run.build.failures] + [each.name for each in invariants if not each.ok]


def _wait(last: float, idle_exit: timedelta | None) -> int:
    """How long to wait for a message, in whole seconds."""
    if idle_exit is None:
        return _WAIT_SECONDS
    left = idle_exit.total_seconds() - (time.monotonic() - last)
    return max(0, min(_WAIT_SECONDS, -int(-left // 1)))
