"""One night, from what came in to what is published. Every step is done once, however often it is run.

What a step leaves is there whole or not at all and found again by the next run of the same date: the store's
version by its date, checkpoints and models by their folders, the registry's version by its content.
"""

from __future__ import annotations

from dataclasses import asdict

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.errors import ConfigError, DataError, NumericalError, OutputError
from daskals.ratings.dates import last_moment
from daskals.ratings.split import SplitSpec
from daskals.retrain.config import RetrainConfig
from daskals.retrain.context import Context, EndedError, begin
from daskals.retrain.ingestion import take_in
from daskals.retrain.initial_state import Target
from daskals.retrain.new_ratings import file_digests
from daskals.retrain.night import (
    INFRASTRUCTURE,
    JUDGED_FILES,
    PROMOTED,
    REFUSED_DATA,
    REFUSED_MODEL,
    Check,
    NightFolder,
    Outcome,
)
from daskals.retrain.promotion import check_promotion, finite_check
from daskals.retrain.publication import publish, recommend
from daskals.retrain.report import write_reports
from daskals.retrain.training import train_challenger, train_final
from daskals.store.lock import FolderLock, read_owner
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.store.versions import collect_versions, open_latest
from daskals.training.event_log import LOG, EventLog
from daskals.training.events import Callback, Notice
from daskals.training.features import resolve_model

LOCK = "retrain.lock"
AGAIN = "run the same date again, it goes on where it stopped"


def run_night(config: RetrainConfig, callbacks: tuple[Callback, ...] = ()) -> tuple[Outcome, bool]:
    """Run the night of a date, or take it up where an earlier run was cut off.

    Returns how it ended, and whether it had ended before, so that nothing was done; a night whose data were
    refused runs again where its files have changed since. Raises DaskalsError for
    anything that is neither the data's nor the model's fault. Nothing is lost: run it again.
    """
    last_moment(config.as_of)  # what is no date is said so first
    folder = NightFolder.of(config.home, config.as_of)
    ended = folder.outcome()
    if ended is not None and not _may_differ(config, folder, ended):
        return ended, True
    folder.make()
    try:
        return _run_locked(config, folder, callbacks)
    except OSError as error:
        raise OutputError(
            f"the night was cut off ({error.strerror or error})",
            where=str(error.filename or folder.path),
            expected="disks that can be read and written, with room",
            remedy="Put that right and run the same date again: it goes on where it stopped",
        ) from error


def _run_locked(
    config: RetrainConfig, folder: NightFolder, callbacks: tuple[Callback, ...]
) -> tuple[Outcome, bool]:
    lock = config.home.absolute() / LOCK
    before = read_owner(lock)
    with FolderLock(lock) as held:
        ended = folder.outcome()
        again = ended is not None and _may_differ(config, folder, ended)
        if ended is not None and not again:  # somebody else did it while this one waited for the folder
            return ended, True
        log = EventLog(folder.path / LOG, callbacks)
        if again:
            folder.forget()
        with log.run(f"night of {config.as_of}", again=AGAIN, failure=INFRASTRUCTURE):
            if again:
                log(Notice("the files that were refused have changed since: the night runs again"))
            if before is not None:
                text = f"took the lock over from process {before['pid']} on {before['host']}, which is dead"
                log(Notice(text))
            try:
                outcome = _steps(begin(config, folder, log, held.check))
            except EndedError as end:
                outcome = end.outcome
            write_reports(folder.path, outcome)
            held.check()
            folder.write("outcome.json", asdict(outcome))
            log.ended(outcome.code, outcome.summary)
    return outcome, False


def _may_differ(config: RetrainConfig, folder: NightFolder, ended: Outcome) -> bool:
    """Tell whether a night whose data were refused would find other files now."""
    if ended.code != REFUSED_DATA:
        return False
    judged = folder.read(JUDGED_FILES)
    try:
        return judged is not None and judged != file_digests(config.data)
    except ConfigError:
        return False


def _steps(night: Context) -> Outcome:
    """Do what is not done yet."""
    checks = take_in(night)
    store = open_latest(night.store_path)
    with connect(night.config) as cluster:
        outcome = _train_and_publish(night, cluster, store, checks)
    if night.config.keep_versions is not None:
        collect_versions(night.store_path, night.config.keep_versions)
    return outcome


def _train_and_publish(night: Context, cluster: Cluster, store: RatingsStore, checks: list[Check]) -> Outcome:
    config = resolve_model(store, night.config.training(night.config.epochs))
    spec = SplitSpec(method="recent", test_fraction=night.config.holdout, since=night.begun.since)
    try:
        split = ensure_split(store, spec)
    except DataError:
        text = "too few new ratings to judge a model by: they are judged with the next night's"
        return night.outcome(PROMOTED, text, checks=checks)
    target = Target(store, split, config)
    try:
        challenger, spent = train_challenger(night, cluster, target, spec)
        night.log.phase("judge")
        figures, gate = check_promotion(night.config, target, challenger, night.champion)
        figures["challenger_training"] = spent
        model = challenger
        if all(check.passed for check in gate):
            model, figures["final_training"] = train_final(night, cluster, store, config, challenger)
            gate.append(finite_check(model, "values not finite after the final epochs"))
    except NumericalError as error:
        return night.outcome(REFUSED_MODEL, error.for_command(), checks=checks)
    passed = all(check.passed for check in gate)
    night.log.phase("publish")
    version = publish(night, model, store, figures, promotes=passed)
    checks = [*checks, *gate]
    if not passed:
        reasons = "; ".join(f"{check.name}: {check.reason}" for check in gate if not check.passed)
        return night.outcome(REFUSED_MODEL, f"{version} was refused: {reasons}", version, figures, checks)
    if night.config.recommend != "none":
        night.log.phase("recommend")
        figures["lists"] = recommend(night, cluster, store)
    return night.outcome(PROMOTED, f"promoted {version}", version, figures, checks)
