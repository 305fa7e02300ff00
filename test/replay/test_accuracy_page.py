"""The page's part about accuracy shows the figures that there are, and nothing of those that there are not."""

from __future__ import annotations

import re

from stereo_dp_ros.replay.accuracy_page import accuracy_section, comparison_section
from stereo_dp_ros.replay.compare import COMPARED_NAMES
from stereo_dp_ros.replay.proxies import PROXY_NAMES

ROW = {
    "from_m": 40.0, "to_m": float("inf"), "pixels": 1234567, "density": 99.96, "mean_abs_m": 0.5, "bias_m": -0.25,
    "rmse_m": float("nan"), "mean_relative": 12.34, "epe": 0.126,
}  # fmt: skip


def _cells(page: str) -> list[list[str]]:
    return [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", page)[1:]]


def test_nothing_found_is_nothing_shown() -> None:
    assert accuracy_section({}) == ""
    assert comparison_section(None) == ""
    names = ("ground_truth", "depth_error", "confidence_error", "sparsification", "proxies", "comparison")
    assert accuracy_section(dict.fromkeys(names)) == ""


def test_ranges_are_rounded_and_signed() -> None:
    page = accuracy_section({"depth_error": [ROW], "ground_truth": "LiDAR of /<points>"})
    assert _cells(page) == [
        ["40 and more", "1\u202f234\u202f567", "100.0", "0.500", "\u22120.250", "–", "12.3", "0.13"],
    ]
    assert "Ground truth: LiDAR of /&lt;points&gt;." in page


def test_confidence_has_two_plots_and_an_oracle() -> None:
    deciles = [{"confidence": 0.1 * i, "epe": 1.0, "bad_2": 50.0 - i} for i in range(10)]
    curves = {"dropped": [0.0, 50.0], "bad_2": [20.0, 10.0], "bad_2_oracle": [20.0, 0.0]}
    page = accuracy_section({"confidence_error": deciles, "sparsification": curves})
    assert page.count("<svg") == 2
    assert page.count("<circle") == 12
    assert page.count('class="curve reference"') == 1


def test_every_proxy_and_metric_has_a_name() -> None:
    page = accuracy_section({"proxies": dict.fromkeys(PROXY_NAMES, 1.5)})
    assert [name for name, _ in _cells(page)] == [
        "photometric difference*, levels of 255",
        "change where nothing moves*, px",
        "distance from the dominant plane*, px",
        "pixels on the dominant plane*, %",
        "vertical offset of matching features*, px",
        "pixels with confidence of 0.5 or more*, %",
    ]
    row = {"ours": 1.0, "theirs": 2.0, "difference": -1.0, "sd": 0.25, "frames": 3}
    comparison = {"with": "a & b", "metrics": [{"metric": name, **row} for name in COMPARED_NAMES]}
    page = comparison_section(comparison)
    assert "Compared with a &amp; b" in page
    cells = _cells(page)
    assert len({name for name, *_ in cells}) == len(COMPARED_NAMES)
    assert cells[0] == ["EPE, px", "1.000", "2.000", "−1.000 ± 0.250", "3"]


def test_difference_of_one_frame_has_no_spread_and_zero_no_sign() -> None:
    row = {"metric": "epe", "ours": 1.0, "theirs": 1.0, "difference": -1e-9, "sd": float("nan"), "frames": 1}
    (cells,) = _cells(comparison_section({"with": "x", "metrics": [row]}))
    assert cells == ["EPE, px", "1.000", "1.000", "0.000", "1"]
