"""The report in a real browser: its cloud turns, nothing is fetched, nothing is wider than a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.demo_bags import write_pairs
from stereo_dp_ros.replay.scene import StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=160, height_px=96, fx_px=120.0, fy_px=120.0, cx_left_px=79.5, cx_right_px=79.5, cy_px=47.5, baseline_m=0.1
)
BOX = "(e => { const b = e.getBoundingClientRect(); return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a replay of a slanted plane."""
    folder = tmp_path_factory.mktemp("page")
    rows, columns = np.mgrid[:96, :160]
    gray = (40 + rows + columns // 2).astype(np.uint8)
    frame = StereoFrame(np.dstack([gray] * 3), np.full((96, 160, 3), 128, np.uint8), gray.astype(np.float32) / 4 + 0.5)
    write_pairs(folder / "bag", [frame] * 6, CALIBRATION, 10.0)
    model = ["--model", str(write_toy_model(folder))]
    assert main(["replay", str(folder / "bag"), "--out", str(folder / "out"), *model]) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; skips where there is none."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    executable = next((path for path in found if path), None)
    if executable is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with Browser(executable) as started:
        yield started


def test_cloud_turns_with_the_pointer_and_comes_back(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, 900)
    browser.evaluate("document.querySelector('canvas.turn').scrollIntoView({block: 'center'})")
    box = browser.evaluate(f"{BOX}(document.querySelector('canvas.turn'))")
    x, y = (box[i] + box[i + 2] / 2 - browser.evaluate(("scrollX", "scrollY")[i]) for i in (0, 1))
    before = browser.picture(tuple(box))
    browser.drag((x, y), (x + 120, y))
    right = browser.picture(tuple(box))
    assert _share_changed(before, right) > 0.05
    browser.drag((x, y), (x, y + 120))
    up = browser.picture(tuple(box))
    assert _share_changed(right, up) > 0.05
    assert len(np.unique(up.reshape(-1, 3), axis=0)) > 20  # still a cloud
    browser.drag((x, y), (x, y - 120))
    np.testing.assert_array_equal(browser.picture(tuple(box)), right)
    assert browser.errors == []


def test_picture_grows_when_clicked_and_shrinks_again(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, 900)
    image = "document.querySelector('.frames img')"
    widths = []
    for _ in range(3):
        widths.append(browser.evaluate(f"{image}.getBoundingClientRect().width"))
        browser.evaluate(f"{image}.click()")
    assert widths[1] > 3 * widths[0]
    assert widths[2] == widths[0]
    assert browser.errors == []


def test_nothing_is_fetched(browser: Browser, page: Path) -> None:
    browser.requests.clear()
    browser.open(page, 1280, 900)
    browser.picture()
    assert browser.requests == [page.resolve().as_uri()]
    assert (
        browser.evaluate("performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length")
        == 0
    )


@pytest.mark.parametrize("width_px", [1280, 390, 320])
def test_page_fits_the_window(browser: Browser, page: Path, width_px: int) -> None:
    browser.open(page, width_px, 900)
    assert browser.evaluate("document.documentElement.scrollWidth") == width_px
    too_wide = browser.evaluate(
        "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert too_wide == []


def test_dark_is_dark_and_light_is_light(browser: Browser, page: Path) -> None:
    levels = []
    for dark in (False, True):
        browser.open(page, 800, 600, dark=dark)
        levels.append(float(browser.picture((0, 0, 20, 20)).mean()))
    assert levels[0] > 200
    assert levels[1] < 60


def _share_changed(first: np.ndarray, second: np.ndarray) -> float:
    return float((np.abs(first.astype(int) - second.astype(int)).max(axis=2) > 16).mean())
