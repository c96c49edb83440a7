"""A TCP proxy for tests: it adds latency, counts round trips, and cuts connections."""

from __future__ import annotations

import heapq
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_BLOCK = 1 << 16


@dataclass
class Proxy:
    """A proxy in front of one server.

    delay: seconds of latency in each direction.
    cut_after: the number of bytes to the server after which a connection is cut; None never cuts.
    cut_back_after: the same for bytes from the server.
    turns: how often the client sent again after the server had answered, which is the number of round trips.
    cuts: how often connections were cut.
    """

    target: tuple[str, int]
    delay: float = 0.0
    cut_after: int | None = None
    cut_back_after: int | None = None
    turns: int = 0
    cuts: int = 0
    port: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """Cut all open connections."""
        with self._lock:
            for each in self._open:
                _reset(each)
            self._open.clear()
            self.cuts += 1

    def serve(self, listener: socket.socket) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open += [client, server]
            last = [""]
            for source, sink, direction in ((client, server, "to server"), (server, client, "to client")):
                threading.Thread(target=self._forward, args=(source, sink, direction, last), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, direction: str, last: list[str]) -> None:
        """Forward bytes after the delay; a second thread sends them, so the delay does not reduce the throughput."""
        waiting: list[tuple[float, int, bytes]] = []
        ready = threading.Condition()
        threading.Thread(target=self._send, args=(sink, waiting, ready), daemon=True).start()
        forwarded, number = 0, 0
        limit = self.cut_after if direction == "to server" else self.cut_back_after
        while True:
            try:
                block = source.recv(_BLOCK)
            except OSError:
                block = b""
            with self._lock:
                if direction == "to server" and last[0] == "to client" and block:
                    self.turns += 1
                last[0] = direction
            forwarded += len(block)
            if limit is not None and forwarded > limit:
                self.cuts += 1
                _reset(source)
                _reset(sink)
                return
            number += 1
            with ready:
                heapq.heappush(waiting, (time.monotonic() + self.delay, number, block))
                ready.notify()
            if not block:
                return

    def _send(self, sink: socket.socket, waiting: list[tuple[float, int, bytes]], ready: threading.Condition) -> None:
        while True:
            with ready:
                while not waiting:
                    ready.wait()
                at, _, block = heapq.heappop(waiting)
            time.sleep(max(0.0, at - time.monotonic()))
            with suppress(OSError):
                if block:
                    sink.sendall(block)
                    continue
                sink.shutdown(socket.SHUT_WR)
            return


@contextmanager
def proxy(
    port: int, *, delay: float = 0.0, cut_after: int | None = None, cut_back_after: int | None = None
) -> Iterator[Proxy]:
    """A proxy on 127.0.0.1 in front of a port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Proxy(("127.0.0.1", port), delay, cut_after, cut_back_after, port=listener.getsockname()[1])
    threading.Thread(target=made.serve, args=(listener,), daemon=True).start()
    try:
        yield made
    finally:
        listener.close()
        made.cut()


def _reset(connection: socket.socket) -> None:
    """Cut a connection abruptly, with a TCP reset, as a failing network does."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
