"""The callback of a browser sign-in: a small server that only this machine can reach and that takes one answer."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from urllib.parse import parse_qsl, urlsplit

from connector.errors import BadInput, NeedsAttention

CALLBACK_PATH = "/callback"
IDLE_CONNECTION = 10.0
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Connector</title>
<style>body{{font:16px/1.5 sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}


class CallbackServer(ThreadingHTTPServer):
    """Waits for the one answer that carries `state`; each connection has a thread, since browsers open idle ones."""

    daemon_threads = True

    def __init__(self, port: int, state: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.uri = f"http://localhost:{self.server_port}{CALLBACK_PATH}"
        self._state: str | None = state
        self._lock = threading.Lock()
        self._answers: Queue[dict[str, str]] = Queue()

    def accept(self, answer: dict[str, str]) -> bool:
        """Take an answer whose state is the awaited one, which is spent by it; tell whether it was taken."""
        offered = answer.get("state", "").encode()
        with self._lock:
            if self._state is None or not secrets.compare_digest(offered, self._state.encode()):
                return False
            self._state = None
        self._answers.put(answer)
        return True

    def wait(self, timeout: float) -> dict[str, str]:
        """Return the answer's parameters; raises NeedsAttention when none came within `timeout` seconds."""
        try:
            return self._answers.get(timeout=timeout)
        except Empty:
            text = f"Nobody approved the app in the browser within {timeout:g} seconds."
            raise NeedsAttention("sign_in_timed_out", text, "Start the browser sign-in again.") from None


@contextmanager
def callback_server(port: int, state: str) -> Iterator[CallbackServer]:
    """Serve the callback on loopback inside the block; raises BadInput if the port cannot be had."""
    try:
        server = CallbackServer(port, state)
    except (OSError, OverflowError):
        raise BadInput(f"Port {port} cannot be used for the callback: free it or give another one.") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: CallbackServer
    timeout = IDLE_CONNECTION

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        answer = dict(parse_qsl(target.query))
        if target.path != CALLBACK_PATH or not self.server.accept(answer):
            self._page(400, "Not this sign-in", "No sign-in is waiting for this page. Start again from the connector.")
        elif "code" in answer:
            self._page(200, "Thank you", "Salesforce has answered. Close this window and go back to the connector.")
        else:
            self._page(
                200, "Not connected", "The app was not approved. Close this window and go back to the connector."
            )

    def _page(self, status: int, title: str, text: str) -> None:
        body = PAGE.format(title=title, text=text).encode()
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_unused: object) -> None:
        """Write nothing: the request line holds the authorization code."""
