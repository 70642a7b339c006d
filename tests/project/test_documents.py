"""The documents keep their word: links, commands, options, files and names in Markdown are there."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT

FOLDERS = ("daskals", "docker", "jobs", "notebooks", "tests")
MOST_LINES = 175
"""Of README.md: what takes longer to tell has a document of its own."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
COMMAND = re.compile(r"(?:jobs|daskals)\.(\w+)|jobs/(\w+)\.py")
FLAG = re.compile(r"--[a-z][a-z0-9-]*")
DOTTED = re.compile(r"(?<![\w./-])daskals(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"(?<![\w./{}<-])[\w.-]+(?:/[\w.-]+)+\.(?:py|md|sh|toml|yaml|lock|ipynb|png)\b")
BELOW = re.compile(rf"({'|'.join(FOLDERS)})/[\w./-]*")
ENDS = {"&&", "||", ";", "|", ">", "<", "&"}


@cache
def texts() -> dict[str, str]:
    """Return all Markdown there is by its path: documents, and the words in notebooks."""
    found = [*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))]
    named = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        words = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        named[str(path.relative_to(ROOT))] = "\n\n".join(words)
    return named


def faults(where: str, text: str) -> list[str]:
    """Return what a document promises that is not there."""
    return [
        *broken_links(where, text),
        *broken_files(where, text),
        *broken_commands(text),
        *broken_names(text),
    ]


# --- links and files ---------------------------------------------------------------------------------------


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    found: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(prose(text)):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found[plain] = found.get(plain, -1) + 1
        names.add(f"{plain}-{found[plain]}" if found[plain] else plain)
    return names


def broken_links(where: str, text: str) -> list[str]:
    found = []
    plain = INLINE.sub("", prose(text))
    for target in [*LINK.findall(plain), *REFERENCE.findall(plain)]:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / where).parent / name if name else ROOT / where
        if not path.exists():
            found.append(f"link {target}: no such file")
        elif anchor and anchor not in anchors(text if not name else path.read_text(encoding="utf-8")):
            found.append(f"link {target}: no such heading")
    return found


def broken_files(where: str, text: str) -> list[str]:
    """Return the files named by a path that is none, from the document's folder or from the top."""
    places = ((ROOT / where).parent, ROOT)
    named = set(FILE.findall(LINK.sub("", text)))
    named |= {name for name in INLINE.findall(prose(text)) if BELOW.fullmatch(name)}
    return [
        f"file {name}: there is none"
        for name in sorted(named)
        if not is_placeholder(name) and not any((place / name).exists() for place in places)
    ]


def is_placeholder(name: str) -> bool:
    """Tell whether a path stands for others: `path/to/…`, `OUT/run.lock`, `jobs/NAME.py`."""
    path = Path(name)
    parts = path.parts[:-1] if path.suffix == ".md" else (*path.parts[:-1], path.stem)
    return parts[0] == "path" or any(part.isupper() for part in parts)


# --- commands ----------------------------------------------------------------------------------------------


def command_lines(text: str) -> list[list[str]]:
    """Return the words of every line that names a command of ours, from that name to its end."""
    lines = []
    for language, body in FENCE.findall(text):
        if language == "sh":
            lines += body.replace("\\\n", " ").splitlines()
    lines += [" ".join(code.split()) for code in INLINE.findall(prose(text))]
    found = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            words = line.split()
        for start, word in enumerate(words):
            previous = words[start - 1] if start else ""
            if word.startswith("jobs") and COMMAND.fullmatch(word) and previous in ("", "-m", "run", *ENDS):
                found.append(words[start : stop_of(words, start)])
            elif word == "daskals" and previous in ("", "-m", *ENDS):
                own = words[start : stop_of(words, start)]
                if own[1:] and own[1].isidentifier():
                    found.append([f"daskals.{own[1]}", *own[2:]])
    return found


def stop_of(words: list[str], start: int) -> int:
    return next((place for place in range(start, len(words)) if words[place] in ENDS), len(words))


@cache
def command_of(name: str) -> click.Command:
    """Return a job's click command; the app's is the one that starts its page."""
    return importlib.import_module("jobs._app_command" if name == "app" else f"jobs.{name}").main


def flags_of(command: click.Command) -> set[str]:
    found = {"--help"}
    for parameter in command.params:
        found |= {flag for flag in (*parameter.opts, *parameter.secondary_opts) if flag.startswith("--")}
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        found |= flags_of(inner)
    return found


@cache
def all_flags() -> set[str]:
    names = [path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")]
    return {flag for name in names for flag in flags_of(command_of(name))}


def broken_commands(text: str) -> list[str]:
    found = []
    for words in command_lines(text):
        name = next(part for part in COMMAND.fullmatch(words[0]).groups() if part)
        said = " ".join(words)
        if name.isupper():
            continue
        if not (ROOT / "jobs" / f"{name}.py").is_file():
            found.append(f"{said}: there is no jobs.{name}")
            continue
        if name == "app" and not words[0].startswith("daskals"):
            if "/" not in words[0]:
                found.append(f"{said}: the app is run by streamlit, or by daskals app")
            continue
        found += wrong_flags(said, command_of(name), words)
    for code in INLINE.findall(prose(text)):
        if FLAG.match(code):
            found += [f"no command has {flag}" for flag in FLAG.findall(code) if flag not in all_flags()]
    return found


def wrong_flags(said: str, command: click.Command, words: list[str]) -> list[str]:
    plain = [word for word in words[1:] if not word.startswith("-")]
    if isinstance(command, click.Group) and plain:
        called = next((word for word in plain if word in command.commands), None)
        if called is None:
            return [f"{said}: it has {', '.join(sorted(command.commands))}"]
        known = flags_of(command.commands[called]) | {f for p in command.params for f in p.opts}
    else:
        known = flags_of(command)
    flags = [word.partition("=")[0] for word in words[1:] if FLAG.match(word)]
    return [f"{said}: it has no {flag}" for flag in flags if flag not in known]


# --- names -------------------------------------------------------------------------------------------------


def broken_names(text: str) -> list[str]:
    codes = [*INLINE.findall(prose(text)), *(body for _, body in FENCE.findall(text))]
    names = {name for code in codes for name in DOTTED.findall(code)}
    return [f"name {name}: it is none" for name in sorted(names) if not resolves(name)]


def resolves(name: str) -> bool:
    parts = name.split(".")
    for stop in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:stop]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[stop:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


# --- tests -------------------------------------------------------------------------------------------------


def test_what_a_document_names_is_there() -> None:
    wrong = {where: found for where, text in texts().items() if (found := faults(where, text))}
    assert wrong == {}


def test_documents_are_found_and_read() -> None:
    some = {"README.md", "daskals/README.md", "daskals/store/FORMAT.md", "notebooks/01-data.ipynb"}
    assert some <= texts().keys()
    commands = [words[0] for text in texts().values() for words in command_lines(text)]
    assert len(commands) > 50
    named = {COMMAND.fullmatch(word).group(1) for word in commands}
    jobs = {path.stem for path in (ROOT / "jobs").glob("[a-z]*.py")} - {"app"}
    assert jobs <= named, f"no document tells of {sorted(jobs - named)}"


def test_the_readme_stays_short() -> None:
    assert len(texts()["README.md"].splitlines()) <= MOST_LINES


GOOD = """# A heading, with *marks*

[there](README.md#a-heading-with-marks) and [here](#again-1), `daskals.Model.load`, `daskals/store/`

## Again
## Again

```sh
python -m jobs.train --data DIR \\
  --rank 20 && python -m jobs.watch runs/mine   # --no-such-flag in a comment
streamlit run jobs/app.py -- RUN && daskals app RUN --port 8000
```
`daskals tune --trials 3`, `daskals --version`, `jobs.bench epoch --peers`, `jobs/NAME.py`, `OUT/run.lock`,
`path/to/it.py`, `jobs.simulate nightly --data DIR
--nights 30`, `--rank 8`, https://example.org/nothing/here.md
"""


def test_the_checker_finds_nothing_wrong_with_what_is_right() -> None:
    good = GOOD.replace("README.md#", "#")
    assert faults("README.md", good) == []
    named = ["jobs.train", "jobs.watch", "jobs/app.py", "daskals.app"]
    named += ["daskals.tune", "jobs.bench", "jobs/NAME.py", "jobs.simulate"]
    assert [words[0] for words in command_lines(good)] == named


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("[a](docker/nothing.md)", "link docker/nothing.md: no such file"),
        ("![a](notebooks/images/none.svg)", "link notebooks/images/none.svg: no such file"),
        ("[a](#nowhere)\n# Somewhere", "link #nowhere: no such heading"),
        ("[a](README.md#nowhere-at-all)", "link README.md#nowhere-at-all: no such heading"),
        ("`daskals/nothing.py` does it", "file daskals/nothing.py: there is none"),
        ("`daskals/nowhere/`", "file daskals/nowhere/: there is none"),
        ("```text\nfile ──► store/none.py\n```", "file store/none.py: there is none"),
        ("```sh\npython -m jobs.nothing\n```", "jobs.nothing: there is no jobs.nothing"),
        ("```sh\nA=1 python -m jobs.train \\\n  --rnak 3\n```", "jobs.train --rnak 3: it has no --rnak"),
        ("```sh\ncd x && python -m jobs.train --rnak=3\n```", "jobs.train --rnak=3: it has no --rnak"),
        ("`jobs.train --data DIR\n--rnak 3`", "jobs.train --data DIR --rnak 3: it has no --rnak"),
        (
            "`jobs.bench nothing`",
            "jobs.bench nothing: it has defaults, epoch, evaluate, ingest, lists, profile, scaling, service, "
            "solvers, sweep, topk",
        ),
        ("`jobs.bench ingest --peers`", "jobs.bench ingest --peers: it has no --peers"),
        ("`daskals nothing --rank 3`", "daskals.nothing --rank 3: there is no jobs.nothing"),
        ("```sh\ndaskals train --rnak 3\n```", "daskals.train --rnak 3: it has no --rnak"),
        ("```sh\ndaskals app RUN --prot 3\n```", "daskals.app RUN --prot 3: it has no --prot"),
        ("`python -m jobs.app RUN`", "jobs.app RUN: the app is run by streamlit, or by daskals app"),
        ("```sh\nstreamlit run jobs/none.py\n```", "jobs/none.py: there is no jobs.none"),
        ("give `--no-such-flag 3`", "no command has --no-such-flag"),
        ("`daskals.nothing.here`", "name daskals.nothing.here: it is none"),
        ("`daskals.Model.nothing(1)`", "name daskals.Model.nothing: it is none"),
        ("```python\nx = daskals.nothing(3)\n```", "name daskals.nothing: it is none"),
    ],
)
def test_the_checker_finds_what_is_wrong(bad: str, fault: str) -> None:
    assert fault in faults("README.md", bad)
