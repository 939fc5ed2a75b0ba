"""The sockets: two addresses on 127.0.0.1, and a thread for each connection, all closed at the end."""

import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Event, Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from zoo_core.testing.hub.api import Call
from zoo_core.testing.hub.faults import Answer, Fault, Log, Request

__all__ = ["Server"]

Host = Literal["hub", "content"]


class Server(ThreadingTCPServer):
    """The server of one address.

    >>> server = Server("hub", Log(), {}, lambda call: Answer(body=b"hello"))
    >>> server.start()
    >>> from urllib.request import urlopen
    >>> with urlopen(server.address) as answer:
    ...     answer.read()
    b'hello'
    >>> server.stop()

    Args:
        host: name of the address in the log, ``hub`` or ``content``.
        log: log of requests, and source of faults.
        users: names of users by token.
        answer: function from a request to its answer, called unless a fault keeps the request away.
    """

    daemon_threads = False  # server_close waits for them
    request_queue_size = 128

    def __init__(self, host: Host, log: Log, users: Mapping[str, str], answer: Callable[[Call], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = host
        self.log = log
        self.users = users
        self.answer = answer
        self.stopping = Event()
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._thread = Thread(target=self.serve_forever, args=(0.02,), name=f"loopback-{host}", daemon=True)

    @property
    def address(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Closes all connections, also those with a delayed answer, and waits for their threads."""
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # it may have just ended
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remembers a connection, so that the server can end it."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forgets a connection that has ended."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stores the exception of a test's hook. A client that goes away is not an error."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.log.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def log_message(self, format: str, *args: object) -> None:
        """The log of requests is :class:`Log`."""

    def serve(self) -> None:
        """Answers a request, with its fault."""
        call = self._call()
        request = self._request(call)
        fault = self.server.log.add(request)
        fault.before(request, self.server.stopping)
        if fault.drops:
            self._reset()
        else:
            self._send(request, fault, fault.spoiled(fault.replaced() or self._answer(call)))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def _call(self) -> Call:
        path, _, query = self.path.partition("?")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return Call(
            method=self.command,
            path=path,
            query=parse_qs(query, keep_blank_values=True),
            body=self._body(),
            range=self.headers.get("Range"),
            user=self.server.users.get(token, "" if token else None),
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self._read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        """Reads ``size`` bytes.

        Raises:
            ConnectionResetError: if there are fewer: a part of an upload, from a client that was killed, is not stored.
        """
        data = self.rfile.read(size)
        if len(data) != size:
            raise ConnectionResetError("the client went away")
        return data

    def _request(self, call: Call) -> Request:
        return Request(
            method=call.method,
            path=unquote(call.path),
            query=call.query,
            host=self.server.host,
            authorized="Authorization" in self.headers,
            range=call.range,
            received=len(call.body),
        )

    def _answer(self, call: Call) -> Answer:
        try:
            return self.server.answer(call)
        except Exception as error:  # 501, because the client tries again after a 500
            return Answer(status=501, headers={"Content-Type": "text/plain"}, body=f"a bug of the loopback Hub: {error!r}".encode())

    def _send(self, request: Request, fault: Fault, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.body[: fault.truncate]
        request.status = answer.status
        request.sent = len(body)
        self.send_response(answer.status)
        if fault.drip:
            self._drip(fault.drip)
            return
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if fault.reset:
            self._reset()
        self.close_connection |= fault.truncate is not None or "Content-Length" not in answer.headers

    def _drip(self, part: Literal["headers", "chunks"]) -> None:
        """Sends small pieces without end, until the client goes away or the server stops."""
        self.close_connection = True
        if part == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5;x=")
        self.flush_headers()
        while not self.server.stopping.wait(0.02):
            self.wfile.write(b"y" if part == "chunks" else b"X-Drip: 1\r\n")

    def _reset(self) -> None:
        """Closes the connection at once with a RST, without the FIN of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())
        self.close_connection = True
