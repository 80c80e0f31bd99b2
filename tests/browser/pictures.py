"""`make pictures`: takes the pictures of docs/console.md from a scene that really plays."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any, Final

import click
from playwright.sync_api import Browser, Page

from tests.browser.chromium import PAGES, WIDTHS, chromium, page_of
from tests.browser.scene import Scene, scene

FOLDER: Final = Path(__file__).parents[2] / "docs" / "console"
# These say nothing that words do not.
NOT_TAKEN: Final = frozenset({"login", "not-found", "reason"})
TAKEN: Final = [name for name in PAGES if name not in NOT_TAKEN]
JOBS: Final = 320
# Of a longer page the beginning is enough.
MAX_HEIGHT: Final = 1200
QUALITY: Final = 40


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--form", type=click.Choice(["webp", "png"]), default="webp", show_default=True)
@click.option("--jobs", default=JOBS, show_default=True, help="Jobs of the largest submission.")
def main(*, folder: Path, form: str, jobs: int) -> None:
    """Take a picture of each page at each width."""
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        scene(Path(data), jobs=jobs) as played,
        chromium() as browser,
    ):
        for width in WIDTHS:
            take(browser, played, folder, width=width, form=form)


def take(browser: Browser, played: Scene, folder: Path, *, width: int, form: str = "webp") -> None:
    """Take a picture of each page at one width."""
    with page_of(browser, width=width) as page:
        for name in TAKEN:
            PAGES[name](page, played)
            (folder / f"{name}-{width}.{form}").write_bytes(_picture(page, form))


def _picture(page: Page, form: str) -> bytes:
    """Take the whole page; Chromium itself also writes WebP, which Playwright does not ask for."""
    session = page.context.new_cdp_session(page)
    size: Any = page.evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
    )
    width, height = size
    options: dict[str, Any] = {
        "format": form,
        "captureBeyondViewport": True,
        "clip": {"x": 0, "y": 0, "width": width, "height": min(height, MAX_HEIGHT), "scale": 1},
    }
    if form == "webp":
        options["quality"] = QUALITY
    answer = session.send("Page.captureScreenshot", options)
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
