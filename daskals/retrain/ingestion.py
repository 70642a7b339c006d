"""Ingestion, a night's first step: what is new is read, validated and stored, or the night ends."""

from __future__ import annotations

from daskals.errors import DataError
from daskals.ingest import first_lineage
from daskals.retrain.context import Context, EndedError
from daskals.retrain.new_ratings import Incoming, file_digests, read_incoming
from daskals.retrain.night import JUDGED_FILES, PROMOTED, Check
from daskals.retrain.validation import validate
from daskals.store.append import append
from daskals.store.reader import RatingsStore, open_store
from daskals.store.versions import is_store, open_latest
from daskals.store.writer import write_store
from daskals.training.events import Notice

REMEDY = "Put the file right or take it away, and run this date again, or leave it to the next night"


def take_in(night: Context) -> list[Check]:
    """Read, validate and store what is new, once; return what was looked at.

    Raises EndedError if the data may not be used, or nothing is new.
    """
    stored = night.folder.read("intake.json")
    if stored is not None and _is_taken_in(night):
        return [Check(**check) for check in stored["checks"]]
    base = None if night.begun.store is None else open_store(night.begun.store)
    try:
        night.log.phase("take in")
        # before they are read: what changes from here on is not what was judged
        digests = file_digests(night.config.data)
        night.folder.write(JUDGED_FILES, digests)
        incoming = read_incoming(night.config, base, digests)
        if incoming is not None and incoming.table.n_later:
            n_later, first = incoming.table.n_later, incoming.table.first_later
            left_out = (
                f"{n_later:,} {'row is' if n_later == 1 else 'rows are'} later than {night.config.as_of}"
            )
            night.log(Notice(f"{left_out}, the first in {first}: left for the next night"))
        if incoming is None or not incoming.n_new:
            return _nothing_new(night, base)
        night.log.phase("validate")
        checks = validate(night.config, incoming, base, night.champion)
        failed = [check for check in checks if not check.passed]
        if failed:
            reasons = "; ".join(f"{check.name} {_shown(check)}: {check.reason}" for check in failed)
            raise night.refused(f"{reasons}. {REMEDY}.", checks)
        content = {"n_new": incoming.n_new, "checks": [vars(check) for check in checks]}
        night.folder.write("intake.json", content)
        _store(night, incoming, base)
    except DataError as error:
        raise night.refused(error.for_command(), []) from error
    return checks


def _nothing_new(night: Context, base: RatingsStore | None) -> list[Check]:
    """End the night, unless ratings of earlier nights still wait to be judged."""
    if base is not None and base.manifest.n_input > night.begun.since:
        return []
    raise EndedError(night.outcome(PROMOTED, "nothing new came in"))


def _is_taken_in(night: Context) -> bool:
    if not is_store(night.store_path):
        return False
    latest = open_latest(night.store_path)
    return latest.path != night.begun.store and latest.lineage.get("as_of") == night.config.as_of


def _store(night: Context, incoming: Incoming, base: RatingsStore | None) -> None:
    night.check_lock()
    as_of = night.config.as_of
    if base is None:
        write_store(incoming.table, night.store_path, lineage=first_lineage(as_of))
    else:
        append(night.store_path, incoming.table, duplicates=night.config.duplicates, as_of=as_of)


def _shown(check: Check) -> str:
    value = "unknown" if check.value is None else f"{check.value:.4g}"
    return f"{value} (limit {check.limit:.4g})" if check.limit is not None else value
