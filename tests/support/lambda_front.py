"""Lambda's front end before the real runtime: names, versions, aliases and errors as AWS returns them.

moto stores the function, its versions and its alias, and runs nothing. This front end resolves the ARN or alias of an
invocation to a version, and forwards the invocation to that version's emulator; all other requests go to moto.
"""

import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support import emulator
from support.emulator import Function

FUNCTIONS = "/2015-03-31/functions/"


@dataclass(frozen=True)
class Invocation:
    """One request that reached the runtime."""

    arn: str
    """The caller's ARN, with its qualifier."""
    version: str
    payload: Any


@dataclass
class Front:
    """The front end of one function, whose versions are laid out in `tasks`."""

    moto: str
    tasks: dict[str, Path]
    environ: dict[str, str]
    timeout_s: int = 30
    refusals: list["Answer"] = field(default_factory=list)
    """Answers that refuse the next invocations before they reach the runtime."""
    losses: dict[str, "Answer"] = field(default_factory=dict)
    """Answers that replace the runtime's, once for each action."""
    denials: dict[str, "Answer"] = field(default_factory=dict)
    """Answers that refuse a call of another service, by its `X-Amz-Target`."""
    settling: int = 0
    """The number of invocations through a moved alias that still reach the previous version."""
    invoked: list[Invocation] = field(default_factory=list)
    port: int = 0
    _moved_from: str | None = None
    _running: dict[str, Function] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> "Answer":
        """Answer one request."""
        if headers.get("X-Amz-Target") in self.denials:
            return self.denials[headers["X-Amz-Target"]]
        parts = urllib.parse.unquote(path.partition("?")[0]).removeprefix(FUNCTIONS).split("/")
        match method, parts:
            case "POST", [arn, "invocations"]:
                return self._invoke(arn, json.loads(body), headers)
            case "PUT", [_, "aliases", _] if not self._is_current(path, headers, json.loads(body)):
                return refuse(412, "PreconditionFailedException")
            case "PUT", [_, "aliases", _]:
                self._moved_from = json.loads(self._hand_on("GET", path, headers, b"").body)["FunctionVersion"]
                return _with_revision(self._hand_on(method, path, headers, body))
            case _, [_, "aliases", _]:
                return _with_revision(self._hand_on(method, path, headers, body))
        return self._hand_on(method, path, headers, body)

    def _invoke(self, arn: str, payload: Any, headers: dict[str, str]) -> "Answer":
        if self.refusals:
            return self.refusals.pop(0)
        with self._one_at_a_time:
            version = self._resolve(arn, headers)
            self.invoked.append(Invocation(arn, version, payload))
            if version not in self._running:
                known = {"IMAGE_DIGEST": digest(version), **self.environ}
                started = emulator.start(self.tasks[version], known, timeout_s=self.timeout_s)
                self._running[version] = self._stack.enter_context(started)
            answer = _run(self._running[version], payload)
        if payload.get("action") in self.losses:
            return self.losses.pop(payload["action"])
        told = {"X-Amz-Executed-Version": version, "Content-Type": "application/json"}
        if isinstance(answer, str) or "errorType" in answer:
            # the emulator gives a failure the status of a success
            told["X-Amz-Function-Error"] = "Unhandled"
            answer = {"errorMessage": answer} if isinstance(answer, str) else answer
        return Answer(200, told, json.dumps(answer).encode())

    def _resolve(self, arn: str, headers: dict[str, str]) -> str:
        """Return the version of a qualified ARN."""
        name, _, qualifier = arn.rpartition(":")
        if qualifier.isdigit():
            return qualifier
        if self.settling and self._moved_from is not None:
            self.settling -= 1
            return self._moved_from
        path = f"{FUNCTIONS}{name.rpartition(':')[2]}/aliases/{qualifier}"
        alias = json.loads(self._hand_on("GET", path, headers, b"").body)
        version: str = alias["FunctionVersion"]
        return version

    def _is_current(self, path: str, headers: dict[str, str], asked: Any) -> bool:
        """Tell whether the alias has the revision id that the caller read, which moto does not check."""
        now = json.loads(_with_revision(self._hand_on("GET", path, headers, b"")).body)
        return asked.get("RevisionId") in (None, now["RevisionId"])

    def _hand_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> "Answer":
        # moto reads the service from the signature
        known = {name: value for name, value in headers.items() if name != "Content-Length"}
        request = urllib.request.Request(self.moto + path, body or None, known, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())


@dataclass(frozen=True)
class Answer:
    """A response over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


def digest(version: str) -> str:
    """Return the digest of a version's image; the version has one digit."""
    return f"sha256:{version * 64}"


def deny(code: str, message: str = "told by AWS") -> Answer:
    """Return a refusal in the JSON protocol of other services."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return Answer(400, {"x-amzn-RequestId": "0", "Content-Type": "application/x-amz-json-1.1"}, body)


def refuse(status: int, code: str, message: str = "told by AWS") -> Answer:
    """Return a refusal in Lambda's REST protocol."""
    body = json.dumps({"Type": "User", "Message": message}).encode()
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": "0", "Content-Type": "application/json"}
    return Answer(status, headers, body)


def _run(function: Function, payload: Any) -> Any:
    try:
        return function.invoke(payload)
    except urllib.error.HTTPError as error:
        # the emulator's answer for a runtime that has ended
        with error:
            return json.loads(error.read())


def _with_revision(answer: Answer) -> Answer:
    """Add a revision id to an alias that changes with it, as Lambda's does and moto's does not."""
    alias = json.loads(answer.body)
    if "FunctionVersion" not in alias:
        return answer
    alias["RevisionId"] = f"revision-of-{alias['FunctionVersion']}"
    return Answer(answer.status, answer.headers, json.dumps(alias).encode())


@contextmanager
def serve(front: Front) -> Iterator[Front]:
    """Serve on a port of this machine, and end the emulators that were started."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = front.answer(self.command, self.path, dict(self.headers), body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    front.port = server.server_port
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        front._stack.close()
