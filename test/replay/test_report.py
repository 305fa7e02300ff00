"""The report holds the figures that were measured, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_up import CALIBRATION, TRUTH_PX, outputs, write_recording, write_source

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import Latency, PairCount
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.page import report_html, write_html
from stereo_dp_ros.replay.report import BagReport, Report, write_json
from stereo_dp_ros.replay.runs import Run

STAMPS = [10**18 + i * 10**8 for i in range(5)]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    wrong_px = TRUTH_PX.copy()
    wrong_px[0, :6] += 4
    write_source(tmp_path / "source", STAMPS)
    write_recording(tmp_path / "recorded", {stamp: outputs(wrong_px, stamp) for stamp in STAMPS[:4]})
    with BagReader(tmp_path / "source") as source, BagReader(tmp_path / "recorded") as recorded:
        evaluation = evaluate(source, recorded, TOPICS, "/stereo", samples=2)
    run = Run(
        published_ns={stamp: stamp - STAMPS[0] for stamp in STAMPS},
        received_ns={stamp: stamp - STAMPS[0] + 30_000_000 for stamp in STAMPS[:4]},
        diagnostics={"model": "toy", "backend": "openvino", "precision": "bf16"},
        cpu_percent=87.4,
        memory_mb=321.6,
        exit_code=0,
    )
    bag = BagReport(
        name="made_up",
        title="Made up & <odd>",
        description="Six of 48 pixels are off by 4 px.",
        path=Path("bags/made_up"),
        recorded_path=Path("bags/made_up_out"),
        rate_hz=10.0,
        run=run,
        count=PairCount(5, 4, {"superseded": 1}, unmatched=0, lost=0, recorded=4),
        latency=Latency(31.0, 30.0, 30.0, 30.0, 0.5),
        evaluation=evaluation,
    )
    return Report("Title of the report", "2026-01-02 03:04 UTC", {"machine": "a <machine>"}, [bag])


class _References(HTMLParser):
    """Collects every attribute that could make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_json_holds_the_figures(report: Report, tmp_path: Path) -> None:
    write_json(report, tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["passed"] is True
    assert found["environment"] == {"machine": "a <machine>"}
    (bag,) = found["bags"]
    assert bag["pairs"] == {
        "in": 5, "out": 4, "dropped": {"superseded": 1}, "unmatched": 0, "lost": 0, "received": 4, "closes": True,
    }  # fmt: skip
    assert bag["latency_ms"] == {"first": 31.0, "p50": 30.0, "p99": 30.0, "max": 30.0, "jitter": 0.5}
    assert bag["rate_hz"] == {"bag": 10.0, "in": pytest.approx(10.0), "out": pytest.approx(10.0)}
    assert bag["metrics"]["bad_2"] == pytest.approx(12.5)
    assert bag["metrics"]["epe"] == pytest.approx(0.5)
    assert bag["size"] == "8x6"
    assert bag["node"]["backend"] == "openvino"
    assert bag["node"]["peak_memory_mb"] == 321.6
    assert [frame["latency_ms"] for frame in bag["frames"]] == [30.0] * 4
    assert [check["passed"] for check in bag["checks"]] == [True] * 7


def test_json_has_null_for_what_is_not_finite(report: Report, tmp_path: Path) -> None:
    bag = report.bags[0]
    bag.evaluation.frames[0] = replace(bag.evaluation.frames[0], metrics=None, mean_confidence=float("nan"))
    write_json(replace(report, bags=[replace(bag, latency=None)]), tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text
    frame = json.loads(text)["bags"][0]["frames"][0]
    assert frame["mean_confidence"] is None
    assert "epe" not in frame
    assert json.loads(text)["bags"][0]["latency_ms"] is None


def test_page_shows_figures_checks_and_pictures(report: Report) -> None:
    page = report_html(report)
    for text in (
        "Title of the report", "All checks passed", "a &lt;machine&gt;", "Made up &amp; &lt;odd&gt;", "0.50", "12.5",
        "5 in = 4 out + 1 dropped + 0 unmatched", "1 superseded", "every cloud is the disparity it belongs to",
        "bags/made_up_out",
    ):  # fmt: skip
        assert text in page, text
    assert page.count('<canvas class="turn"') == 1
    # one cloud, one strip, and for each of two frames the left image, disparity, error and confidence
    assert len(re.findall(r'<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]{200,}"', page)) == 1 + 1 + 2 * 4
    assert page.count("<svg") == 4  # latency, EPE, bad-2.0, confidence


def test_page_needs_nothing_from_elsewhere(report: Report) -> None:
    page = report_html(report)
    references = _References()
    references.feed(page)
    assert references.found
    assert [reference[:40] for reference in references.found if not reference.startswith("data:")] == []
    assert not {"link", "iframe", "object", "embed"} & set(references.tags)
    assert references.tags.count("script") == 1  # inline: a src would be among the references
    for forbidden in ("http://", "https://", "@import", "url(", "fetch(", "import(", "XMLHttpRequest"):
        assert forbidden not in page
    for wanted in ('name="viewport"', "prefers-color-scheme: dark", "max-width: 720px", 'charset="utf-8"'):
        assert wanted in page


def test_failed_checks_are_told_everywhere(report: Report, tmp_path: Path) -> None:
    bag = replace(report.bags[0], count=PairCount(5, 4, {}, unmatched=0, lost=0, recorded=4))
    failed = replace(report, bags=[bag])
    assert not failed.passed
    assert failed.failed_checks == ["made_up: the count of pairs closes: 5 in = 4 out + 0 dropped + 0 unmatched"]
    page = report_html(failed)
    assert "1 check failed" in page
    assert "Check failed: the count of pairs closes: 5 in = 4 out + 0 dropped + 0 unmatched." in page
    write_json(failed, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is False
    assert not replace(report, bags=[]).passed


def test_disparity_that_is_not_the_scenes_fails_where_a_limit_is_set(report: Report) -> None:
    for limit, passed in ((12.6, True), (12.5, False)):
        bag = replace(report.bags[0], bad_2_limit_percent=limit)
        assert bag.passed is passed
        assert f"bad-2.0 is 12.5 %, expected less than {limit:g} %" in [check.detail for check in bag.checks]


def test_node_that_did_not_end_cleanly_fails(report: Report) -> None:
    report.bags[0].run.exit_code = -9
    assert report.failed_checks == ["made_up: the node ended cleanly: exit code -9"]


def test_page_without_ground_truth_or_clouds(report: Report) -> None:
    bag = report.bags[0]
    bag.evaluation.frames[:] = [replace(frame, metrics=None) for frame in bag.evaluation.frames]
    gallery = bag.evaluation.gallery
    gallery.samples[:] = [
        replace(sample, ground_truth_px=None, points_m=None, point_colors=None) for sample in gallery.samples
    ]
    page = report_html(report)
    assert len(re.findall("<img ", page)) == 1 + 2 * 3
    assert page.count("<svg") == 2
    assert "nan" not in re.sub(r"data:[^\"]*", "", page)


def test_file_that_cannot_be_written_is_told(report: Report, tmp_path: Path) -> None:
    for write, name in ((write_html, "report.html"), (write_json, "report.json")):
        with pytest.raises(DataError, match=rf"nowhere/{name}: cannot be written"):
            write(report, tmp_path / "nowhere" / name)


def test_output_rate_is_that_of_what_was_received(report: Report) -> None:
    assert report.bags[0].output_rate_hz == pytest.approx(10.0)
    report.bags[0].run.received_ns = {1: 5}
    assert report.bags[0].output_rate_hz is None


def test_calibration_of_the_page_is_the_bags(report: Report) -> None:
    assert report.bags[0].evaluation.calibration == CALIBRATION
    assert "8×6, 10 Hz, 0.5 s, focal length 40.0 px, baseline 12.5 cm" in report_html(report)
    assert np.isfinite(report.bags[0].evaluation.gallery.samples[0].disparity_px).all()
