"""Text from data on every surface: shown as it is, never obeyed."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from daskals.plots.page import Section, write_page
from daskals.ratings.shown_text import JOINER, in_csv, in_html, in_markdown, on_terminal
from jobs._item_tables import print_items
from jobs._terminal import cell, make_console, say
from tests.cases.hostile_texts import HOSTILE
from tests.conftest import ROOT

PLAIN = ("Amélie (2001)", "七人の侍", "👩‍👩‍👧")
COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def list_of(titles: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": range(len(titles)),
            "title": titles,
            "year": [2001] * len(titles),
            "genres": [[title] for title in titles],
            "score": [1.0] * len(titles),
            "n_ratings": [3] * len(titles),
        }
    )


def test_lists_on_a_terminal_show_titles_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    titles = [title for title in HOSTILE if "\ud800" not in title]  # no frame can hold half a letter
    print_items(list_of(titles), "score", "ratings")
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) == len(titles) + 1
    for line, title in zip(lines[1:], titles, strict=True):
        assert on_terminal(title).strip() in line
        assert not COMMANDS.search(line)


def test_lines_on_a_terminal_obey_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for title in HOSTILE:
        say(f"rated 5: {title}")
    out = capsys.readouterr().out
    assert not COMMANDS.search(out.replace("\n", "").replace("\t", ""))
    for title in PLAIN:
        assert f"rated 5: {title}\n" in out
        assert on_terminal(title) == title


def test_tables_on_a_real_terminal_have_no_links_of_the_data() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    for title in HOSTILE:
        console.print(cell(title))
    assert "\x1b]8" not in screen.getvalue()
    assert "\x1b[31" not in screen.getvalue()
    assert make_console().render_str("[bold]x[/bold]", markup=False).plain == "[bold]x[/bold]"


def test_every_command_prints_through_one_door() -> None:
    doors = re.compile(r"click\.echo\(|click\.secho\(|(?<![\w.])print\(|Console\(")
    found = {
        path.name: doors.findall(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "jobs").glob("*.py"))
        if path.name != "_terminal.py"
    }
    # a plain line of a run, escaped where it is printed, and a pause that only tests ask for
    assert {name: calls for name, calls in found.items() if calls} == {
        "_pause_hook.py": ["print("],
        "_run_display.py": ["print("],
    }


@pytest.mark.parametrize("title", HOSTILE)
def test_markdown_has_every_sign_escaped(title: str) -> None:
    shown = in_markdown(title)
    assert not COMMANDS.search(shown)
    bare = re.sub(r"\\.", "", shown)
    assert not set(bare) & set("\\`*_{}[]<>#!|$~&@^")
    assert not re.search(r":\S|[a-z]\.\S|^\s*[-+=]|^[0-9]+[.)]", bare)
    assert re.sub(r"\\(.)", r"\1", shown).replace(JOINER, "") == on_terminal(title)


def test_markdown_that_needs_no_escape_reads_as_it_is() -> None:
    for text in (
        "Night of 2024-05-02: promoted (code 0)",
        "Monsters, Inc. (2001)",
        "at most 0.05",
        "1,234 %",
    ):
        assert in_markdown(text) == text
    assert in_markdown("12. Monkeys") == r"12\. Monkeys"


def test_html_pages_have_no_markup_of_the_data(tmp_path: Path) -> None:
    sections = [
        Section(title, text=[title], missing=title, columns=[title], rows=[[title, 1]]) for title in HOSTILE
    ]
    write_page(tmp_path / "page.html", HOSTILE[0], HOSTILE[-2], sections)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = set(re.findall(r"<\s*([a-zA-Z!/]+)", page))
    assert not {tag.lower().strip("/") for tag in tags} & {"script", "img", "svg"}
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)
    for title in HOSTILE:
        assert html.unescape(in_html(title)) == on_terminal(title, lines=True)


def test_csv_has_no_formulas() -> None:
    for title in HOSTILE:
        assert not in_csv(title).startswith(("=", "+", "-", "@", "\t", "\r"))
        assert in_csv(title).removeprefix("'") == title
