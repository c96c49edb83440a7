"""Run the pulumi command for many stacks at once through Pulumi's Automation API.

Each engine runs in a session of its own, so that Ctrl-C on the terminal does not reach it: the first Ctrl-C is passed
on once, and the engine ends what it has begun and writes the state; the second kills all engines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation.errors import InvalidVersionError, create_command_error

from retailpipe.errors import UsageError


class Engines(PulumiCommand):
    """The pulumi command, shared by all stacks: its version is checked once.

    Raises UsageError if pulumi is not on PATH.
    """

    def __init__(self) -> None:
        try:
            super().__init__()
        except InvalidVersionError as error:
            raise UsageError(
                f"the pulumi command is too old: {error}", hint="Update it: https://www.pulumi.com/docs/install/."
            ) from error
        except OSError as error:
            raise UsageError(
                "the pulumi command is not on PATH; `class up` and `class down` need it",
                hint="Install it: https://www.pulumi.com/docs/install/.",
            ) from error
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
        text: str = "",
    ) -> CommandResult:
        """Run a pulumi command, and return its output. Raises CommandError if it fails.

        text: the standard input, such as a secret.
        """
        if "--non-interactive" not in args:
            args.insert(0, "--non-interactive")
        with self._lock:
            if self._stopping:
                raise create_command_error(CommandResult("", "error: update canceled", -2))
            process = self._start(args, cwd, additional_env)
            self._running.add(process)
        streams = zip((process.stdout, process.stderr), (on_output, on_error), strict=True)
        if process.stdin:
            with suppress(BrokenPipeError), process.stdin:  # the command has failed, and its errors say why
                process.stdin.write(text)
        output, errors = (_Reader(stream, callback) for stream, callback in streams if stream)
        try:
            result = CommandResult(output.text(), errors.text(), process.wait())
        finally:
            with self._lock:
                self._running.discard(process)
        if result.code != 0:
            raise create_command_error(result)
        return result

    def _start(self, args: list[str], cwd: str, additional_env: Mapping[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.command, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def interrupt(self) -> None:
        """Tell all engines to end what they have begun, to write the state, and to stop."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End all engines at once, with the providers and programs that they started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            self._stopping = True  # a thread may be between two commands of a stack
            running = [*self._running]
        for process in running:
            with suppress(ProcessLookupError):
                if number is signal.SIGKILL:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)


class _Reader:
    """Reads a stream of a process in a thread, so that the process never waits for us."""

    def __init__(self, stream: IO[str], callback: Callable[[str], object] | None) -> None:
        self._stream = stream
        self._callback = callback
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Wait for the end of the stream, and return all of it."""
        self._thread.join()
        return "\n".join(self._lines)

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line.rstrip())
            if self._callback:
                with suppress(OSError):  # a full disk: the log is incomplete, the deployment goes on
                    self._callback(line.rstrip())
        self._stream.close()
