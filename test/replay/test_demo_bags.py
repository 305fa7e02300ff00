"""The demo's bags: the real pair has its calibration, the scene is long enough, and both read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import calibration_of, color_pixels, disparity_pixels
from stereo_dp_ros.replay.demo_bags import COURTYARD, DEMO_BAGS, MOTORCYCLE, TOPICS, motorcycle
from stereo_dp_ros.replay.messages import stamp_ns
from stereo_dp_ros.replay.scene import Courtyard
from stereo_dp_ros.replay.stereo_topics import find_stereo_topics


def test_scene_is_long_enough() -> None:
    assert COURTYARD.frame_count >= 60
    assert COURTYARD.rate_hz == 15
    assert (COURTYARD.calibration.width_px, COURTYARD.calibration.height_px) == (640, 480)
    assert [bag.name for bag in DEMO_BAGS] == ["courtyard", "motorcycle"]


def test_real_pair_fits_its_calibration_and_ground_truth() -> None:
    frame = motorcycle()
    calibration = MOTORCYCLE.calibration
    assert frame.left.shape == frame.right.shape == (calibration.height_px, calibration.width_px, 3)
    assert calibration.doffs_px == pytest.approx(31.086)
    assert calibration.baseline_m == 0.193001
    known = np.isfinite(frame.disparity_px)
    assert 0.9 < known.mean() < 0.95
    x = np.arange(741, dtype=np.float32)[None] - np.where(known, frame.disparity_px, 0)
    y = np.repeat(np.arange(500, dtype=np.float32)[:, None], 741, axis=1)
    error = np.abs(cv2.remap(frame.right, x, y, cv2.INTER_LINEAR).astype(float) - frame.left).mean(axis=2)
    assert np.median(error[known]) < 4


def test_bags_read_back(tmp_path: Path) -> None:
    small = COURTYARD.calibration.scaled(160, 120)
    short = replace(
        COURTYARD, calibration=small, frame_count=3, frames=lambda: Courtyard(small).frames(3, COURTYARD.rate_hz)
    )
    done: list[int] = []
    for bag in (short, replace(MOTORCYCLE, frames=lambda: iter([motorcycle()] * 2))):
        path = tmp_path / bag.name
        bag.write(path, lambda: done.append(1))
        with BagReader(path) as reader:
            assert find_stereo_topics(reader) == [TOPICS]
            read = list(reader.messages())
        frames = list(bag.frames())
        assert len(read) == 5 * len(frames)
        first = {topic: message for topic, _, message in read[:5]}
        assert calibration_of(first[TOPICS.left_info], first[TOPICS.right_info]) == bag.calibration
        np.testing.assert_array_equal(color_pixels(first[TOPICS.right_image]), frames[0].right)
        truth_px = disparity_pixels(first[TOPICS.ground_truth or ""]) - np.float32(bag.calibration.doffs_px)
        np.testing.assert_allclose(truth_px, frames[0].disparity_px, atol=1e-5)
        stamps = sorted({stamp_ns(message) for _, _, message in read})
        assert np.diff(stamps) == pytest.approx(1e9 / bag.rate_hz, abs=1)
    assert len(done) == 5
