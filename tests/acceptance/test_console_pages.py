"""The console's pages in a real Chromium, with jobs of every kind behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import (
    AXE,
    PAGES,
    WIDTHS,
    axe_missing,
    chromium,
    chromium_missing,
    page_of,
)
from tests.browser.pictures import FOLDER, TAKEN, take
from tests.browser.scene import Scene, scene
from tests.documents import read

# They share a scene, which takes seconds to play.
pytestmark = pytest.mark.xdist_group("browser")
JOBS = 80
MAX_BYTES = 100_000


def demand(missing: Callable[[], str]) -> None:
    """Leave a test out for a reason; a build must not."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and a build must not leave these tests out")
        pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a Chromium."""
    demand(chromium_missing)
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def played(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Play a scene, once there is something to see it with."""
    del browser
    with scene(tmp_path_factory.mktemp("scene"), jobs=JOBS) as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
def test_nothing_keeps_anybody_out(
    browser: Browser, played: Scene, width: int, scheme: str
) -> None:
    """Not contrast, not a missing name, not the order of headings, on any page."""
    demand(axe_missing)
    found = {}
    with page_of(browser, width=width, scheme=scheme) as page:
        for name, visit in PAGES.items():
            visit(page, played)
            page.evaluate(AXE.read_text())
            violations: list[dict[str, Any]] = page.evaluate("axe.run()")["violations"]
            for one in violations:
                found[name, one["id"], one["impact"]] = [node["html"] for node in one["nodes"]]
    assert found == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_window(browser: Browser, played: Scene, width: int) -> None:
    """Only what is a wide table scrolls, by itself, and with the keyboard."""
    with page_of(browser, width=width) as page:
        for name, visit in PAGES.items():
            visit(page, played)
            wide, scrolled = page.evaluate(
                """() => [document.documentElement.scrollWidth,
                  [...document.querySelectorAll('main *')].filter(one =>
                    one.scrollWidth > one.clientWidth && one.tabIndex < 0
                    && /auto|scroll/.test(getComputedStyle(one).overflowX)).length]"""
            )
            assert (wide, scrolled) == (width, 0), name


def test_what_is_live_and_what_is_local(browser: Browser, played: Scene) -> None:
    """A pause shows without a reload, moments in the zone of whoever looks, UTC in their title."""
    with (
        page_of(browser, width=WIDTHS[0]) as watching,
        page_of(browser, width=WIDTHS[0]) as acting,
    ):
        watching.goto(played.url)
        acting.goto(played.url)
        acting.get_by_role("button", name="Pause").click()
        sentence = watching.locator(".sentence")
        expect(sentence).to_contain_text("Everything is paused since", timeout=15_000)
        moment = sentence.locator("time")
        expect(moment).to_contain_text("CE")
        expect(moment).to_have_attribute("title", str(moment.get_attribute("datetime")))
        acting.get_by_role("row", name="everything is paused").get_by_role("button").click()
        expect(sentence).not_to_contain_text("Everything is paused", timeout=15_000)


def test_the_numbers_behind_a_chart_stay_while_they_are_read(
    browser: Browser, played: Scene
) -> None:
    """They are reached with the keyboard; what is closed is kept up to date."""
    with page_of(browser, width=WIDTHS[0]) as page:
        page.goto(played.url)
        chart = page.get_by_role("img", name="Conversations of account")
        expect(chart).to_be_visible()
        part = page.locator("[data-live='/live/hour']")
        part.locator("summary").focus()
        page.keyboard.press("Enter")
        row = part.get_by_role("row").nth(1)
        expect(row).to_be_visible()
        row.evaluate("one => { one.dataset.seen = 'yes' }")
        with page.expect_response(lambda answer: answer.url.endswith("/live/now"), timeout=15_000):
            pass
        expect(row).to_have_attribute("data-seen", "yes")
        page.keyboard.press("Enter")
        with page.expect_response(lambda answer: answer.url.endswith("/live/hour"), timeout=15_000):
            pass
        expect(part.locator("[data-seen]")).to_have_count(0)


def test_the_pictures_can_be_taken(browser: Browser, played: Scene, tmp_path: Path) -> None:
    """At one width, from a shorter scene than theirs."""
    take(browser, played, tmp_path, width=WIDTHS[-1])
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {f"{name}-{WIDTHS[-1]}.webp" for name in TAKEN}
    assert all(1000 < size < MAX_BYTES for size in sizes.values()), sizes


def test_each_picture_is_there_and_named() -> None:
    """Small, and in the page about the console."""
    text = read("docs/console.md")
    wanted = {f"{name}-{width}.webp" for name in TAKEN for width in WIDTHS}
    assert {path.name for path in FOLDER.iterdir()} == wanted
    for name in wanted:
        assert f"(console/{name})" in text
        assert (FOLDER / name).stat().st_size < MAX_BYTES, name
