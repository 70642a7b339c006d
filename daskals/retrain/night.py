"""Files of a night: what it leaves on the disk, and what it comes to.

HOME/store/                   the ratings, a version a night
HOME/registry/                the models, unless they are elsewhere
HOME/retrain.lock             who is at work
HOME/nights/<date>/
  begun.json                  what the night started from: pinned, so that a rerun does the same
  files.json                  which files came in, by their checksums
  intake.json                 how they were judged
  challenger/, model/         the model that was judged, the one that was published
  checkpoints/                of both trainings
  recommendations/            Parquet parts
  log.jsonl                   what happened, a line an event
  report.{json,md,html}       what a person is told
  outcome.json                the exit code; a night that has one has ended
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from daskals.errors import OutputError
from daskals.store.atomic_file import write_text_whole

JUDGED_FILES = "files.json"

PROMOTED, REFUSED_MODEL, REFUSED_DATA, INFRASTRUCTURE = 0, 10, 20, 30
"""Exit codes: promoted or nothing to do, trained but refused, data refused, anything else."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What.
    value, limit
        What was found, and what it had to keep to; None where that does not apply.
    at_least
        Whether the limit is the lowest that passes; else it is the highest.
    passed
        Whether it did.
    reason
        Why not, a clause; where it passed what else to know, mostly nothing.
    """

    name: str
    value: float | None
    limit: float | None
    passed: bool
    reason: str = ""
    at_least: bool = False

    def of(self, file: str) -> Check:
        """Return the same check, which if it failed says of which file."""
        return self if self.passed else replace(self, reason=f"{self.reason} (in {file})")


def at_most(name: str, value: float, limit: float, reason: str) -> Check:
    """Return the check that a value is not above its limit; `reason` is told if it is."""
    passed = value <= limit
    return Check(name=name, value=value, limit=limit, passed=passed, reason="" if passed else reason)


def at_least(name: str, value: float, limit: float, reason: str) -> Check:
    """Return the check that a value is not below its limit; `reason` is told if it is."""
    passed = value >= limit
    why = "" if passed else reason
    return Check(name=name, value=value, limit=limit, passed=passed, reason=why, at_least=True)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a night ended.

    Attributes
    ----------
    as_of, code
        Its date; 0 promoted or nothing to do, 10 trained but refused by the gate, 20 data refused.
    summary, version
        One sentence; version that was trained, or None.
    champion, figures
        Champion at the end of the night, or None; what was measured.
    checks
        What was looked at.
    """

    as_of: str
    code: int
    summary: str
    version: str | None = None
    champion: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def to_json(self) -> str:
        """Return the outcome as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for figures in values.get("figures", {}).values():
            if isinstance(figures, dict) and "coverage" in figures:  # as it was called before
                figures["reach"] = figures.pop("coverage")
        return cls(**{**values, "checks": [Check(**check) for check in values["checks"]]})


@dataclass(frozen=True)
class NightFolder:
    """The folder of one night."""

    path: Path

    @classmethod
    def of(cls, home: Path, as_of: str) -> NightFolder:
        """Return the folder of a date's night, which need not exist yet."""
        return cls(home.absolute() / "nights" / night_name(as_of))

    def make(self) -> None:
        """Make the folder, if need be; raise OutputError if it cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError.unwritable("folder", self.path, error) from error

    def outcome(self) -> Outcome | None:
        """Return how the night ended, None while it has not."""
        text = self._read("outcome.json")
        return None if text is None else Outcome.from_json(text)

    def forget(self) -> None:
        """Let the night begin anew; until its outcome goes, the last, it has ended.

        Raises OutputError if a file cannot be removed.
        """
        for name in ("begun.json", "intake.json", "outcome.json"):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError.unwritable("file", self.path / name, error) from error

    def read(self, name: str) -> dict[str, Any] | None:
        """Return one of the night's JSON files, or None where it is not there yet."""
        text = self._read(name)
        return None if text is None else dict(json.loads(text))

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write one of the night's JSON files, whole or not at all."""
        write_text_whole(self.path / name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def _read(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OutputError.unreadable(self.path / name, error) from error


def night_name(as_of: str) -> str:
    """Return what a date or moment is called in names of folders and versions."""
    return re.sub(r"[^0-9A-Za-z]+", "-", as_of).strip("-")
