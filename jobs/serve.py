"""`python -m jobs.serve MODEL`: recommendations, reasons and predictions over HTTP, for other programs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.cluster.interruption import end_at_once
from daskals.config.serving import Limits
from daskals.errors import ConfigError
from daskals.plots.requirements import require
from jobs._command import field_options, given, model_argument, shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from types import FrameType

    from daskals.serving.web.live import Live

TOKEN = "DASKALS_TOKEN"  # noqa: S105 - the name of a variable
BACKLOG = 2048


@click.command(cls=Command)
@model_argument
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen at; any but this machine's own asks for a token.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
              help="Port; 0 takes any that is free.")  # fmt: skip
@field_options(Limits)
@click.option("--quiet", is_flag=True, help="No line in the log for each request.")
@click.option("--openapi", "document", type=click.Path(path_type=Path),
              help="Write the service's OpenAPI document to this file, and serve nothing.")  # fmt: skip
@shared_options()
def main(model: str, host: str, port: int, document: Path | None, *, quiet: bool, **options: Any) -> None:
    """Answer requests about MODEL until Ctrl-C; the page /docs tells what can be asked.

    A model that is published meanwhile is taken up without an error. Where the environment variable
    DASKALS_TOKEN is set, requests have to show it: Authorization: Bearer TOKEN.
    """
    limits = Limits.parse(given(options))
    token = os.environ.get(TOKEN) or None
    if token is None and not _is_loopback(host):
        raise ConfigError(
            f"found {host}, where other machines reach it, and no token",
            where="--host",
            expected=f"127.0.0.1, or a token in the environment variable {TOKEN}",
        )
    _require_extra()
    from daskals.serving.web.live import Live, spare_what_lasts

    live = Live(model, spare_what_lasts)
    if document is not None:
        from daskals.serving.web.service import openapi
        from jobs._json_file import write_json

        write_json(document, openapi(live))
        say(f"saved {document}")
    else:
        _serve(live, limits, token, _listen(host, port), quiet=quiet)


def _serve(live: Live, limits: Limits, token: str | None, listening: socket.socket, *, quiet: bool) -> None:
    import uvicorn

    from daskals.serving.web.log import log_to_stderr
    from daskals.serving.web.service import make_service

    log_to_stderr(requests=not quiet)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        make_service(live, limits, token),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is told to nobody
    )
    say(f"serving {live.state.answers.name} at http://{shown}:{port}, its page is /docs")

    class Server(uvicorn.Server):
        """Waits for requests that are under way when it is told to end; not where it is told twice."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.should_exit:
                end_at_once()
            super().handle_exit(sig, frame)

    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listening])
    say("stopped")


def _listen(host: str, port: int) -> socket.socket:
    """Take the address before anything is said of it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}, port {port} ({error.strerror or error})",
            where="--host",
            expected="an address of this machine and a port that is free",
            remedy="Name another with --port; 0 takes any that is free",
        ) from None


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _require_extra() -> None:
    for library in ("fastapi", "uvicorn", "prometheus_client", "swagger_ui_bundle"):
        require(library, "serve")


if __name__ == "__main__":
    main()
