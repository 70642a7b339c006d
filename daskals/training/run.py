"""The folder of a run, while it is under way and after: lock, checkpoints, then model and report.

OUT/run.lock             owner of the folder, while the run is under way
OUT/checkpoints/         the last two states, see `daskals.store.checkpoint_files`
OUT/model/               the model, there whole or not at all
OUT/report.json          the report; a folder that has one holds a run that ended
OUT/log.jsonl            what happened, a line an event
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from daskals.errors import ANOTHER_NAME, OutputError
from daskals.store.atomic_file import write_text_whole
from daskals.store.checkpoint_files import all_states
from daskals.store.lock import FolderLock, refuse_if_owned
from daskals.training.checkpoint import Checkpoints
from daskals.training.event_log import LOG, EventLog
from daskals.training.events import Callback

CHECKPOINTS = "checkpoints"
LOCK = "run.lock"
MODEL = "model"
REPORT = "report.json"


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing of it shapes the numbers.

    `checkpoints`: where its states are kept, or None; `ratings_memory`: bytes each worker process may use
    for ratings, or None for half of its machine's memory; `numba_threads`: threads inside a block; above 1,
    every worker has one Dask thread.
    """

    checkpoints: Checkpoints | None = None
    ratings_memory: int | None = None
    numba_threads: int = 1

    def part(self, name: str) -> RunOptions:
        """Return the options of one training among several of the same run."""
        if self.checkpoints is None:
            return self
        return replace(self, checkpoints=self.checkpoints.part(name))


NO_OPTIONS = RunOptions()
"""No checkpoints, and half of each machine's memory."""


class RunFolder:
    """A run's folder, made on entry and owned by this process as long as the context lasts.

    A run that fails before its first checkpoint leaves the folder as it was, or none. Raises OutputError if
    the folder cannot be written or another process owns it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = FolderLock(self.path / LOCK)
        self._made: list[Path] = []
        self._of_before: set[tuple[int, int]] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(self._lock)
            self._of_before = self._states()
        except OSError as error:
            self._remove_made()
            raise OutputError.unwritable("folder", self.path, error, remedy=ANOTHER_NAME) from error
        except BaseException:
            self._remove_made()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with suppress(OSError):
                (self.path / CHECKPOINTS).rmdir()  # stays if it holds something
        self._stack.close()
        if kind is not None:
            if [path.name for path in self.path.iterdir()] == [LOG]:
                (self.path / LOG).unlink()
            self._remove_made()

    @property
    def can_resume(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return bool(all_states(self.path / CHECKPOINTS))

    @property
    def has_saved(self) -> bool:
        """Whether there is a checkpoint that was not there on entry, so of this run and not one of before."""
        return bool(self._states() - self._of_before)

    def checkpoints(self, every: int, *, resume: bool) -> Checkpoints:
        """Return the run's checkpoints."""
        return Checkpoints(self.path / CHECKPOINTS, every, resume=resume, before_saving=self._lock.check)

    def log(self, listeners: Sequence[Callback] = ()) -> EventLog:
        """Return the run's log; a callback that also tells others."""
        return EventLog(self.path / LOG, listeners)

    def publish(self, save_model: Callable[[Path], None] | None, report: str) -> None:
        """Put model and report in place, each whole.

        The old report goes first and the new one comes last: a folder with a report holds its model.
        """
        self._lock.check()
        with suppress(FileNotFoundError):
            (self.path / REPORT).unlink()
        if save_model is None:
            shutil.rmtree(self.path / MODEL, ignore_errors=True)
        else:
            save_model(self.path / MODEL)
        write_text_whole(self.path / REPORT, report)

    def _states(self) -> set[tuple[int, int]]:
        """Tell states apart, of the same epoch too: a state's folder is made anew and never written again."""
        found = [state.stat() for state in all_states(self.path / CHECKPOINTS)]
        return {(stat.st_ino, stat.st_mtime_ns) for stat in found}

    def _remove_made(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return


def check_target(path: Path, *, may_resume: bool, may_replace: bool) -> None:
    """Refuse, before any work, a folder that may not be written.

    Raises OutputError if it holds something that is no run, a run that may not be touched, or one that is
    under way.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir() or not is_run(path):
        replaced = may_resume or may_replace
        raise OutputError(
            "is no run" if replaced else "already holds something",
            where=str(path),
            expected="the folder of a run" if replaced else "a folder that is not there yet, or is empty",
            remedy="Choose another folder",
        )
    refuse_if_owned(path / LOCK)
    if may_resume or may_replace:
        return
    ended = (path / REPORT).is_file()
    raise OutputError(
        "already holds something" if ended else "already holds a run that did not end",
        where=str(path),
        expected="a folder that is not there yet, or is empty",
        remedy="Choose another, or add --overwrite to replace the run it holds"
        + ("" if ended else ", or --resume to continue it"),
    )


def is_run(path: Path) -> bool:
    """Tell whether a folder is that of a run, ended or not."""
    return any((path / name).exists() for name in (REPORT, LOCK, CHECKPOINTS))
