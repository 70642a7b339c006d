"""`python -m jobs.train`: from ratings to a trained, evaluated model."""

from __future__ import annotations

import datetime as dt
import functools
import json
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskals.config import JobConfig
from daskals.errors import DaskalsError
from jobs._command import field_options, given, shared_options
from jobs._pause_hook import PauseHook
from jobs._signals import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daskals.cluster.workers import Cluster
    from daskals.ingest import RatingsSource
    from daskals.training.event_log import EventLog
    from daskals.training.events import Callback
    from daskals.training.run import RunFolder
    from jobs._run_display import Display

DEFAULT_DATASET = "synthetic-1m"
AGAIN = "run the same command with --resume, it goes on from the last checkpoint"


@click.command(cls=Command)
@field_options(JobConfig)
@shared_options(config=True)
def main(file_options: dict[str, Any], **options: Any) -> None:
    """Train a model on ratings, evaluate it, and save it with a report.

    Without --data or --dataset it trains on an embedded synthetic data set.
    """
    config = JobConfig.parse({**file_options, **given(options)})
    if config.cpu is not None:
        from daskals.kernels.toolkit.target import select_target

        select_target(config.cpu)  # before Numba is imported
    # the libraries underneath take seconds to import, which --help and a bad option need not wait for
    from daskals.cluster.connect import connect
    from daskals.ratings.notes import kept_notes
    from daskals.training.run import RunFolder, check_target
    from jobs._run_display import make_display

    _set_log_level(config)
    out = config.out or default_out(config)
    pause = PauseHook.from_environment(out)
    display = make_display(quiet=config.quiet)
    check_target(out, may_resume=config.resume, may_replace=config.overwrite)
    with display, RunFolder(out) as folder:
        _announce(config, display, folder)
        log = folder.log([display])
        for hook in pause:
            hook.tell = log
        try:
            with log.run(f"training {out}", again=AGAIN), _ahead(config), connect(config) as cluster:
                if cluster.dashboard_link:
                    display.say(f"dashboard {cluster.dashboard_link}")
                with kept_notes() as notes:
                    report = _train(config, cluster, log, pause, folder)
                log.ended(0, "; ".join(_accuracy(report)))
        except (DaskalsError, KeyboardInterrupt):
            if folder.has_saved or (config.resume and folder.can_resume):
                display.say(f"the run can be continued: --resume --out {out}")
            raise
    doubts = [f"as it was read: {note.text}" for note in notes if note.doubt]
    display.say("\n".join([*_accuracy(report), *_speed(report), *doubts, f"saved {out}"]))


def _train(
    config: JobConfig, cluster: Cluster, log: EventLog, pause: Sequence[Callback], folder: RunFolder
) -> dict[str, Any]:
    from daskals.fitting.fit import cross_validate, fit
    from daskals.training.events import Notice
    from daskals.training.run import RunOptions

    source = _source(config)
    checkpoints = folder.checkpoints(config.checkpoint_every, resume=config.resume)
    options = RunOptions(checkpoints, config.ratings_memory, config.numba_threads)
    callbacks = [log, *pause]
    if config.split == "kfold" and config.fold is None:

        def begin_fold(fold: int) -> None:
            log.training(f"fold {fold + 1}/{config.folds}")
            log(Notice(f"fold {fold + 1}/{config.folds}"))

        report = cross_validate(source, config, cluster.client, callbacks, begin_fold, options)
        save = None
    else:
        model = fit(source, config, cluster.client, callbacks, options)
        report = model.report
        save = functools.partial(model.save, existing="replace")
    folder.publish(save, json.dumps(report, indent=2, allow_nan=False) + "\n")
    return report


def _ahead(config: JobConfig) -> AbstractContextManager[None]:
    """Let other processes compile beside a training, where there are cores for it."""
    from daskals.cluster.connect import available_cores
    from daskals.fitting.ahead import compiled_ahead, kind_of

    kind, others = kind_of(config), available_cores() - 1
    if kind is None or config.scheduler is not None or not others:
        return nullcontext()
    return compiled_ahead(kind, config.effective_rank, others)


def _source(config: JobConfig) -> RatingsSource:
    if config.store_url is None:
        return config.dataset or config.data or DEFAULT_DATASET
    from daskals.ingest import job_store

    return job_store(config, DEFAULT_DATASET)


def default_out(config: JobConfig) -> Path:
    """Return runs/<UTC time>-<model>."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path("runs") / f"{now}-{config.model}"


def _announce(config: JobConfig, display: Display, folder: RunFolder) -> None:
    if config.resume and not folder.can_resume:
        display.say(f"{folder.path} has no checkpoint: beginning with the first epoch")
    if config.data is None and config.dataset is None and config.store_url is None:
        display.say(
            f"no data named: training on the embedded {DEFAULT_DATASET}; "
            "name your own ratings with --data PATH or --dataset NAME"
        )


def _accuracy(report: dict[str, Any]) -> list[str]:
    if "folds" in report:
        mean, deviation = report["test_rmse_mean"], report["test_rmse_deviation"]
        return [f"test RMSE {mean:.5f} ± {deviation:.5f} over {len(report['folds'])} folds"]
    if report["train_rmse"] is None:
        lists = "how good its lists are tells `daskals evaluate RUN --ranking`"
        return [f"objective {report['objective']:,.2f}; clicks have no rating to be wrong about: {lists}"]
    lines = [f"train RMSE {report['train_rmse']:.5f}"]
    judged = report.get("judged", report)
    if judged["test_rmse"] is not None:
        lines.append(
            f"test RMSE {judged['test_rmse']:.5f} (clipped {judged['test_rmse_clipped']:.5f}, "
            f"MAE {judged['test_mae']:.5f}) on {judged['n_test']:,} ratings"
        )
    if "judged" in report:
        lines.append(f"then trained on all {report['data']['n_train']:,} ratings, those of the test as well")
    held_out, lost = (report["data"].get(name, 0) for name in ("held_out_users", "untestable_users"))
    if held_out:
        lines.append(
            f"{held_out:,} users were held out and folded in with 80 % of their ratings"
            + (f"; {lost:,} have one rating and cannot be tested" if lost else "")
        )
    from daskals.fitting.baseline import better_than_biases
    from daskals.fitting.mixing import mixing_lines

    compared = better_than_biases(report)
    if compared is not None:
        lines.append(compared)
    return lines + mixing_lines(report)


def _speed(report: dict[str, Any]) -> list[str]:
    if "folds" in report:
        return []
    seconds, rate = report["epoch_seconds_median"], report["ratings_per_second"]
    return [f"{seconds:.3f} s an epoch, {rate / 1e6:.1f} M ratings/s"]


def _set_log_level(config: JobConfig) -> None:
    logging.basicConfig(
        level=getattr(logging, config.log_level.upper()), format="%(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(capture=True)


if __name__ == "__main__":
    main()
