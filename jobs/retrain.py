"""`python -m jobs.retrain --as-of DATE --data INCOMING`: one night of the batch job."""

from __future__ import annotations

import sys
from typing import Any

import click

from daskals.retrain.config import RetrainConfig
from daskals.retrain.night import INFRASTRUCTURE, NightFolder
from jobs._command import field_options, given, shared_options
from jobs._signals import Command
from jobs._terminal import make_console, say


@click.command(cls=Command)
@field_options(RetrainConfig)
@click.option("--quiet", is_flag=True, help="Print nothing but the report.")
@shared_options(config=True, json_output="Print the report as JSON.", exit_code=INFRASTRUCTURE)
def main(file_options: dict[str, Any], *, quiet: bool, as_json: bool, **options: Any) -> None:
    """Take in new ratings, train from the champion, and publish what is no worse.

    Exit codes: 0 promoted or nothing to do, 10 trained but refused by the gate, 20 data refused, 30 anything
    else (run it again). A date that ended returns its code and does nothing, unless its data were refused and
    the files have changed since. The report goes to stdout, progress to stderr, all of it to
    HOME/nights/DATE.
    """
    config = RetrainConfig.parse({**file_options, **given(options)})
    from daskals.retrain.run import run_night
    from jobs._night_table import print_night
    from jobs._run_display import describe

    def tell(event: Any) -> None:
        if not quiet:
            say(describe(event), err=True)

    outcome, ended_before = run_night(config, (tell,))
    if ended_before:
        say(f"the night of {config.as_of} ended before: nothing was done", err=True)
    if not quiet:
        report = NightFolder.of(config.home, config.as_of).path / "report.html"
        say(f"saved {report}", err=True)
    if as_json:
        say(outcome.to_json(), nl=False)
    else:
        print_night(make_console(), outcome)
    sys.exit(outcome.code)


if __name__ == "__main__":
    main()
