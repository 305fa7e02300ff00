"""Ten thousand frames: memory does not grow with the length of a bag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.messages import camera_info_message, image_message, rectified_cameras
from stereo_dp_ros.replay.offline import run_offline

CALIBRATION = StereoCalibration(
    width_px=48, height_px=32, fx_px=60.0, fy_px=60.0, cx_left_px=23.5, cx_right_px=23.5, cy_px=15.5, baseline_m=0.1
)
FRAMES = 10_000
WARM_FRAMES = 1_000
MOST_GROWTH_MB = 60.0  # what is recorded has 430 MB; figures of 9,000 frames take some 20


class _Memory:
    """Resident memory after the first frames and after the last, in MB."""

    def __init__(self) -> None:
        self.frames = 0
        self.warm_mb = 0.0

    def on_frame(self) -> None:
        self.frames += 1
        if self.frames == WARM_FRAMES:
            self.warm_mb = _resident_mb()

    @property
    def growth_mb(self) -> float:
        return _resident_mb() - self.warm_mb


def _resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6


class _Estimator:
    def infer(self, left: np.ndarray, right: np.ndarray) -> DisparityMap:
        return DisparityMap(left.astype(np.float32) / 4, np.ones(left.shape, np.float32), 0.0, 64.0)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_length_of_a_bag(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(20, 240, (32, 48), np.uint8)
    infos = rectified_cameras(CALIBRATION)
    with BagWriter(tmp_path / "bag") as bag:
        for index in range(FRAMES):
            stamp = 10**9 + index * 10**7
            if index == 0:  # as a latched camera_info
                for topic, camera in zip((TOPICS.left_info, TOPICS.right_info), infos, strict=True):
                    bag.write(topic, camera_info_message(camera, stamp, "f"), stamp)
            for topic in (TOPICS.left_image, TOPICS.right_image):
                bag.write(topic, image_message(pixels, "mono8", stamp, "f"), stamp)
    topics = TOPICS.without_ground_truth()
    memory = _Memory()
    with BagReader(tmp_path / "bag") as source:
        run = run_offline(source, topics, tmp_path / "out", _Estimator(), namespace="/n", on_pair=memory.on_frame)
    assert len(run.published_ns) == FRAMES
    assert memory.growth_mb < MOST_GROWTH_MB
    memory = _Memory()
    with BagReader(tmp_path / "bag") as source, BagReader(tmp_path / "out") as recorded:
        evaluation = evaluate(source, recorded, topics, "/n", on_frame=memory.on_frame)
        assert memory.growth_mb < MOST_GROWTH_MB
    assert len(evaluation.frames) == FRAMES
    assert [check.detail for check in evaluation.checks if not check.passed] == []
