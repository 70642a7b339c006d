"""Guard of a service, around every request: token, size, time, figures, a line in the log, JSON errors."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from daskals.config.serving import Limits
from daskals.serving.web.direct import RECOMMEND, read_directly
from daskals.serving.web.live import Live
from daskals.serving.web.metrics import Metrics
from daskals.serving.web.questions import RecommendQuestion

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_TO_ALL = ("/health", "/docs", "/openapi.json")
"""What needs no token: of the model no more than its name, sizes and scale is told there."""

FAULT = "the service failed; its log tells more"
"""What who asked is told of a fault of ours."""

LOGGER = logging.getLogger("daskals.serve.requests")


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is answered with an error.

    Parameters
    ----------
    status
        Of HTTP.
    text
        What is wrong, for who asked.
    headers
        More headers of the answer.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}


@dataclass
class _Seen:
    """What a request's line in the log tells of its answer."""

    status: int = 0
    bytes: int = 0
    route: str = ""


class Guard:
    """The outermost application.

    Parameters
    ----------
    app
        What answers.
    recommend
        Answers what `read_directly` reads, in its stead.
    limits, token
        What is asked of requests; no token, and none has to be shown.
    live, metrics
        The model in use, and figures.
    """

    def __init__(
        self,
        app: App,
        recommend: Callable[[RecommendQuestion], Awaitable[bytes]],
        *,
        limits: Limits,
        token: str | None,
        live: Live,
        metrics: Metrics,
    ) -> None:
        self._app, self._recommend = app, recommend
        self._limits, self._live, self._metrics = limits, live, metrics
        self._token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen = time.perf_counter(), _Seen()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            else:
                seen.bytes += len(message.get("body", b""))
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._answer(scope, receive, watched, seen)
        finally:
            self._metrics.in_progress.dec()
            self._tell(scope, seen, time.perf_counter() - began)

    async def _answer(self, scope: Message, receive: Receive, send: Send, seen: _Seen) -> None:
        try:
            self._check_token(scope)
            async with asyncio.timeout(self._limits.time_limit):
                body = await self._read(scope, receive)
                question = read_directly(scope, body)
                if question is None:
                    await self._app(scope, _replay(body, receive), send)
                else:
                    seen.route = RECOMMEND
                    await _send_json(send, 200, await self._recommend(question))
        except Refused as refused:
            error = refused
        except TimeoutError:
            error = Refused(504, f"the answer took longer than {self._limits.time_limit:g} s")
        except Exception as fault:  # noqa: BLE001 - no traceback to who asked; the log tells where it was
            error = Refused(500, FAULT)
            LOGGER.error("fault", extra={"error": _place_of(fault)})  # noqa: TRY400
        else:
            return
        if not seen.status:
            await respond(send, error)

    def _check_token(self, scope: Message) -> None:
        path = str(scope["path"])
        if self._token is None or any(path == one or path.startswith(f"{one}/") for one in OPEN_TO_ALL):
            return
        shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(shown, self._token):
            headers = {"www-authenticate": "Bearer"}
            raise Refused(
                401, "found no valid token; expected the header Authorization: Bearer TOKEN", headers
            )

    async def _read(self, scope: Message, receive: Receive) -> bytes:
        """Read the whole body; refuse it as soon as it is too large."""
        most = self._limits.max_body
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        too_large = Refused(413, f"found a body of more than {most:,} bytes", {"connection": "close"})
        if told.isdigit() and int(told) > most:
            raise too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the connection ended inside the body")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise too_large
            if not message.get("more_body", False):
                return b"".join(parts)

    def _tell(self, scope: Message, seen: _Seen, seconds: float) -> None:
        # the route's pattern: an address may hold a user's id
        route = seen.route or getattr(scope.get("route"), "path", "other")
        method = scope["method"] if route != "other" else "any"
        self._metrics.requests.labels(method, route, str(seen.status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if LOGGER.isEnabledFor(logging.INFO):
            LOGGER.info(
                "request",
                extra={
                    "id": uuid.uuid4().hex[:12], "method": method, "route": route, "status": seen.status,
                    "ms": round(1e3 * seconds, 2), "bytes": seen.bytes,
                    "model": self._live.state.answers.name,
                },
            )  # fmt: skip


async def respond(send: Send, error: Refused) -> None:
    """Send an error as JSON."""
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await _send_json(send, error.status, error_body(error.text), headers)


async def _send_json(send: Send, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_body(text: str) -> bytes:
    """Return the body of an error: one object with one line of text."""
    return json.dumps({"error": " ".join(text.split())}).encode()


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _place_of(fault: Exception) -> str:
    """Say what kind of fault it was, and where; not its text, which may quote what was sent."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
    return f"{type(fault).__name__}{place}"
