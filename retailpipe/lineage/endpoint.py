"""The HTTP endpoint that receives events. Threads send them, so that no load waits for it.

Only a process that sends imports this module. The threads import nothing: a process that is forked meanwhile could not
import it either.
"""

from __future__ import annotations

import atexit
import codecs
import http.client
import logging
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import Future
from urllib.parse import urlsplit

from retailpipe.threads import Worker

codecs.lookup("idna")  # the first socket would import this codec
_SECONDS = 2.0
"""How long one event may take in total, and how long the end of the process waits for all."""
_PAUSE_SECONDS = 600.0
"""How long nothing is sent after a failure: `watch` runs for weeks, and a server may be started again meanwhile."""
_MOST_WAITING = 1_000
_log = logging.getLogger(__name__)


class Endpoint:
    """Sends events one after the other. After a failure it sends none for ten minutes, then it tries the next one.

    It logs one warning, and another one only if an event was accepted in between. Several threads may use it.

    address: of the endpoint. key: its token, which is sent in a header and is part of no message; may be empty.
    """

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._key = key
        self._lock = threading.Lock()
        self._threads: tuple[Worker, Worker] | None = None
        self._opener: urllib.request.OpenerDirector | None = None
        self._waiting: deque[Future[None]] = deque()
        self._request: Future[str] | None = None
        self._problem = ""
        self._failed_at = 0.0
        self._warned = False

    def send(self, line: bytes) -> None:
        """Send an event in the background."""
        with self._lock:
            while self._waiting and self._waiting[0].done():
                self._waiting.popleft()
            if len(self._waiting) >= _MOST_WAITING:
                self._fail(f"{_MOST_WAITING:,} events are waiting for it")
            self._warn()
            if self._problem and self._may_try_again():
                self._problem = ""
            if self._problem:
                return
            if self._threads is None:
                # Both now, because a process cannot start threads at its end.
                self._threads = Worker("openlineage"), Worker("openlineage request")
                atexit.register(self.flush)
                os.register_at_fork(after_in_child=self._forget)
            sender, requests = self._threads
            self._waiting.append(sender.submit(lambda: self._send(line, requests)))

    def flush(self) -> None:
        """Wait until all events are sent, at most 2 s. Ctrl-C ends the wait: all that is left to do is to end."""
        last = self._waiting[-1] if self._waiting else None
        if last:
            try:
                last.result(timeout=_SECONDS)
            except TimeoutError:
                self._fail(f"it did not take the last events within {_SECONDS:g} s")
            except KeyboardInterrupt:
                self._fail("the wait for the last events was interrupted")
        self._warn()

    def _forget(self) -> None:
        """This is a forked process: it has no threads, and what waits is sent by the process that forked it."""
        self._lock = threading.Lock()
        self._threads = self._request = None
        self._waiting.clear()

    def _may_try_again(self) -> bool:
        """Whether the pause is over, and also the last request: if that was given up, it may still hold its thread."""
        is_free = not self._waiting and (self._request is None or self._request.done())
        return is_free and time.monotonic() - self._failed_at >= _PAUSE_SECONDS

    def _fail(self, problem: str) -> None:
        if not self._problem:
            self._problem, self._failed_at = problem, time.monotonic()

    def _warn(self) -> None:
        if self._problem and not self._warned:
            self._warned = True
            place = urlsplit(self._address)
            _log.warning(
                "%s://%s of OPENLINEAGE_URL gets no lineage events from this process for %d minutes: %s. "
                "The loads are not affected.",
                place.scheme,
                ascii(place.netloc)[1:-1],
                _PAUSE_SECONDS // 60,
                self._problem,
            )

    def _send(self, line: bytes, requests: Worker) -> None:
        """Send one event, in the first thread. Raises nothing.

        The second thread makes the request: the timeout of a socket is not enough, because a server that sends single
        bytes slowly never triggers it. If that thread is given up, it ends with the request, or with the process.
        """
        if self._problem:
            return
        self._request = request = requests.submit(lambda: self._post(line))
        try:
            problem = request.result(timeout=_SECONDS)
        except TimeoutError:
            problem = f"it did not answer within {_SECONDS:g} s"
        except Exception as error:
            # Whatever fails here, a load must not fail because of its lineage. The problem is only the kind of the
            # error: a text of the server or of the address may be hostile, or hold the key.
            problem = f"the request failed ({type(error).__name__})"
        if problem:
            self._fail(problem)
        else:
            self._warned = False

    def _post(self, line: bytes) -> str:
        """Return why the endpoint did not accept an event; empty if it did."""
        headers = {"Content-Type": "application/json", "User-Agent": "retailpipe"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._address, line, headers, method="POST")  # noqa: S310 - Settings takes only http(s)
        self._opener = self._opener or _opener(self._address)
        try:
            with self._opener.open(request, timeout=_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            phrase = http.client.responses.get(error.code, "")
            return f"it answered {error.code} {phrase}".rstrip()
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise error.reason from None
            return (
                f"it cannot be reached ({error.reason.strerror or type(error.reason).__name__})"
                if isinstance(error.reason, OSError)
                else "it cannot be reached"
            )


def _opener(address: str) -> urllib.request.OpenerDirector:
    """What opens requests: through the proxies of the environment, with TLS verified.

    It follows no redirects, so no other server gets the key.
    """
    opener = urllib.request.OpenerDirector()
    handlers = [urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPErrorProcessor()]
    for handler in (*handlers, urllib.request.HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    if address.startswith("https:"):
        opener.add_handler(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    return opener
