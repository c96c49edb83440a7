"""A real HTTP server that receives events of OpenLineage, and servers that do not answer as they should."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/api/v1/lineage"


@dataclass
class Received:
    """What a server has received. headers: of each request. status: of the answers. location: of a redirect."""

    address: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 201
    location: str = ""


@contextmanager
def receiving(status: int = 201, location: str = "", context: ssl.SSLContext | None = None) -> Iterator[Received]:
    """A server on this machine. context: for TLS."""
    received = Received(status=status, location=location)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.paths.append(self.path)
            received.headers.append(dict(self.headers))
            received.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(received.status)
            if received.location:
                self.send_header("Location", received.location)
            self.end_headers()

        def log_request(self, code: object = "", size: object = "") -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    received.address = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Unhelpful:
    """A server that accepts connections. connections: how many there were."""

    address: str
    connections: int = 0


@contextmanager
def unhelpful(answer: bytes = b"", every: float = 0.05) -> Iterator[Unhelpful]:
    """A server that never answers, or sends single bytes of an answer without an end. every: seconds between them."""
    listener = socket.create_server(("127.0.0.1", 0))
    found = Unhelpful(f"http://127.0.0.1:{listener.getsockname()[1]}")
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            sent = 0
            while not ended.wait(every):
                if answer:
                    connection.sendall(answer[sent : sent + 1] or b"x")
                    sent += 1

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                found.connections += 1
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    try:
        yield found
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()
