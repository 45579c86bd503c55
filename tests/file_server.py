"""A file server on this machine that can misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """A file server that can misbehave."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    break_after: list[int] = field(default_factory=list)
    """Bytes sent before each of the first replies is cut."""
    ranges: bool = True
    others: dict[str, bytes] = field(default_factory=dict)
    """Contents of other addresses, by the last part of their path."""
    wrong_range: bool = False
    """A part is sent that was not asked for."""
    wait: threading.Event = field(default_factory=threading.Event)
    """What a reply waits for before its body; set at first."""
    status: int = 200
    location: str = ""
    kind: str = "application/octet-stream"
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """The server, until the block ends."""
    state = Server()
    state.wait.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_response(state.status)
                if state.location:
                    self.send_header("Location", state.location)
                self.end_headers()
                return
            content = state.others.get(self.path.rpartition("/")[2], state.content)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if self.headers.get("If-Range") not in (None, state.etag):
                start = 0
            if start and start >= len(content):
                self.send_response(416)
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            if start:
                first = 0 if state.wrong_range else start
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", state.kind)
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            state.wait.wait(10)
            part = body[: state.break_after.pop(0)] if state.break_after else body
            with contextlib.suppress(
                BrokenPipeError, ConnectionResetError
            ):  # a command that was interrupted reads no more
                self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Threads(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}/file"
        yield state
        listening.shutdown()
        thread.join()
