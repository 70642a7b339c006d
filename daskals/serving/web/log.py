"""Log of a service: one JSON object a line, of requests and models, never of ratings or of who asked."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys

FIELDS = ("id", "method", "route", "status", "ms", "bytes", "model", "why", "error")
"""What a line may tell beside its time, level and event."""


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC)
        content = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        content |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        return json.dumps(content)


def log_to_stderr(*, requests: bool) -> None:
    """Write the service's log to standard error; `requests` tells whether each request has its line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("daskals.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name.startswith("daskals") else logging.WARNING)
    logging.getLogger("daskals.serve.requests").setLevel(logging.INFO if requests else logging.WARNING)
