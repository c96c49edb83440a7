"""Poll the SQS queue of a stack for uploads, load each workbook, and publish the result to the SNS topic.

The bucket calls the Lambda notify_upload, which publishes to the topic; the topic forwards uploads to the queue. SQS
delivers a message at least once and in any order, so a message is only a trigger: the ledger decides whether the
workbook is already loaded.

- Received: a message is hidden from other watchers for 120 s. A thread extends this time every 40 s until the work
  ends.
- Deleted: a message whose workbook is loaded, now or before, or is no longer in the bucket. A build that fails
  afterwards does not keep the message, because loading again would not repair the build.
- Returned: a message whose workbook cannot be loaded, or that is not about a workbook in this bucket, becomes visible
  again after 30 s. After 5 receives (the queue's maxReceiveCount) SQS moves it to the dead-letter queue.
- On Ctrl-C, or an error that ends the watch, messages become visible again at once. If the process is killed, they
  become visible when the 120 s are over.

While AWS or the database cannot be reached, the watcher waits inside a step and does not return its messages, so an
outage does not use up their receives.

A failure is published once for each content of a workbook, and once for each set of loads whose build fails. Notes
under `receipts/` in the bucket record what was published, so this also holds for several watchers and after a restart.
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
from typing import Any

from retailpipe import backlog, hints
from retailpipe.aws.notices import publish
from retailpipe.aws.session import aws_errors, is_credentials_error
from retailpipe.aws.store import BucketStore
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import AwsError, RetailpipeError, SourceNotFound, UsageError, WarehouseError
from retailpipe.keys import is_workbook, printable
from retailpipe.models import own_models, project_hash
from retailpipe.progress import Progress
from retailpipe.publishing import links_text, publish_reports
from retailpipe.reports import LoadReport, Published, RunReport
from retailpipe.watch.worker import Handled, Worker, is_over, is_transient

_WAIT_SECONDS = 20
"""How long one request waits for a message: the maximum of SQS."""
_HIDDEN_SECONDS = 120
_HEARTBEAT_SECONDS = 40.0
"""A third of _HIDDEN_SECONDS: one renewal may fail without another watcher receiving the message."""
_MAX_MESSAGES = 10
"""Messages per request: the maximum of SQS for receiving and for batches."""
_RETURN_SECONDS = 30
"""After how long a failed message becomes visible again."""
_SHORT_TIMEOUT_SECONDS = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A message of the queue: the key of an uploaded workbook, and the handle that deletes the message."""

    receipt_handle: str
    key: str


def watch_queue(
    environment: Environment,
    *,
    once: bool = False,
    idle_exit: timedelta | None = None,
    progress: Progress | None = None,
) -> Generator[Handled]:
    """`watch` of a stack. Publishes the results to its topic. Raises UsageError if the environment is not a stack.

    Starts with the workbooks in the bucket that are not loaded, because their messages may have been lost.
    """
    watcher = QueueWatcher(environment, progress, once=once, idle_exit=idle_exit)
    yield from watcher.catch_up()
    last = time.monotonic()
    while True:
        messages = watcher.receive(1 if once else _wait(last, idle_exit))
        if messages:
            yield watcher.handle(messages)
            last = time.monotonic()
        elif once or is_over(last, idle_exit):
            return


class QueueWatcher(Worker):
    """The steps of the watch of a stack."""

    def __init__(
        self,
        environment: Environment,
        progress: Progress | None = None,
        *,
        once: bool = False,
        idle_exit: timedelta | None = None,
    ) -> None:
        super().__init__(environment, progress, once=once, idle_exit=idle_exit)
        if environment.stack is None or not isinstance(environment.store, BucketStore):
            raise UsageError("watching a queue needs an AWS stack", hint="Add --stack NAME.")
        self._stack = environment.stack
        self._store = environment.store

    def catch_up(self) -> Generator[Handled]:
        """Load the workbooks in the bucket that are not loaded, and finish a build that a killed watcher left."""
        found = self.until_reachable(lambda: backlog.compare(self.environment))
        self.until_reachable(lambda: backlog.write_missing_receipts(self.environment, found))
        if found.waiting or (found.loaded and not self.is_built()):
            yield self._work(found.waiting)[0]

    def receive(self, wait_seconds: int) -> list[Message]:
        """Return at most ten notices of uploads to this bucket; other messages return to the queue. Raises AwsError."""
        url = self._stack.outputs.queue_url

        def poll() -> list[dict[str, Any]]:
            with aws_errors(f"receive messages from the queue {url}"):
                answer = self._stack.aws.client("sqs").receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_MAX_MESSAGES,
                    WaitTimeSeconds=wait_seconds,
                    VisibilityTimeout=_HIDDEN_SECONDS,
                )
            return answer.get("Messages", [])

        messages: list[Message] = []
        for found in self.until_reachable(poll):
            if key := self._uploaded_key(found["Body"]):
                messages.append(Message(found["ReceiptHandle"], key))
            else:
                _log.warning("ignored a message that is not about an upload to this bucket: %s", found["Body"][:500])
                self._hide([found["ReceiptHandle"]], _RETURN_SECONDS)
        return messages

    def handle(self, messages: Sequence[Message]) -> Handled:
        """Load the workbooks of messages; delete the messages of those that are done, and return the others."""
        handles = [message.receipt_handle for message in messages]
        try:
            with self._kept_hidden(handles):
                handled, done = self._work([*dict.fromkeys(message.key for message in messages)])
        except BaseException:  # including Ctrl-C, so that another watcher can take over at once
            self._hide(handles, 0)
            raise
        self._delete([message.receipt_handle for message in messages if message.key in done])
        self._hide([message.receipt_handle for message in messages if message.key not in done], _RETURN_SECONDS)
        return handled

    def _work(self, keys: Sequence[str]) -> tuple[Handled, set[str]]:
        loads = self.until_reachable(lambda: backlog.loaded(self.environment))
        return self.work(keys, {stored.key: load for stored, load in loads})

    def gone(self, error: SourceNotFound) -> None:
        _log.warning("%s; skipped its message", error)

    def not_loaded(self, key: str, error: RetailpipeError) -> bool:
        if isinstance(error, AwsError) and is_credentials_error(error):
            raise error
        # A transient error is not caused by the workbook: publish nothing; the message becomes visible again.
        if not is_transient(error):
            self._publish_failure(key, error)
        return True

    def not_built(self, error: RetailpipeError) -> None:
        failed = [str(error)]
        subject, text = "Silver and gold were not built", self._failure_text(error)
        self._publish_once(lambda: self._build_note(failed), subject, text)

    def built(self, run: RunReport, loads: Sequence[LoadReport]) -> None:
        published = publish_reports(self.environment, run.build.number)
        subject, text = self._result_texts(run, loads, published)
        links = links_text(self.environment, published)
        if run.ok:
            self._publish(subject, text + links, "result")
        else:
            failed = _failed_names(run)
            self._publish_once(lambda: self._build_note(failed), subject, text, links)

    def hint(self, error: RetailpipeError) -> str:
        return hints.complete_commands(error.hint, ["--stack", self._stack.outputs.name])

    def _failure_text(self, error: RetailpipeError) -> str:
        hint = self.hint(error)
        return f"Reason: {error}.\n" + (f"What to do: {hint}\n" if hint else "")

    def _publish_failure(self, key: str, error: RetailpipeError) -> None:
        """Publish that a workbook cannot be loaded, once for each content of it."""
        text = f"{printable(key)} was not loaded.\n\n{self._failure_text(error)}"
        self._publish_once(lambda: self._store.load_failure_note(key), f"Not loaded: {printable(key)}", text)

    def _build_note(self, failures: Sequence[str]) -> str:
        """Return the key of the note for a build of this dbt project from the current loads that fails in this way."""
        loads = self.until_reachable(lambda: backlog.loaded(self.environment))
        return self._store.build_failure_note(
            [*failures, project_hash(own_models(self.environment)), *(str(report.load_id) for _, report in loads)]
        )

    def _publish_once(self, note_key: Callable[[], str | None], subject: str, text: str, links: str = "") -> None:
        """Publish a failure unless a note in the bucket says that it was published.

        links: the end of the notice, which the note does not contain, because links are secrets.

        The note is written after the notice: if the watcher is killed in between, the notice is published twice, but
        never lost.
        """
        note = None
        try:
            note = note_key()
            if note is None or self._store.has_note(note):
                return
        except (AwsError, WarehouseError) as error:
            _log.warning("%s", error)
        if self._publish(subject, text + links, "failure") and note:
            try:
                self._store.write_note(note, text)
            except AwsError as error:
                _log.warning("%s", error)

    def _result_texts(self, run: RunReport, loads: Sequence[LoadReport], published: Published) -> tuple[str, str]:
        """The subject and the text of the notice about a build."""
        rows, rejects = sum(load.rows_loaded for load in loads), sum(load.rows_rejected for load in loads)
        newest = max((load.last_date for load in loads if load.last_date), default=None)
        lines = [f"    {load}" for load in loads]
        lines += ["", f"Silver and gold: {run.build}."]
        if newest:
            lines.append(f"Newest transaction: {newest:%Y-%m-%d %H:%M}.")
        if run.verification:
            held = sum(invariant.ok for invariant in run.verification.invariants)
            lines.append(f"{held} of {len(run.verification.invariants)} invariants hold.")
        lines += [f"\n{text}" for text in (published.summary, *published.problems) if text]
        if rejects:
            command = f"retailpipe rejects --stack {self._stack.outputs.name}"
            lines.append(f"\nTo see the rejected rows, run:\n\n    {command}")
        outcome = "Loaded" if run.ok else "Loaded, but silver and gold have errors"
        subject = f"{outcome}: {counted(rows, 'row')}, {rejects:,} rejected"
        return subject, "\n".join(lines) + "\n"

    def _publish(self, subject: str, text: str, kind: str) -> bool:
        """Publish a notice; return whether it was sent."""
        try:
            publish(self._stack, kind, subject, text)
        except AwsError as error:  # the load is committed: a notice that is not sent must not undo it
            _log.warning("%s", error)
            return False
        return True

    def _uploaded_key(self, body: str) -> str | None:
        """The workbook's key in a notice of an upload to this stack's bucket; None for any other message."""
        try:
            notice: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(notice, dict) or notice.get("bucket") != self._stack.outputs.bucket:  # pyright: ignore[reportUnknownMemberType] - any JSON object
            return None
        key: Any = notice.get("key")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any JSON object
        if not isinstance(key, str) or not is_workbook(key):
            return None
        # JSON can hold half of a surrogate pair; an S3 key, which is UTF-8, cannot.
        return key if key.encode(errors="ignore").decode() == key else None

    @contextmanager
    def _kept_hidden(self, handles: Sequence[str]) -> Generator[None]:
        """Keep messages hidden from other watchers during the `with` block: a thread extends the time."""
        ended = threading.Event()

        def extend() -> None:
            while not ended.wait(_HEARTBEAT_SECONDS):
                self._hide(handles, _HIDDEN_SECONDS)

        thread = threading.Thread(target=extend, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_SHORT_TIMEOUT_SECONDS)

    def _hide(self, handles: Sequence[str], seconds: int) -> None:
        """Hide messages for this many seconds from now; 0 returns them at once.

        A failure is only logged: SQS then returns the messages when the earlier time is over.
        """
        entries = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": seconds} for n, handle in enumerate(handles)
        ]
        # A short timeout, because this also runs after Ctrl-C and when AWS does not respond.
        sqs = self._stack.aws.client("sqs", read_timeout=_SHORT_TIMEOUT_SECONDS, attempts=1)
        self._batch(sqs.change_message_visibility_batch, entries)

    def _delete(self, handles: Sequence[str]) -> None:
        """Delete messages. A failure is only logged: SQS delivers them again, but nothing is loaded twice."""
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        self._batch(self._stack.aws.client("sqs").delete_message_batch, entries)

    def _batch(self, call: Callable[..., Any], entries: Sequence[dict[str, Any]]) -> None:
        if not entries:
            return
        url = self._stack.outputs.queue_url
        try:
            with aws_errors(f"update messages in the queue {url}"):
                failed = call(QueueUrl=url, Entries=[*entries]).get("Failed", [])
        except AwsError as error:
            _log.warning("%s", error)
            return
        for each in failed:
            _log.warning("cannot update a message in the queue %s: %s", url, each.get("Message") or each.get("Code"))


def _failed_names(run: RunReport) -> list[str]:
    """The names of the models, tests and invariants that failed."""
    invariants = run.verification.invariants if run.verification else ()
    return [node.name for node in run.build.failures] + [each.name for each in invariants if not each.ok]


def _wait(last: float, idle_exit: timedelta | None) -> int:
    """How long the next request may wait for a message, in whole seconds (rounded up)."""
    if idle_exit is None:
        return _WAIT_SECONDS
    left = idle_exit.total_seconds() - (time.monotonic() - last)
    return max(0, min(_WAIT_SECONDS, -int(-left // 1)))
