"""A real Chromium, and the console's pages in it as a person comes to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.scene import Scene

FOLDER: Final = Path(__file__).parent
AXE: Final = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS: Final = (1440, 768, 390)
HEIGHT: Final = 900

Visit = Callable[[Page, Scene], object]


def chromium_missing() -> str:
    """Say why no page can be opened here; empty when one can."""
    return "" if shutil.which("chromium") else "chromium is not installed here"


def axe_missing() -> str:
    """Say why no page can be examined here; empty when one can."""
    if reason := chromium_missing():
        return reason
    return "" if AXE.exists() else "axe-core is not here: run `make browser-tools`, which needs npm"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser of this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # A container has no user namespaces to make a sandbox of, and its root may have none.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, *, width: int, scheme: Any = "light") -> Iterator[Page]:
    """Open an empty page of this width, in a session of its own; an error of a script fails it."""
    errors: list[str] = []
    with browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="Europe/Berlin",
    ) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
    assert errors == []


def _at(path: str) -> Visit:
    return lambda page, scene: page.goto(scene.url + path)


def _submission(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.url}/submissions")
    with page.expect_navigation():
        page.get_by_role("link", name=scene.submission).click()


def _reason(page: Page, scene: Scene) -> None:
    _submission(page, scene)
    with page.expect_navigation():
        page.get_by_role("link", name="already_open").click()
    page.get_by_role("heading", name="Replay already_open").wait_for()


def _dead_letter(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.url}/dead-letters")
    with page.expect_navigation():
        page.get_by_role("button", name=scene.letter).click()


def _found(page: Page, scene: Scene) -> None:
    page.goto(f"{scene.url}/search")
    page.get_by_label("The id of").fill(scene.consumer)
    with page.expect_navigation():
        page.get_by_role("button", name="Search").click()


# Each page under the name of its picture; what no picture tells is in NOT_TAKEN.
PAGES: Final[Mapping[str, Visit]] = {
    "now": _at("/"),
    "submissions": _at("/submissions"),
    "submission": _submission,
    "reason": _reason,
    "dead-letters": _at("/dead-letters"),
    "dead-letter": _dead_letter,
    "search": _found,
    "workers": _at("/workers"),
    "login": lambda page, scene: page.goto(scene.locked_url),
    "not-found": _at("/submission?id=nobody"),
}
