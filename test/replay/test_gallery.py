"""Which frames of a run are kept to look at."""

from __future__ import annotations

import numpy as np
from made_up import CALIBRATION, IMAGE, TRUTH_PX

from stereo_dp_ros.replay.gallery import Gallery
from stereo_dp_ros.replay.measures import Frame


def _frame(stamp: int, confidence: float = 0.5) -> Frame:
    return Frame(
        stamp_ns=stamp,
        calibration=CALIBRATION,
        read_images=lambda: (IMAGE, IMAGE),
        disparity_px=TRUTH_PX,
        confidence=np.full(TRUTH_PX.shape, confidence, np.float32),
        ground_truth_px=None,
    )


def test_best_and_worst_are_by_epe() -> None:
    gallery = Gallery(range(7), samples=2)
    for stamp, epe in enumerate((2.0, 1.5, 4.0, 0.5, 3.0, 2.0, 0.75)):
        gallery.add(_frame(stamp), {}, {"epe": epe})
    assert [sample.stamp_ns for sample in gallery.samples] == [2, 4]
    assert gallery.best is not None and gallery.best.stamp_ns == 3
    assert gallery.worst is not None and gallery.worst.stamp_ns == 2


def test_without_ground_truth_confidence_ranks() -> None:
    gallery = Gallery(range(4), samples=1)
    for stamp, confidence in enumerate((0.5, 0.9, 0.2, np.nan)):
        gallery.add(_frame(stamp, confidence), {}, None)
    assert gallery.best is not None and gallery.best.stamp_ns == 1
    assert gallery.worst is not None and gallery.worst.stamp_ns == 2


def test_frames_between_those_with_ground_truth_are_not_ranked_beside_them() -> None:
    gallery = Gallery(range(6), samples=1)
    for stamp, epe in enumerate((None, 2.0, None, 0.5, 3.0, None)):
        gallery.add(_frame(stamp, 0.9), {}, None if epe is None else {"epe": epe})
    assert gallery.best is not None and gallery.best.stamp_ns == 3
    assert gallery.worst is not None and gallery.worst.stamp_ns == 4


def test_frames_that_are_alike_have_no_best() -> None:
    gallery = Gallery(range(3), samples=1)
    for stamp in range(3):
        gallery.add(_frame(stamp), {}, {"epe": 1.0})
    assert gallery.best is None
    assert gallery.worst is None


def test_strip_is_small_and_bounded() -> None:
    gallery = Gallery(range(1000), samples=1)
    wide = np.zeros((300, 600, 3), np.uint8)
    for stamp in range(1000):
        frame = Frame(
            stamp, CALIBRATION, lambda: (wide, wide), np.zeros((300, 600), np.float32), np.ones((300, 600)), None
        )
        gallery.add(frame, {}, None)
    assert len(gallery.strip) == 10
    assert gallery.strip[0].left.shape == (96, 192, 3)
    assert gallery.strip[0].disparity_px.shape == (96, 192)
