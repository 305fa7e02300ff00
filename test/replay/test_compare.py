"""Paired differences computed by hand, and what cannot be compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frames import frame

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.compare import MethodComparison, ReportComparison, is_report, paired_differences

IMAGE = np.random.default_rng(4).integers(0, 256, (16, 32, 3), np.uint8)
TEN_PX = np.full((16, 32), 10.0, np.float32)


def test_difference_and_its_spread_over_frames() -> None:
    ours = {1: {"epe": 1.0, "bad_2": 10.0}, 2: {"epe": 2.0, "bad_2": math.nan}, 3: {"epe": 4.0}, 9: {"epe": 100.0}}
    theirs = {3: {"epe": 1.0}, 1: {"epe": 2.0, "bad_2": 12.0, "d1_all": 3.0}, 2: {"epe": 2.0, "bad_2": 5.0}}
    epe, bad_2 = paired_differences(ours, theirs)
    # −1, 0 and 3: mean 2/3, squared deviations 25/9 + 4/9 + 49/9 = 78/9, over 2
    assert (epe.metric, epe.frames) == ("epe", 3)
    assert epe.ours == pytest.approx(7 / 3)
    assert epe.theirs == pytest.approx(5 / 3)
    assert epe.difference == pytest.approx(2 / 3)
    assert epe.sd == pytest.approx(math.sqrt(39 / 9))
    assert (bad_2.metric, bad_2.frames, bad_2.difference) == ("bad_2", 1, -2.0)
    assert math.isnan(bad_2.sd)
    assert paired_differences(ours, {}) == []


def _map(disparity_px: np.ndarray, confidence: float = 0.5) -> DisparityMap:
    return DisparityMap(
        disparity_px, np.full(disparity_px.shape, confidence, np.float32), 0.0, 64.0, {"inference": 3.0, "rest": 1.0}
    )


def test_other_method_sees_the_frames_own_images() -> None:
    seen: list[Any] = []

    def match(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        seen.append((left, right))
        return _map(TEN_PX + np.float32(len(seen)))

    comparison = MethodComparison("other", match, fill=False)
    ours = {}
    for stamp in (5, 6):
        assert comparison.add(frame(TEN_PX, truth_px=TEN_PX, left=IMAGE, right=IMAGE, stamp_ns=stamp)) == {}
        ours[stamp] = {"epe": 0.0, "bad_1": 0.0, "density": 100.0, "infer_ms": 7.0}
    comparison.add(frame(TEN_PX, stamp_ns=7))  # without images
    assert [left is IMAGE and right is IMAGE for left, right in seen] == [True, True]
    found = comparison.against(ours)
    assert found["with"] == "other"
    rows = {row["metric"]: row for row in found["metrics"]}
    assert rows["epe"] == {
        "metric": "epe", "ours": 0.0, "theirs": 1.5, "difference": -1.5, "sd": math.sqrt(0.5), "frames": 2,
    }  # fmt: skip
    assert (rows["bad_1"]["theirs"], rows["density"]["difference"], rows["infer_ms"]["difference"]) == (50.0, 0.0, 3.0)
    assert rows["infer_ms"]["frames"] == 1  # the first frame warms up


def test_holes_are_filled_for_the_errors_and_not_for_the_density() -> None:
    holes_px = TEN_PX.copy()
    holes_px[:, 8:16] = np.nan

    def rows(fill: bool) -> dict[str, Any]:
        comparison = MethodComparison("other", lambda left, right: _map(holes_px), fill=fill)
        comparison.add(frame(TEN_PX, truth_px=TEN_PX, left=IMAGE, right=IMAGE, stamp_ns=1))
        ours = {1: {"bad_2": 0.0, "density": 100.0, "ause_bad_2": 0.0}}
        return {row["metric"]: row["theirs"] for row in comparison.against(ours)["metrics"]}

    assert rows(fill=True) == {"bad_2": 0.0, "density": 75.0}
    found = rows(fill=False)
    assert (found["bad_2"], found["density"]) == (25.0, 75.0)
    assert found["ause_bad_2"] > 0


def _report(path: Path, stamps: list[int], epe: float | None) -> Path:
    frames = [{"stamp_ns": stamp, "epe": epe, "density": 5.0, "latency_ms": 20.0} for stamp in stamps]
    path.write_text(json.dumps({"created": "2026-01-02", "bags": [{"frames": []}, {"frames": frames}]}))
    return path


def test_earlier_report_is_paired_by_stamp(tmp_path: Path) -> None:
    comparison = ReportComparison(_report(tmp_path / "old.json", [1, 2, 3], 1.5), [2, 3, 4])
    assert comparison.add(frame(TEN_PX)) == {}
    found = comparison.against(
        {2: {"epe": 1.0, "latency_ms": 900.0}, 3: {"epe": 1.0, "latency_ms": 30.0}, 4: {"epe": 9.0}}
    )
    assert found["with"] == "old.json of 2026-01-02"
    epe, latency = found["metrics"]
    assert epe == {"metric": "epe", "ours": 1.0, "theirs": 1.5, "difference": -0.5, "sd": 0.0, "frames": 2}
    assert (latency["metric"], latency["difference"], latency["frames"]) == ("latency_ms", 10.0, 1)


def test_figure_that_is_null_in_a_report_is_left_out(tmp_path: Path) -> None:
    comparison = ReportComparison(_report(tmp_path / "old.json", [1], None), [1])
    assert [
        row["metric"] for row in comparison.against({1: {"epe": 1.0, "latency_ms": 3.0, "density": 4.0}})["metrics"]
    ] == ["density"]


def test_of_bags_with_the_same_stamps_that_of_the_topic_is_compared(tmp_path: Path) -> None:
    path = _report(tmp_path / "old.json", [1, 2], 1.5)
    bag = json.loads(path.read_text())["bags"][1]
    other = {"title": "b: /b/left/image_rect", "frames": [{**row, "epe": 9.0} for row in bag["frames"]]}
    part = {"title": "c", "frames": [{"stamp_ns": 1, "epe": 4.0}, {"stamp_ns": 7, "epe": 4.0}]}
    path.write_text(json.dumps({"bags": [{**bag, "title": "a: /a/left/image_rect"}, other, part]}))
    for topic, theirs in (("/a/left/image_rect", 1.5), ("/b/left/image_rect", 9.0)):
        found = ReportComparison(path, [1, 2], topic).against({1: {"epe": 1.0}, 2: {"epe": 1.0}})
        assert [row["theirs"] for row in found["metrics"]] == [theirs]
    with pytest.raises(DataError, match=r"has these stamps in a: /a/left/image_rect; b: /b/left/image_rect, expected"):
        ReportComparison(path, [1, 2], "/c/left/image_rect")
    path.write_text(json.dumps({"bags": [bag, part]}))
    found = ReportComparison(path, [1, 2], "/c/left/image_rect").against({1: {"epe": 1.0}})
    assert [row["theirs"] for row in found["metrics"]] == [1.5]


def test_reports_that_do_not_fit_are_told(tmp_path: Path) -> None:
    other = _report(tmp_path / "other.json", [10, 11], 1.0)
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "manifest.json").write_text('{"name": "a model"}')
    (tmp_path / "odd.json").write_text('{"bags": [{"frames": [{"epe": 1}]}]}')
    cases = {
        "other.json": "none of its 2 frames is in this bag, expected a report of the same bag; "
        "it begins at 10, the bag at 1",
        "text.json": "is not a report of `stereo-dp replay`, expected its report.json",
        "manifest.json": "is not a report of `stereo-dp replay`",
        "odd.json": "is not a report of `stereo-dp replay`",
        "none.json": "cannot be read (No such file or directory), expected a report.json",
    }
    for name, told in cases.items():
        with pytest.raises(DataError) as caught:
            ReportComparison(tmp_path / name, [1, 2])
        assert str(caught.value).startswith(f"{tmp_path / name}: {told}")
        assert "\n" not in str(caught.value)
    assert is_report(other)
    assert not is_report(tmp_path / "manifest.json")
