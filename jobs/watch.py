"""`python -m jobs.watch RUN`: how a run stands, for a person who comes late."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs._command import shared_options
from jobs._signals import Command
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.training.watching import Status


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--every", default=2.0, show_default=True, type=click.FloatRange(0.05), help="Seconds between.")
@shared_options(json_output="Print JSON, one line each time.")
def main(run: Path, *, follow: bool, every: float, as_json: bool) -> None:
    """Tell at which phase and epoch RUN is, its RMSE so far and the time left.

    RUN is the folder of a training run, of a night, or the home of the nightly job (then its last night).
    Exit code 0, or 1 where the run failed or its process is gone.
    """
    from dataclasses import asdict

    from daskals.training.watching import find_log, status_of

    while True:
        status = status_of(find_log(run))
        say(json.dumps(asdict(status)) if as_json else _shown(status))
        if not follow or status.state != "running":
            sys.exit(status.state in ("failed", "gone"))
        time.sleep(every)


def _shown(status: Status) -> str:
    lines = [f"{status.run}: {status.state}, {_duration(status.seconds)}"]
    if status.state in ("ended", "failed"):
        code = "" if status.code is None else f"code {status.code}: "
        lines.append(f"  {code}{status.summary}")
    else:
        named = f" of the {status.training}" if status.training else ""
        lines.append(f"  phase {status.phase}{named}")
        if status.epoch:
            rmse = f", train RMSE {status.train_rmse:.5f}" if status.train_rmse is not None else ""
            if status.validation_rmse is not None:
                rmse += f", validation RMSE {status.validation_rmse:.5f}"
            lines.append(f"  epoch {status.epoch}/{status.epochs}{rmse}")
        if status.seconds_left is not None:
            lines.append(f"  about {_duration(status.seconds_left)} of training left")
    if status.state in ("failed", "gone"):
        lines.append(f"  {status.again}")
    return "\n".join([*lines, *(f"  {notice}" for notice in status.notices)])


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


if __name__ == "__main__":
    main()
