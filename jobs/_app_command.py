"""`daskals app [MODEL]`: the app's page by Streamlit, for this machine alone unless a host is named."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from daskals.plots.requirements import require
from jobs._command import MODEL_HELP, shared_options
from jobs._signals import Command
from jobs._terminal import say


@click.command(cls=Command, epilog=MODEL_HELP)
@click.argument("model", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0: all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="Port.")
@click.option("--headless", is_flag=True, help="Open no browser.")
@shared_options()
def main(model: str | None, host: str, port: int, *, headless: bool) -> None:
    """Show the app: rate titles, see recommendations that follow, and why.

    Without MODEL it trains one on embedded ratings first.
    """
    require("streamlit", "app")
    from streamlit.web import cli

    page = str(Path(__file__).resolve().parent / "app.py")
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": str(headless).lower(),
        "server.showEmailPrompt": "false",  # who starts it for the first time would be asked for an address
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    sys.argv = ["streamlit", "run", page, *flags, *(["--", model] if model else [])]
    say(f"the app will be at http://{host}:{port or '…'}; Ctrl-C ends it", err=True)
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
