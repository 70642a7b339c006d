"""`python -m jobs.train`: from ratings to a trained, evaluated model."""

from __future__ import annotations

import datetime as dt
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import JobConfig, read_config_file
from jobs._command import field_options, given, guarded

if TYPE_CHECKING:
    from daskals.cluster import Cluster
    from jobs._display import Display

DEFAULT_DATASET = "synthetic-1m"


@click.command()
@field_options(JobConfig)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML or JSON file of options; flags win.",
)
@guarded
def main(config_file: Path | None, **options: Any) -> None:
    """Train a model on ratings, evaluate it, and save it with a report.

    Without --data or --dataset it trains on an embedded synthetic data set.
    """
    values = {} if config_file is None else read_config_file(config_file)
    config = JobConfig.parse({**values, **given(options)})
    # the libraries underneath take seconds to import, which --help and a bad option need not wait for
    from daskals.cluster import connect
    from daskals.store.publish import staged_directory
    from jobs._display import make_display

    _set_log_level(config)
    out = config.out or default_out(config)
    display = make_display(quiet=config.quiet)
    check_out(out, config)
    with (
        display,
        staged_directory(out.absolute(), existing="replace" if config.overwrite else "refuse") as folder,
    ):
        _announce(config, display)
        with connect(config) as cluster:
            if cluster.dashboard_link:
                display.say(f"dashboard {cluster.dashboard_link}")
            report = _train(config, cluster, display, folder)
    display.say(_summary(report, out))


def _train(config: JobConfig, cluster: Cluster, display: Display, folder: Path) -> dict[str, Any]:
    from daskals.fitting import cross_validate, fit

    source = config.dataset or config.data or DEFAULT_DATASET
    if config.split == "kfold" and config.fold is None:
        report = cross_validate(
            source,
            config,
            cluster.client,
            [display],
            lambda fold: display.say(f"fold {fold + 1}/{config.folds}"),
        )
    else:
        model = fit(source, config, cluster.client, [display])
        model.save(folder / "model")
        report = model.report
    (folder / "report.json").write_text(
        json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    return report


def default_out(config: JobConfig) -> Path:
    """Return runs/<UTC time>-<model>."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path("runs") / f"{now}-{config.model}"


def check_out(out: Path, config: JobConfig) -> None:
    """Refuse, before any work, a folder that may not be written."""
    from daskals.errors import OutputError

    if out.is_dir() and not any(out.iterdir()):
        return
    if not out.exists():
        return
    if not config.overwrite:
        raise OutputError(
            "already holds something",
            where=f"--out {out}",
            expected="a folder that is not there yet, or is empty",
            remedy="Choose another, or add --overwrite to replace the run it holds",
        )
    if not (out / "report.json").is_file():
        raise OutputError(
            "is no run",
            where=f"--out {out}",
            expected="the folder of a run, which --overwrite replaces",
            remedy="Choose another folder",
        )


def _announce(config: JobConfig, display: Display) -> None:
    if config.data is None and config.dataset is None:
        display.say(
            f"no data named: training on the embedded {DEFAULT_DATASET}; "
            "name your own ratings with --data PATH or --dataset NAME"
        )


def _summary(report: dict[str, Any], out: Path) -> str:
    if "folds" in report:
        mean, deviation = report["test_rmse_mean"], report["test_rmse_deviation"]
        return f"test RMSE {mean:.5f} ± {deviation:.5f} over {len(report['folds'])} folds\nsaved {out}"
    lines = [f"train RMSE {report['train_rmse']:.5f}"]
    if report["test_rmse"] is not None:
        lines.append(
            f"test RMSE {report['test_rmse']:.5f} (clipped {report['test_rmse_clipped']:.5f}, "
            f"MAE {report['test_mae']:.5f}) on {report['n_test']:,} ratings"
        )
    seconds, rate = report["epoch_seconds_median"], report["ratings_per_second"]
    lines += [f"{seconds:.3f} s an epoch, {rate / 1e6:.1f} M ratings/s", f"saved {out}"]
    return "\n".join(lines)


def _set_log_level(config: JobConfig) -> None:
    logging.basicConfig(
        level=getattr(logging, config.log_level.upper()), format="%(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(capture=True)


if __name__ == "__main__":
    main()
