"""An endpoint of AWS that gives the test's answers, in the real wire format, and records the requests."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Endpoint:
    """An endpoint that gives every request the same answer, or none until the test ends."""

    status: int | None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    handed_on: dict[str, str] = field(default_factory=dict)
    """URLs to which paths with these endings are forwarded, since no server here implements all of Lambda's API."""
    operation: str = ""
    """The only operation of a JSON protocol with this answer; the others are forwarded to `behind`."""
    behind: str = ""
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


def refusal(status: int, code: str, message: str = "told by AWS") -> Endpoint:
    """Return an endpoint that refuses as Lambda's REST protocol does."""
    return Endpoint(status, json.dumps({"Type": "User", "Message": message}), {"x-amzn-ErrorType": code})


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve on a port of this machine and yield the endpoint with its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if endpoint.behind and not self.headers["X-Amz-Target"].endswith(f".{endpoint.operation}"):
                self.answer(*self.hand_on(endpoint.behind, content))
                return
            endpoint.asked.append(dict(self.headers))
            if endpoint.status is None:
                endpoint.ended.wait()
                return
            url = next((url for end, url in endpoint.handed_on.items() if self.path.endswith(end)), None)
            self.answer(*self.hand_on(url, content) if url else (endpoint.status, endpoint.body.encode()))

        def hand_on(self, url: str, content: bytes) -> tuple[int, bytes]:
            asked = urllib.request.Request(url + self.path, content or None, dict(self.headers))
            try:
                with urllib.request.urlopen(asked) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield endpoint
    finally:
        endpoint.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
