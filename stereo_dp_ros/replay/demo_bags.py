"""The two bags that the demo plays: a moving scene with exact ground truth, and a real pair held still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.bag import BagWriter
from stereo_dp_ros.replay.messages import camera_info_message, disparity_message, image_message, rectified_cameras
from stereo_dp_ros.replay.scene import COURTYARD_CALIBRATION, Courtyard, StereoFrame
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["DEMO_BAGS", "NAMESPACE", "TOPICS", "DemoBag", "motorcycle", "write_pairs"]

NAMESPACE = "/stereo"
TOPICS = StereoTopics(
    left_image=f"{NAMESPACE}/left/image_rect",
    right_image=f"{NAMESPACE}/right/image_rect",
    left_info=f"{NAMESPACE}/left/camera_info",
    right_info=f"{NAMESPACE}/right/camera_info",
    ground_truth=f"{NAMESPACE}/ground_truth/disparity",
)
_FRAME_ID = "stereo_left_optical_frame"
_FIRST_STAMP_NS = 1_750_000_000_000_000_000  # any will do; a fixed one makes the bags the same every time

# Intrinsics of skimage.data.stereo_motorcycle(), from its documentation; pixel centres are integers there too.
MOTORCYCLE_CALIBRATION = StereoCalibration(
    width_px=741,
    height_px=500,
    fx_px=994.978,
    fy_px=994.978,
    cx_left_px=311.193,
    cx_right_px=311.193 + 31.086,
    cy_px=254.877,
    baseline_m=0.193001,
)


@dataclass(frozen=True)
class DemoBag:
    """A bag that can be written: `frame_count` frames of `frames()` at `rate_hz`; `pictured` of them are shown."""

    name: str
    title: str
    description: str
    calibration: StereoCalibration
    frame_count: int
    rate_hz: float
    frames: Callable[[], Iterator[StereoFrame]]
    pictured: int = 3

    def write(self, path: Path, on_frame: Callable[[], object] = lambda: None) -> None:
        """Write the bag, replacing one that is there; `on_frame` is called after each frame."""
        write_pairs(path, self.frames(), self.calibration, self.rate_hz, on_frame)


def write_pairs(
    path: Path,
    frames: Iterable[StereoFrame],
    calibration: StereoCalibration,
    rate_hz: float,
    on_frame: Callable[[], object] = lambda: None,
) -> None:
    """Write rectified RGB pairs with their ground truth as a compressed mcap bag with the topics TOPICS.

    Raises
    ------
    DataError
        The bag cannot be written.
    """
    left_camera, right_camera = rectified_cameras(calibration)
    with BagWriter(path, overwrite=True, compress=True) as bag:
        for index, frame in enumerate(frames):
            stamp = _FIRST_STAMP_NS + round(index * 1e9 / rate_hz)
            bag.write(TOPICS.left_info, camera_info_message(left_camera, stamp, _FRAME_ID), stamp)
            bag.write(TOPICS.right_info, camera_info_message(right_camera, stamp, _FRAME_ID), stamp)
            bag.write(TOPICS.left_image, image_message(frame.left, "rgb8", stamp, _FRAME_ID), stamp)
            bag.write(TOPICS.right_image, image_message(frame.right, "rgb8", stamp, _FRAME_ID), stamp)
            if TOPICS.ground_truth is not None:
                truth = disparity_message(frame.disparity_px, calibration, stamp, _FRAME_ID)
                bag.write(TOPICS.ground_truth, truth, stamp)
            on_frame()


def motorcycle() -> StereoFrame:
    """The Middlebury 2014 pair that scikit-image ships, at a quarter of its size (Scharstein et al. 2014)."""
    import skimage.data  # imported late: only the demo needs scikit-image

    left, right, disparity_px = skimage.data.stereo_motorcycle()
    unknown = ~np.isfinite(disparity_px)
    return StereoFrame(left, right, np.where(unknown, np.nan, disparity_px).astype(np.float32))


def _courtyard_frames() -> Iterator[StereoFrame]:
    return Courtyard().frames(COURTYARD.frame_count, COURTYARD.rate_hz)


def _motorcycle_frames() -> Iterator[StereoFrame]:
    frame = motorcycle()
    return (frame for _ in range(MOTORCYCLE.frame_count))


COURTYARD = DemoBag(
    name="courtyard",
    title="Moving courtyard",
    description="A drawn scene with exact ground truth: a swaying camera, moving and turning things at 1 to 10 m, "
    "slanted ground, poles, wires and pickets a few pixels wide.",
    calibration=COURTYARD_CALIBRATION,
    frame_count=72,
    rate_hz=15.0,
    frames=_courtyard_frames,
)
MOTORCYCLE = DemoBag(
    name="motorcycle",
    title="Motorcycle, real pair",
    description="Middlebury 2014 as scikit-image ships it, held still; measured ground truth, and principal points "
    "that differ by 31 px between the cameras.",
    calibration=MOTORCYCLE_CALIBRATION,
    frame_count=30,
    rate_hz=10.0,
    frames=_motorcycle_frames,
    pictured=1,
)
DEMO_BAGS = (COURTYARD, MOTORCYCLE)
