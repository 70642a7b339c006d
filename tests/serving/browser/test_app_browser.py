"""The app in a real headless Chromium: what a person does, on a desk and on a phone, and two at once."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.ratings.shown_text import JOINER
from tests.cases.hostile_texts import HOSTILE, SIGNS
from tests.cases.movies import TRAINING
from tests.conftest import CHROMIUM, ROOT

pytestmark = pytest.mark.usefixtures("no_baseline")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36"
SLOW = 45_000
"""Milliseconds a page may take on a busy machine."""


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.is_file():
        pytest.fail(f"{CHROMIUM} is absent; install it with: apt-get install -y chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(folder: Path):
    with app_of(folder) as found:
        yield found


@contextlib.contextmanager
def app_of(folder: Path) -> Iterator[str]:
    """Run the app on a model; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "jobs" / "app.py")]
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    log = folder.with_name("app.log").open("w")
    process = subprocess.Popen([*command, "--", str(folder)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, folder.with_name("app.log").read_text()
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        assert "Traceback" not in folder.with_name("app.log").read_text()
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def visit(browser: Browser, address: str, query: str = "", **context: object) -> Page:
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}).new_page()
    page.set_default_timeout(SLOW)
    expect.set_options(timeout=SLOW)
    # everything the page needs comes from the app itself
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
    page.goto(address + query)
    expect(page.get_by_text("Rate what you know")).to_be_visible()
    return page


def give_stars(page: Page, place: str, item: int, stars: float) -> None:
    """Point at the right edge of a star, or at its middle for a half."""
    row = page.locator(f".st-key-stars-{place}-{item} [role=slider]")
    row.scroll_into_view_if_needed()
    box = row.bounding_box()
    row.click(position={"x": box["width"] * (stars - 0.1) / 5, "y": box["height"] / 2})


def listed(page: Page) -> list[str]:
    """Return the recommended titles in their order, once the page is at rest."""
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    cards = page.locator("[class*='st-key-suggested-'] strong:first-of-type")
    return [text for text in cards.all_inner_texts() if not re.fullmatch(r"[\d.]+", text)]


def at_rest(page: Page) -> Page:
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")
    return page


def test_a_person_searches_rates_slides_and_reads_why(browser, address):
    page = visit(browser, address)
    expect(page.get_by_text("You have rated nothing yet")).to_be_visible()
    page.get_by_label("Search by title").fill("toy stroy")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-found-1").get_by_text("Toy Story (1995)")).to_be_visible()
    give_stars(page, "found", 1, 5)
    expect(page.get_by_text("Your ratings (1)")).to_be_visible()
    expect(page.locator(".st-key-suggested-1")).to_be_visible()
    assert page.url.endswith("?rated=1~5")
    before = listed(page)
    assert len(before) == 10
    assert set(before) & {
        "Toy Story 2 (1999)",
        "Toy Story 3 (2010)",
        "Monsters, Inc. (2001)",
        "Finding Nemo (2003)",
    }

    page.locator(".st-key-order").get_by_text("Your own rating").click()
    expect(page.locator(".st-key-alpha input")).to_be_enabled()
    page.locator(".st-key-alpha input").focus()
    page.keyboard.press("End")
    expect(page.locator(".st-key-alpha")).to_contain_text("1.00")
    expect(page.locator(".st-key-suggested-1")).not_to_contain_text(before[0])
    assert listed(page) != before

    at_rest(page)
    page.locator(".st-key-why-1").get_by_text("Why?").click()
    expect(
        page.get_by_text(re.compile("Mostly because of how you rated|Your ratings say little"))
    ).to_be_visible()
    expect(page.get_by_text("Like it:")).to_be_visible()
    page.keyboard.press("Escape")
    link = page.locator(".st-key-suggested-1").get_by_role("link", name="IMDb")
    assert re.fullmatch(r"https://www\.imdb\.com/title/tt\d{7}/", link.get_attribute("href"))

    page.reload()
    expect(page.get_by_text("Your ratings (1)")).to_be_visible()
    give_stars(page, "own", 1, 3.5)
    expect(page.locator(".st-key-stars-own-1 [role=slider]")).to_have_attribute("aria-valuenow", "3.5")
    expect(page).to_have_url(re.compile(r"\?rated=1~3\.5$"))
    give_stars(page, "own", 1, 3.5)  # the same star again takes the rating back
    expect(page.get_by_text("You have rated nothing yet")).to_be_visible()
    page.context.close()


@pytest.mark.slow
def test_the_map_shows_ones_own_titles_and_zooms(browser, address):
    page = visit(browser, address, "?rated=1~5_46~4", color_scheme="dark")
    page.get_by_role("tab", name="Map").click()
    chart = page.locator("[data-testid=stVegaLiteChart] svg.marks")
    expect(chart).to_be_visible()
    at_rest(page).wait_for_timeout(500)
    whole = chart.screenshot()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(700)
    assert chart.screenshot() != whole
    page.context.close()


def test_two_people_at_once_do_not_share_ratings(browser, address):
    one, other = visit(browser, address), visit(browser, address)
    one.get_by_role("button", name="Three animations").click()
    expect(one.get_by_text("Your ratings (3)")).to_be_visible()
    other.get_by_label("Search by title").fill("shining")
    other.keyboard.press("Enter")
    expect(other.locator(".st-key-found-40")).to_be_visible()
    give_stars(other, "found", 40, 5)
    expect(other.get_by_text("Your ratings (1)")).to_be_visible()
    expect(other.locator(".st-key-suggested-1")).to_be_visible()
    assert listed(one)[:5] != listed(other)[:5]
    expect(one.get_by_text("Your ratings (3)")).to_be_visible()
    one.context.close()
    other.context.close()


def test_on_a_phone_nothing_is_cut_off(browser, address):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = visit(browser, address, "?rated=1~5", user_agent=PHONE, **phone)
    expect(page.locator(".st-key-suggested-1")).to_be_attached()
    at_rest(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="For you").tap()
    expect(page.locator(".st-key-sort")).to_be_in_viewport()
    expect(page.locator(".st-key-alpha")).not_to_be_visible()  # folded: the list is what one came for
    page.locator(".st-key-suggested-1").scroll_into_view_if_needed()
    give_stars(page, "suggested", int(item_of(page)), 4)
    expect(page.get_by_text("Your ratings (2)")).to_be_attached()
    page.context.close()


def item_of(page: Page) -> str:
    stars = page.locator(".st-key-suggested-1 [class*='st-key-stars-suggested-']")
    return re.search(r"st-key-stars-suggested-(\d+)", stars.get_attribute("class")).group(1)


@pytest.mark.slow
def test_mistakes_are_answered_with_notices(browser, address):
    page = visit(browser, address)
    page.get_by_label("Search by title").fill("zzyzx")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The nearest in the whole catalogue:")).to_be_visible()
    page.get_by_role("tab", name="Similar titles").click()
    page.get_by_label("Titles like").fill("no such film at all")
    page.keyboard.press("Enter")
    expect(page.get_by_text("no title is like 'no such film at all'")).to_be_visible()
    assert page.locator("[data-testid=stException]").count() == 0
    page.context.close()


@pytest.mark.slow
def test_a_new_model_is_taken_without_a_restart(browser, address, folder):
    page = visit(browser, address, "?rated=1~5")
    at_rest(page)
    expect(page.get_by_text("120 titles")).to_have_count(0)  # three of them nobody has rated
    data = folder.parent / "ml-more"
    shutil.copytree(folder.parent / "ml-planted", data)
    with (data / "ratings.csv").open("a") as file:
        file.writelines(f"161,{1 + 3 * film},4.0,900000999\n" for film in range(120))
    fit(data, TRAINING).save(folder, existing="replace")
    expect(page.get_by_text("120 titles rated by 161 people")).to_be_visible()
    expect(page.get_by_text("Your ratings (1)")).to_be_visible()
    page.context.close()


def test_titles_and_genres_of_the_data_are_only_shown(browser, folder, tmp_path):
    """Nothing of a title is a link, an image or mark-up, and no request leaves for where one points."""
    model = Model.load(folder)
    texts = [text for text in HOSTILE if text and "\ud800" not in text]
    n_items = len(model.item_ids)
    titles = pa.array([f"{texts[n % len(texts)]} {n}" for n in range(n_items)])
    genres = pa.array([[texts[n % len(texts)], texts[(n + 7) % len(texts)]] for n in range(n_items)])
    columns = {"title": titles, "genres": genres}
    catalogue = model.catalogue
    for name, column in columns.items():
        catalogue = catalogue.set_column(catalogue.column_names.index(name), name, column)
    replace(model, catalogue=catalogue).save(tmp_path / "model")
    requests: list[str] = []
    with app_of(tmp_path / "model") as address:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(SLOW)
        expect.set_options(timeout=SLOW)
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.goto(f"{address}?rated=1~5_4~4_7~1")
        expect(page.locator(".st-key-suggested-1")).to_be_visible()
        at_rest(page)  # what opens while the page is drawn anew is closed again
        page.locator(".st-key-why-1 button").click()
        expect(page.get_by_text("Like it:")).to_be_visible()
        at_rest(page)
        links = page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        images = page.eval_on_selector_all("img", "all => all.map(one => one.src)")
        shown = page.locator("[data-testid=stApp]").inner_text().replace(JOINER, "")
    own = address.removeprefix("http://")
    strangers = [url for url in requests if not re.match(rf"(https?|wss?)://{own}/|data:|blob:", url)]
    assert len(requests) > 10
    assert strangers == []
    sites = r"https://(www\.imdb\.com/title|www\.themoviedb\.org/movie)/"
    assert [url for url in links if not re.match(rf"{sites}|http://{own}/", url)] == []
    assert [url for url in images if "127.0.0.1:9/" in url or "invalid" in url] == []
    # the signs themselves are there to be read
    assert sum(sign in shown for sign in SIGNS) >= 2, shown
