"""Real HTTP servers for tests, each on a free port of this machine."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HttpServer:
    """Answers, without a word on the terminal, until it is stopped; that may come more than once."""

    def __init__(self, answers: type[BaseHTTPRequestHandler]) -> None:
        silent = type(answers.__name__, (answers,), {"log_message": lambda *_: None})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), silent)
        self.place = f"127.0.0.1:{self._server.server_port}"
        """HOST:PORT."""
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
